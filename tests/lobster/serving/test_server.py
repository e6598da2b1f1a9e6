"""The server as it runs: asked by many at once, refused, killed in mid-request, overloaded, drained."""

import json
import os
import pickle
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

import pytest
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from lobster.constants import Modality
from lobster.rl_training import DiversityMemory, create_ume_reward_wrapper
from lobster.rl_training.trainers import CPU_DEFAULTS
from lobster.scoring import Component, Scorer, ScoringFunction
from lobster.serving import RemoteReward
from lobster.serving.limits import Limits

pytest.importorskip("prometheus_client", reason="the extra serve is not installed")
urllib3 = pytest.importorskip("urllib3", reason="the extra serve is not installed")
MOLECULES = ["C" * n + end for end in ("O", "N", "c1ccccc1", "C(=O)O") for n in range(1, 41)]
SLOW = """
import time

def worth(sequences):
    time.sleep(0.5)
    return [0.5] * len(sequences)
"""


class Server:
    """`lobster serve` on a free port."""

    def __init__(self, folder, *arguments: object):
        command = [sys.executable, "-m", "lobster", "serve", "--port", "0", "--device", "cpu", *map(str, arguments)]
        self.log = folder / "server.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stderr=log)
        deadline = time.monotonic() + 120
        while not (found := re.search(r"running on (http://\S+)", self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "the server does not start"
            time.sleep(0.1)
        self.root = found[1]
        self.url = f"{self.root}/score"

    def post(self, **asked: object):
        """Ask once."""
        return urllib3.request("POST", self.url, json=asked, retries=False, timeout=60)

    def metric(self, name: str) -> float:
        """Return a metric's value, 0 where it has none yet."""
        text = urllib3.request("GET", f"{self.root}/metrics").data.decode()
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def wait_for(self, name: str, least: float) -> None:
        """Wait until a metric has risen."""
        deadline = time.monotonic() + 60
        while self.metric(name) < least:
            assert time.monotonic() < deadline, f"{name} stays below {least}"
            time.sleep(0.02)


@contextmanager
def serving(folder, *arguments: object):
    server = Server(folder, *arguments)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture(scope="module")
def ume_folder(tiny_ume, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ume")
    tiny_ume.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(ume_folder, tmp_path_factory):
    limits = ("--max_sequences", 64, "--max_letters", 100)
    with serving(tmp_path_factory.mktemp("server"), "--encoder", ume_folder, *limits) as found:
        yield found


@pytest.fixture(scope="module")
def slow_scoring(tmp_path_factory):
    """A scoring function that takes half a second for a call."""
    folder = tmp_path_factory.mktemp("slow")
    (folder / "slow_oracle.py").write_text(SLOW)
    (folder / "slow.yaml").write_text("components: [{kind: slow_oracle.worth, batch: true, cache: false}]")
    return folder / "slow.yaml"


@pytest.fixture(scope="module")
def slow(ume_folder, slow_scoring):
    """A server that scores up to eight sequences in a call, and lets 32 wait."""
    limits = ("--max_sequences", 8, "--max_waiting", 32)
    with serving(slow_scoring.parent, "--encoder", ume_folder, "--scoring", slow_scoring, *limits) as found:
        yield found


def test_the_answer_is_the_scorers(server, tiny_ume):
    sequences = ["OCC", "C1CC", "", "MKTVRQERLKSIVRILER", "atgaaataa"]
    scored = Scorer(tiny_ume).score(sequences)
    answer = server.post(sequences=sequences).json()
    assert answer["outcomes"] == [item.outcome for item in scored]
    assert answer["scores"] == pytest.approx([item.score for item in scored], abs=1e-6)
    assert answer["pseudo_likelihoods"] == pytest.approx([item.pseudo_likelihood for item in scored], abs=1e-6)
    assert answer["normal_forms"] == [item.sequence for item in scored]
    assert answer["modalities"] == ["SMILES", None, None, "amino_acid", "nucleotide"]
    for parts, item in zip(answer["parts"], scored, strict=True):
        assert parts == pytest.approx(item.parts, abs=1e-6)
    assert [value is None for value in answer["values"]] == [error is not None for error in answer["errors"]]
    one = server.post(sequences=["CCN", "CCN"], modality=["amino_acid", None]).json()
    assert one["modalities"] == ["amino_acid", "SMILES"]
    assert server.post(sequences=["CCO"], modality="nucleotide").json()["outcomes"] == ["wrong_modality"]


def test_sixteen_clients_of_which_one_is_killed(server, tiny_ume):
    expected = {m: item.score for m, item in zip(MOLECULES, Scorer(tiny_ume).score(MOLECULES), strict=True)}
    asks = f"import sys, urllib.request as u; sys.stdin.read(1); u.urlopen(u.Request({server.url!r}, {{body!r}}, {{{{'Content-Type': 'application/json'}}}}))"
    body = json.dumps({"sequences": ["C" * n + "Cl" for n in range(20, 84)]}).encode()
    doomed = subprocess.Popen([sys.executable, "-c", asks.format(body=body)], stdin=subprocess.PIPE)
    killed = threading.Event()

    def ask(number: int) -> dict[str, float]:
        found = {}
        for start in range(0, len(MOLECULES), 10):
            some = MOLECULES[start : start + 10]
            some = some[number % 10 :] + some[: number % 10]
            found |= dict(zip(some, server.post(sequences=some).json()["scores"], strict=True))
            if start > len(MOLECULES) // 2:
                killed.wait(60)
        return found

    before, calls = (
        server.metric('lobster_requests_total{status="200"}'),
        server.metric("lobster_scoring_seconds_count"),
    )
    with ThreadPoolExecutor(15) as pool:
        answers = [pool.submit(ask, number) for number in range(15)]
        doomed.stdin.write(b"x")
        doomed.stdin.flush()
        time.sleep(0.05)
        doomed.send_signal(signal.SIGKILL)
        assert doomed.wait() == -signal.SIGKILL
        killed.set()
        for answer in answers:
            assert answer.result() == pytest.approx(expected, abs=1e-6)
    requests = server.metric('lobster_requests_total{status="200"}') - before
    assert requests >= 15 * len(MOLECULES) / 10
    assert server.metric("lobster_scoring_seconds_count") - calls < requests  # several were scored in one call
    assert json.loads(urllib3.request("GET", f"{server.root}/health").data) == {"status": "ok"}


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"sequence": ["C"]}, 422, "body.sequences: Field required"),
        ({"sequences": ["C", 3]}, 422, "body.sequences.1: Input should be a valid string"),
        ({"sequences": ["C"], "temperature": 1}, 422, "body.temperature: Extra inputs are not permitted"),
        ({"sequences": ["C"], "modality": "rock"}, 422, "body.modality: .*'SMILES', 'amino_acid' or 'nucleotide'"),
        ({"sequences": ["C"], "modality": [None, None]}, 422, "1 sequences and 2 modalities: expected as many, or one"),
        ({"sequences": ["C", "C" * 101]}, 422, "sequence 1 has 101 letters, expected 100 at most"),
        ({"sequences": ["C"] * 65}, 413, "65 sequences, expected 64 at most: ask for fewer at a time"),
        ({"sequences": ["C" * 20_000]}, 413, r"\d+ bytes, expected 12800 at most"),
    ],
)
def test_what_is_not_taken_is_refused_in_one_line(server, body, status, said):
    refused = server.post(**body)
    assert refused.status == status
    assert re.fullmatch(f"{said}.*", refused.json()["detail"])


