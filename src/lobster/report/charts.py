"""Charts as Vega-Lite specifications. Their colours are the page's: text and marks follow light and dark."""

from typing import Any

# Okabe and Ito's colours, which the colour-blind can tell apart; the page gives lighter ones where it is dark.
SERIES = [f"var(--series-{number})" for number in range(1, 7)]
_DASHES = [[1, 0], [6, 3], [2, 2], [8, 3, 2, 3], [4, 4], [1, 3]]
_HEIGHT = 150  # px

CONFIG: dict[str, Any] = {
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--muted)",
        "gridColor": "var(--line)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "titleFontWeight": "normal",
        "labelFontSize": 11,
    },
}


def _chart(values: list[dict[str, Any]], **rest: Any) -> dict[str, Any]:
    fit = {"type": "fit-x", "contains": "padding"}
    return {
        "data": {"values": values},
        "width": "container",
        "height": _HEIGHT,
        "autosize": fit,
        "config": CONFIG,
    } | rest


def _colour(field: str, names: list[str]) -> dict[str, Any]:
    scale = {"domain": names, "range": SERIES[: len(names)]}
    return {"field": field, "type": "nominal", "scale": scale, "legend": None}


def curve_chart(values: list[dict[str, Any]], runs: list[str]) -> dict[str, Any]:
    """Return the chart of a metric by step, a curve a run: thin what was logged, thick its average; hovering tells values.

    Args:
        values: Of `Run.curve`.
        runs: The names of all runs, which have the same colours in all charts.
    """
    quantity = {"type": "quantitative", "title": None}
    steps = sorted({point["step"] for point in values})
    axis = {"grid": False} | ({"values": steps} if len(steps) <= 5 else {})  # no half steps
    step = {"field": "step", "type": "quantitative", "title": "step", "axis": axis}
    colour = _colour("run", runs)
    dash = {"field": "run", "type": "nominal", "scale": {"domain": runs, "range": _DASHES[: len(runs)]}, "legend": None}
    y = {"field": "y", "scale": {"zero": False}, "axis": {"tickCount": 4}} | quantity
    tooltip = [
        *([{"field": "run", "title": "run"}] if len(runs) > 1 else []),
        {"field": "step", "title": "step"},
        {"field": "y", "title": "value", "format": ".4g"},
        {"field": "mean", "title": "average", "format": ".4g"},
    ]
    near = {"name": "near", "select": {"type": "point", "on": "pointerover", "nearest": True, "clear": "pointerout"}}
    shown = {"condition": {"param": "near", "empty": False, "value": 1}, "value": 0}
    layers = [
        {"mark": {"type": "line", "strokeWidth": 1, "opacity": 0.4}, "encoding": {"y": y}},
        {"mark": {"type": "line", "strokeWidth": 2.5}, "encoding": {"y": y | {"field": "mean"}, "strokeDash": dash}},
        {
            "mark": {"type": "point", "filled": True, "size": 60},
            "params": [near],
            "encoding": {"y": y, "opacity": shown, "tooltip": tooltip},
        },
    ]
    return _chart(values, encoding={"x": step, "color": colour}, layer=layers)


def histogram_chart(values: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Return overlaid histograms.

    Args:
        values: Of `histogram`.
        names: Of all samples, in the order of their colours.
    """
    percent = {"field": "share", "type": "quantitative", "stack": None, "title": None}
    encoding = {
        "x": {
            "field": "low",
            "type": "quantitative",
            "bin": {"binned": True},
            "title": None,
            "axis": {"grid": False, "tickCount": 5},
        },
        "x2": {"field": "high"},
        "y": percent | {"axis": {"format": ".0%", "tickCount": 4}},
        "color": _colour("of", names),
        "tooltip": [
            {"field": "of", "title": "completions"},
            {"field": "low", "title": "from", "format": ".4g"},
            {"field": "high", "title": "to", "format": ".4g"},
            {"field": "share", "title": "share", "format": ".1%"},
        ],
    }
    mark = {"type": "bar", "opacity": 0.55, "binSpacing": 1}
    return _chart(values, mark=mark, encoding=encoding)


def bar_chart(values: list[dict[str, Any]], names: list[str]) -> dict[str, Any]:
    """Return the share of each value side by side.

    Args:
        values: Of `shares`.
        names: Of all samples, in the order of their colours.
    """
    order = list(dict.fromkeys(row["value"] for row in sorted(values, key=lambda row: -row["share"])))
    encoding = {
        "x": {
            "field": "value",
            "type": "nominal",
            "sort": order,
            "title": None,
            "axis": {"labelAngle": -25 if 2 < len(order) < 10 else 0},
        },
        "xOffset": {"field": "of", "sort": names},
        "y": {"field": "share", "type": "quantitative", "title": None, "axis": {"format": ".0%", "tickCount": 4}},
        "color": _colour("of", names),
        "tooltip": [
            {"field": "of", "title": "completions"},
            {"field": "value", "title": "value"},
            {"field": "share", "title": "share", "format": ".1%"},
        ],
    }
    return _chart(values, mark="bar", encoding=encoding)
