"""Headless Chromium over its debugging pipe: opens a page, clicks, types, asks, and keeps what it complains of."""

import base64
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
KEYS = {
    "Enter": 13,
    "Space": 32,
    "ArrowDown": 40,
    "ArrowUp": 38,
    "ArrowLeft": 37,
    "ArrowRight": 39,
    "Tab": 9,
    "End": 35,
}


class Chrome:
    """One tab. `complaints` are console errors, exceptions and violations of the page's own policy."""

    def __init__(self, profile: Path) -> None:
        self.complaints: list[str] = []
        self._count = 0
        self._buffer = b""
        ours, theirs = os.pipe(), os.pipe()
        fds = ours[0], theirs[1]
        # Chromium reads its commands from 3 and answers into 4.
        command = ["bash", "-c", f'exec "$0" "$@" 3<&{fds[0]} 4>&{fds[1]}', str(BROWSER), *OPTIONS]
        command += [f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._process = subprocess.Popen(command, pass_fds=fds, **quiet)
        for fd in fds:
            os.close(fd)
        self._commands, self._answers = ours[1], theirs[0]
        self._session: str | None = None
        page = next(each for each in self("Target.getTargets")["targetInfos"] if each["type"] == "page")
        self._session = self("Target.attachToTarget", targetId=page["targetId"], flatten=True)["sessionId"]
        for part in ("Page", "Runtime", "Log"):
            self(f"{part}.enable")

    def __enter__(self) -> "Chrome":
        return self

    def __exit__(self, *_: object) -> None:
        self._session = None
        self("Browser.close")
        self._process.wait(timeout=60)
        os.close(self._commands)
        os.close(self._answers)

    def __call__(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol and its answer."""
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self._hear(answer)
        assert "error" not in answer, answer
        return answer["result"]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            part = os.read(self._answers, 1 << 20)
            assert part, "Chromium is gone"
            self._buffer += part
        text, self._buffer = self._buffer.split(b"\0", 1)
        return json.loads(text)

    def _hear(self, event: dict[str, Any]) -> None:
        name, about = event.get("method"), event.get("params", {})
        if name == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(about["exceptionDetails"]))
        elif name == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
            self.complaints.append(about["entry"]["text"])
        elif name == "Runtime.consoleAPICalled" and about["type"] in ("error", "warning", "assert"):
            self.complaints.append(json.dumps(about["args"]))

    def open(
        self, path: Path, *, width: int = 1280, height: int = 900, dark: bool = False, script: bool = True
    ) -> None:
        """Load a page in a window of this size and wait until it is drawn; it scrolls at once, not smoothly."""
        self("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        media = {
            "prefers-color-scheme": "dark" if dark else "light",
            "prefers-reduced-motion": "reduce",
        }  # scrolls at once
        self("Emulation.setEmulatedMedia", features=[{"name": name, "value": value} for name, value in media.items()])
        self("Emulation.setScriptExecutionDisabled", value=not script)
        self("Page.navigate", url=path.as_uri())
        while (event := self._next()).get("method") != "Page.loadEventFired":
            self._hear(event)

    def ask(self, expression: str) -> Any:
        """The value of an expression in the page."""
        found = self("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def click(self, selector: str, *, move_only: bool = False) -> None:
        """Press and release the mouse in the middle of the first element that matches."""
        place = f"document.querySelector({json.dumps(selector)})"
        self.ask(f"{place}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y = self.ask(f"(r => [r.x + r.width / 2, r.y + r.height / 2])({place}.getBoundingClientRect())")
        self("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in () if move_only else ("mousePressed", "mouseReleased"):
            self("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def focus(self, selector: str) -> None:
        self.ask(f"document.querySelector({json.dumps(selector)}).focus()")

    def press(self, key: str) -> None:
        """A key of the keyboard, to what has the focus."""
        code = KEYS.get(key, ord(key.upper()[0]))
        name = " " if key == "Space" else key
        text = {"Enter": "\r", "Space": " "}.get(key, key if len(key) == 1 else "")
        about = {"key": name, "code": key, "windowsVirtualKeyCode": code}
        self("Input.dispatchKeyEvent", type="keyDown", text=text, **about)
        self("Input.dispatchKeyEvent", type="keyUp", **about)

    def write(self, text: str) -> None:
        self("Input.insertText", text=text)

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """What the window shows as PNG, or with `whole` the page from top to end."""
        found = self("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
