"""The reference server, started, killed and started again while it is asked."""

import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from lobster.constants import Modality
from lobster.rl_training import UmeRewardFunction
from lobster.scoring import Component, ScoringFunction

pytest.importorskip("fastapi", reason="the extra serve is not installed")
SERVER = Path(__file__).parents[3] / "examples" / "oracle_server" / "server.py"


class Server:
    """The example's server on a free port; this one takes 50 ms for a molecule."""

    def __init__(self, folder: Path):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/score"
        self.file = folder / "server.py"
        text = SERVER.read_text().replace("    mol = Chem", "    __import__('time').sleep(0.05)\n    mol = Chem", 1)
        self.file.write_text(text)
        self.process: subprocess.Popen

    def start(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, self.file, "--port", str(self.port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(300):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1).close()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("the server does not start")

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def server(tmp_path):
    found = Server(tmp_path)
    found.start()
    yield found
    found.kill()


def test_a_server_says_what_each_is_worth(server):
    component = Component("url", url=server.url, workers=2, batch_size=3, cache=False)
    found = component.measure(["CC(=O)Oc1ccccc1C(=O)O", "CCO", "C1CC", "CCN"], Modality.SMILES)
    assert [one.value for one in found[:2]] == pytest.approx([0.55, 0.41], abs=0.01)
    assert [one.error for one in found] == ["", "", "ValueError: ValueError: RDKit cannot read it", ""]
    begun = time.monotonic()
    [refused, *_] = Component("url", url=server.url, cache=False).measure(
        ["C"] + ["C" * n for n in range(2, 300)], Modality.SMILES
    )
    assert re.search(r"answered 413: .*299 sequences, expected 256 at most: set batch_size", refused.error)
    assert time.monotonic() - begun < 5  # a refusal is not tried again
    wrong = Component("url", url=server.url.replace("/score", "/nothing"), cache=False)
    assert "answered 404" in wrong.measure(["CCO"], Modality.SMILES)[0].error


def test_a_run_outlives_a_server_that_is_killed_and_started_again(server):
    component = Component("url", url=server.url, workers=2, batch_size=4, retries=8, cache=False)
    molecules = ["C" * n + "O" for n in range(1, 65)]  # 1.6 s
    result = []
    run = threading.Thread(target=lambda: result.extend(component.measure(molecules, Modality.SMILES)))
    run.start()
    time.sleep(0.7)
    server.kill()
    time.sleep(0.5)
    server.start()
    run.join(60)
    assert [one.error for one in result] == [""] * 64


def test_a_server_that_is_gone_for_good_ends_the_run_in_one_line(server, tiny_ume):
    scoring = ScoringFunction(
        [Component("url", "worth", url=server.url, workers=4, batch_size=2, retries=1, cache=False)]
    )
    reward = UmeRewardFunction(tiny_ume, scoring=scoring)
    assert min(reward(["CCO", "CCN"])) > 0
    server.kill()
    begun = time.monotonic()
    with pytest.warns(UserWarning, match="component 'worth' failed on .*cannot be reached: .*Connection refused"):
        assert reward(["C" * n for n in range(2, 66)]) == [0] * 64
    assert reward(["C" * n for n in range(2, 66)]) == [0] * 64
    with pytest.raises(RuntimeError, match="component 'worth' failed on every sequence of 3 calls in a row") as error:
        reward(["C" * n for n in range(2, 66)])
    assert f"{server.url} cannot be reached" in str(error.value)
    assert "\n" not in str(error.value)
    assert time.monotonic() - begun < 15  # it waited once in each call, not once for each batch


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"<html>busy</html>", r"http://.+ answered b'<html>busy</html>', which is no JSON"),
        (b'{"values": [0.5', r"http://.+ answered .+, which is no JSON"),
        (b"[0.5]", r"http://.+ answered \[0.5\], expected \{'values'"),
        (
            b'{"values": [null, 0.5], "errors": ["no conformer"]}',
            r"answered 2 values and the errors \['no conformer'\]: expected",
        ),
        (b'{"values": [null, 0.5], "errors": "bad"}', "answered 2 values and the errors 'bad': expected as many"),
    ],
)
def test_an_answer_that_is_malformed_is_shown_with_who_gave_it(body, said):
    class Answers(BaseHTTPRequestHandler):
        def do_POST(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        component = Component("url", url=f"http://127.0.0.1:{server.server_port}/", retries=0, cache=False, workers=1)
        [one, _] = component.measure(["CCO", "CCN"], Modality.SMILES)
        server.shutdown()
    assert re.search(said, one.error)