def test_a_body_that_is_no_json_or_has_no_length_is_refused(server):
    headers = {"Content-Type": "application/json"}
    refused = urllib3.request("POST", server.url, body=b"{", headers=headers)
    assert (refused.status, refused.json()) == (422, {"detail": "body.1: JSON decode error"})
    assert urllib3.request("POST", server.url, body=iter([b"{}"]), headers=headers).status == 411
    form = urllib3.request("POST", server.url, body=b'{"sequences": ["C"]}', headers={"Content-Type": "text/plain"})
    assert (form.status, form.json()["detail"]) == (
        415,
        "the content type is text/plain: send JSON as application/json",
    )


def test_the_remote_reward_is_the_local_one(server, tiny_ume):
    completions = ["OCC", "C1CC", "CCN", "NCC"]
    local = create_ume_reward_wrapper(tiny_ume, temperature=0.5)
    assert RemoteReward(server.url, 0.5)(completions=completions) == pytest.approx(
        local(completions=completions), abs=1e-5
    )
    conversations = [[{"role": "assistant", "content": text}] for text in ("OCC", None)]
    found = RemoteReward(server.url, 0.5)([""] * 2, conversations, ["SMILES"] * 2, completion_ids=[[1], [2]])
    assert found == pytest.approx([local(completions=["OCC"])[0], 0], abs=1e-5)
    prefixed = RemoteReward(server.url, 0.5, include_prompt=True)(["CC", "C1C"], ["N", "C"])
    assert prefixed == pytest.approx(local(completions=["CCN", "C1CC"]), abs=1e-5)
    filled = RemoteReward(server.url, 0.5, include_prompt=True)(["CC"], ["N"], suffix=["CO"])
    assert filled == pytest.approx(local(completions=["CCNCO"]), abs=1e-5)
    memory = pickle.loads(pickle.dumps(RemoteReward(server.url, 0.5, diversity=DiversityMemory())))
    first, broken, _, again = memory(completions=completions)
    assert first > broken == again == 0


