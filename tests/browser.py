"""A headless Chromium for tests of pages, driven over its DevTools protocol."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import websocket

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page in a headless Chromium.

    Args:
        profile: A folder of its own.

    Attributes:
        complaints: What the page has written to its console as an error or warning, and what it has thrown.
        requests: The addresses that it has asked for.
    """

    def __init__(self, profile: Path):
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0"]
        options += [f"--user-data-dir={profile}", "--no-first-run", "--remote-allow-origins=*", "about:blank"]
        self.process = subprocess.Popen([str(CHROMIUM), *options], stderr=subprocess.DEVNULL)
        port = self._wait(lambda: (profile / "DevToolsActivePort").read_text().split()[0], 90)
        pages = json.loads(urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list").read())
        address = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self.socket = websocket.create_connection(address, timeout=120)
        self.number = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    @staticmethod
    def _wait(what: Callable[[], Any], seconds: float) -> Any:
        end = time.monotonic() + seconds
        while True:
            try:
                if found := what():
                    return found
            except (OSError, IndexError):
                pass
            assert time.monotonic() < end, "the browser did not answer"
            time.sleep(0.1)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result."""
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self.socket.recv())
            self._note(said)
            if said.get("id") == self.number:
                assert "error" not in said, f"{method}: {said}"
                return said["result"]

    def _note(self, said: dict[str, Any]) -> None:
        told = said.get("params", {})
        match said.get("method"):
            case "Runtime.consoleAPICalled" if told["type"] in ("error", "warning", "assert"):
                self.complaints.append(str([part.get("value", part.get("description")) for part in told["args"]]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(told["exceptionDetails"].get("exception", told)))
            case "Log.entryAdded" if told["entry"]["level"] in ("error", "warning"):
                self.complaints.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requests.append(told["request"]["url"])

    def open(self, file: Path, width: int = 1440, dark: bool = False) -> None:
        """Open a file in a window of some width and wait until it says that it is ready."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=file.resolve().as_uri())
        ready = "document.documentElement?.dataset.ready === 'yes'"
        self._wait(lambda: self.run(ready) or self.complaints, 120)

    def run(self, script: str) -> Any:
        """Return the value of an expression."""
        found = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def type(self, text: str) -> None:
        """Type a text where the focus is."""
        self.call("Input.insertText", text=text)

    def press(self, key: str, code: int, text: str = "") -> None:
        """Press a key.

        Args:
            key: Its name.
            code: Its Windows virtual-key code.
            text: What it writes.
        """
        for kind in ("keyDown", "keyUp"):
            parts = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code}
            self.call("Input.dispatchKeyEvent", **parts, **({"text": text} if text and kind == "keyDown" else {}))

    def screenshot(self, file: Path, top: int = 0, height: int | None = None) -> None:
        """Write a picture of the page, or of a part of it, as PNG."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"], "height": height or size["height"], "scale": 1}
        found = self.call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(found["data"]))

    def close(self) -> None:
        """End it."""
        self.socket.close()
        self.process.terminate()
        self.process.wait(30)
