"use strict";
// Charts: specifications to pictures, in the page's colours.
const charts = JSON.parse(document.getElementById("charts").textContent);
Promise.all(Object.entries(charts).map(([id, spec]) =>
  vegaEmbed(document.getElementById(id), spec, { mode: "vega-lite", renderer: "svg", actions: false })
)).then(() => { document.documentElement.dataset.ready = "yes"; });

// Letters in the colours of how much they surprise the encoder; the text stays what it is.
for (const line of document.querySelectorAll("[data-levels]")) {
  const letters = [...line.textContent.trim()], levels = line.dataset.levels;
  line.textContent = "";
  for (let start = 0, end; start < letters.length; start = end) {
    for (end = start; end < letters.length && levels[end] === levels[start]; end++);
    const run = document.createElement("span");
    run.className = `surprise-${levels[start]}`;
    run.title = end - start > 1 ? `${start + 1} to ${end}` : `${start + 1}`;
    run.textContent = letters.slice(start, end).join("");
    line.append(run);
  }
}

// Cards: sorted, filtered and put together by scaffold.
const cards = [...document.querySelectorAll(".card")];
const values = new Map(cards.map(card => [card, JSON.parse(card.dataset.values)]));
const tool = name => document.getElementById(name);

function heading(scaffold, count) {
  const found = document.createElement("h3");
  found.className = "cluster";
  const code = document.createElement("code");
  code.textContent = scaffold;
  found.append(...(scaffold ? [code] : ["each alone in its scaffold"]), ` · ${count}`);
  return found;
}

function arrange() {
  const key = tool("sort").value, sign = Number(tool("order").value), wanted = tool("contains").value.trim();
  const run = tool("run")?.value, place = tool("cards");
  const shown = cards.filter(card =>
    (!run || card.dataset.run === run) && card.querySelector(".sequence").textContent.includes(wanted));
  const of = card => values.get(card)[key];
  shown.sort((a, b) => (of(a) === undefined) - (of(b) === undefined) || sign * (of(a) - of(b)) || 0);
  const clusters = new Map();
  for (const card of shown) {
    const scaffold = tool("cluster")?.checked ? card.dataset.scaffold : undefined;
    if (!clusters.has(scaffold)) clusters.set(scaffold, []);
    clusters.get(scaffold).push(card);
  }
  const parts = [], alone = [];
  for (const [scaffold, members] of clusters) {
    if (scaffold === undefined) parts.push(...members);
    else if (members.length === 1) alone.push(...members);
    else parts.push(heading(scaffold || "no ring", members.length), ...members);
  }
  if (alone.length) parts.push(heading("", alone.length), ...alone);
  place.replaceChildren(...parts);
  tool("count").textContent = `${shown.length} of ${cards.length}`;
}

if (cards.length) {
  tool("tools").addEventListener("input", arrange);
  tool("tools").addEventListener("submit", event => event.preventDefault());
  arrange();
}