def test_the_remote_reward_goes_to_a_process_without_a_gpu(server, tmp_path):
    reward = RemoteReward(server.url, name="natural")
    (tmp_path / "reward").write_bytes(pickle.dumps(reward))
    code = "import pickle; r = pickle.load(open('reward', 'rb')); print(r.__name__, r(completions=['CCO', 'C1CC']))"
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == f"natural {reward(completions=['CCO', 'C1CC'])}\n", done.stderr


def test_trls_trainer_takes_the_remote_reward(server, tiny_policy, tmp_path):
    settings = {"per_device_train_batch_size": 4, "num_generations": 4, "max_completion_length": 8, "max_steps": 1}
    quiet = CPU_DEFAULTS | {"logging_steps": 1, "report_to": "none"}
    trainer = GRPOTrainer(
        str(tiny_policy),
        [RemoteReward(server.url)],
        GRPOConfig(str(tmp_path), **settings, **quiet),
        Dataset.from_list([{"prompt": "C", "modality": "SMILES"}] * 4),
    )
    trainer.train()
    assert trainer.state.log_history[0]["rewards/remote_reward/mean"] > 0


def test_the_oracle_component_url_asks_it_as_it_is(server, tiny_ume):
    component = Component("url", url=server.url, batch_size=2, cache=False)
    found = component.measure(["CCO", "CCN", "C1CC"], Modality.SMILES)
    assert [one.value for one in found[:2]] == pytest.approx([s.score for s in Scorer(tiny_ume).score(["CCO", "CCN"])])
    assert found[2].error == "ValueError: undetectable"


def test_a_server_that_refuses_or_is_gone_ends_the_reward_in_one_line(server):
    with pytest.raises(RuntimeError, match=r"/score answered 413: .*65 sequences, expected 64 at most"):
        RemoteReward(server.url)(completions=["C"] * 65)
    with pytest.raises(ConnectionError, match=r"http://127.0.0.1:9/score cannot be reached: .*refused") as gone:
        RemoteReward("http://127.0.0.1:9/score", retries=1)(completions=["C"])
    assert "\n" not in str(gone.value)


def test_an_overloaded_server_says_when_to_ask_again(slow):
    with ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(slow.post, sequences=[f"{'C' * (8 * n + k + 1)}O" for k in range(8)]) for n in range(12)]
        slow.wait_for('lobster_requests_total{status="503"}', 1)
        patient = RemoteReward(slow.url, 1.0)(completions=["CCN"])
        answers = [one.result() for one in asked]
    busy = [answer for answer in answers if answer.status == 503]
    assert len(busy) >= 1
    assert re.fullmatch(r"\d+ sequences wait, 32 may: ask again", busy[0].json()["detail"])
    assert int(busy[0].headers["Retry-After"]) >= 1
    assert {answer.status for answer in answers} == {200, 503}
    assert patient == [0.5]


def test_sigterm_in_mid_load_answers_what_was_taken_and_ends_with_0(slow):
    def ask(n: int) -> int | None:
        try:
            return slow.post(sequences=[f"{'C' * (8 * n + k + 1)}N" for k in range(8)]).status
        except urllib3.exceptions.HTTPError:  # it came too late
            return None

    with ThreadPoolExecutor(5) as pool:
        asked = [pool.submit(ask, n) for n in range(5)]
        slow.wait_for("lobster_waiting_sequences", 16)
        slow.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(urllib3.exceptions.HTTPError):
            slow.post(sequences=["CCO"])
        answers = [one.result() for one in asked]
    assert set(answers) <= {200, None}
    assert answers.count(200) >= 3  # one in the encoder, two that waited
    assert slow.process.wait(60) == 0, slow.log.read_text()
    assert "Traceback" not in slow.log.read_text()


def test_what_is_not_answered_in_time_is_said(tiny_ume):
    from lobster.serving.server import ScoringServer

    scoring = ScoringFunction([Component(lambda sequence: time.sleep(4) or 0.5, "late")])
    server = ScoringServer(Scorer(tiny_ume, scoring), limits=Limits(drain=1))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    before = signal.getsignal(signal.SIGTERM)

    def ask_and_end() -> None:
        url = f"http://127.0.0.1:{port}/score"
        once = urllib3.Retry(connect=20, read=0, backoff_factor=0.1)
        with suppress(urllib3.exceptions.HTTPError):
            urllib3.request("POST", url, json={"sequences": ["CCO"]}, timeout=1, retries=once)
        signal.raise_signal(signal.SIGTERM)

    client = threading.Thread(target=ask_and_end)
    client.start()
    try:
        with pytest.raises(RuntimeError, match=r"^1 sequences were not answered within 1 s \(drain\)$"):
            server.run(port=port)
    finally:
        signal.signal(signal.SIGTERM, before)
        client.join()


def test_what_is_not_answered_in_time_is_told_to_ask_again_as_is_who_never_ends_his_request(ume_folder, slow_scoring):
    words = ("--encoder", ume_folder, "--scoring", slow_scoring, "--max_sequences", 1, "--drain", 1)
    with serving(slow_scoring.parent, *words) as server:
        host, port = urlsplit(server.root).hostname, urlsplit(server.root).port
        with socket.create_connection((host, port)) as silent, ThreadPoolExecutor(8) as pool:
            head = f"POST /score HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: 99"
            silent.sendall(f"{head}\r\n\r\n{{".encode())
            asked = [pool.submit(server.post, sequences=[f"{'C' * n}N"]) for n in range(1, 9)]
            server.wait_for("lobster_waiting_sequences", 1)
            server.process.send_signal(signal.SIGTERM)
            assert silent.recv(1000).startswith(b"HTTP/1.1 503 ")
            answers = [one.result() for one in asked]
        late = [answer for answer in answers if answer.status != 200]
        assert {(answer.status, answer.headers["Retry-After"]) for answer in late} == {(503, "1")}
        assert server.process.wait(60) == 1
        assert re.search(r"^error: \d sequences were not answered within 1 s \(drain\)$", server.log.read_text(), re.M)
        assert "Traceback" not in server.log.read_text()


def test_a_taken_port_is_one_line(server, ume_folder, capsys):
    from lobster.cli.main import main

    port = urlsplit(server.root).port
    assert main(["serve", "--encoder", str(ume_folder), "--device", "cpu", "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert (
        said == f"error: 127.0.0.1:{port} cannot be listened at (Address already in use): name another host or port\n"
    )


def test_what_cannot_be_scored_is_an_outcome_however_often_and_ends_who_asks_of_nothing_else(ume_folder, tmp_path):
    (tmp_path / "no_fluorine.py").write_text("def worth(smiles):\n    return 1 / ('F' not in smiles)\n")
    (tmp_path / "scoring.yaml").write_text("components: [{kind: no_fluorine.worth}]")
    with serving(tmp_path, "--encoder", ume_folder, "--scoring", tmp_path / "scoring.yaml") as server:
        for _ in range(5):
            answer = server.post(sequences=["CF"])
            assert (answer.status, answer.json()["outcomes"]) == (200, ["scoring_failed"])
        reward = RemoteReward(server.url, 1.0)
        assert [reward(completions=some) for some in (["CF"], ["CF", "C1CC"], ["CF", "CC"])] == [[0], [0, 0], [0, 1]]
        assert [reward(completions=["CF"]) for _ in range(2)] == [[0], [0]]
        with pytest.raises(
            RuntimeError, match="/score failed on every sequence of 3 calls in a row: mend what its log"
        ):
            reward(completions=["CF"])


def test_limits_are_checked_and_the_verb_says_them(capsys):
    from lobster.cli.main import main

    assert main(["serve", "--max_letters", "0"]) == 1
    assert capsys.readouterr().err == "error: max_letters is 0: expected at least 1\n"
