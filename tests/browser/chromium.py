"""A headless Chromium of the machine, spoken to by its DevTools protocol: no driver to install, none to keep in step."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ctypes
import importlib.util
import itertools
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge")
MAC = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--hide-scrollbars")


def found() -> str | None:
    """The browser to test with: TORPOR_BROWSER, else one that is installed."""
    named = os.environ.get("TORPOR_BROWSER")
    return named or next(filter(None, map(shutil.which, NAMES)), None) or (MAC if Path(MAC).exists() else None)


def axe() -> str:
    """axe-core's source, as axe-playwright-python brings it."""
    spec = importlib.util.find_spec("axe_playwright_python")
    assert spec and spec.submodule_search_locations
    return (Path(spec.submodule_search_locations[0]) / "axe.min.js").read_text()


class Tab:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, session: str) -> None:
        self._socket, self._session, self._ids = socket, session, itertools.count(1000)
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        await self._socket.send_json({"id": number, "sessionId": self._session, "method": method, "params": params})
        while True:
            message = await self._socket.receive_json(timeout=60)
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                return message["result"]
            self.events.append(message)

    async def open(self, url: str) -> None:
        """Load a page and wait until it is there."""
        self.events.clear()
        for domain in ("Page", "Network", "Log", "Runtime"):
            await self.call(f"{domain}.enable")
        await self.call("Page.navigate", url=url)
        for _ in range(200):
            if await self.run("document.readyState") == "complete" and await self.run("location.href") == url:
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{url} did not load")

    async def run(self, script: str) -> Any:
        """The value of a script, awaited where it is a promise."""
        done = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in done, done["exceptionDetails"]
        return done["result"].get("value")

    async def looks(
        self, width: int = 1280, height: int = 900, *, dark: bool = False, media: str = "", scale: int = 1
    ) -> None:
        """Be a window of this size, with this colour scheme, or a printer."""
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        await self.call("Emulation.setEmulatedMedia", media=media, features=scheme)
        size = {"width": width, "height": height, "deviceScaleFactor": scale, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **size)

    async def press(self, key: str, code: int, text: str = "") -> None:
        for kind in ("keyDown", "keyUp"):
            told = {"text": text} if text and kind == "keyDown" else {}
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **told)

    async def picture(self, path: Path) -> None:
        taken = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(taken["data"]))

    async def printed(self) -> bytes:
        """The page as PDF, on A4."""
        made = await self.call("Page.printToPDF", paperWidth=8.27, paperHeight=11.69, preferCSSPageSize=True)
        return base64.b64decode(made["data"])

    async def faults(self) -> list[str]:
        """What axe finds: each rule with the elements that break it."""
        await self.run(axe() + ";0")
        found = await self.run("axe.run(document, {resultTypes: ['violations']}).then(found => found.violations)")
        return [f"{rule['id']}: {rule['help']}: {[node['html'][:120] for node in rule['nodes'][:3]]}" for rule in found]


@contextlib.asynccontextmanager
async def browser(path: str) -> AsyncIterator[Tab]:
    """A browser of its own with one tab, gone afterwards."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [path, *FLAGS, f"--user-data-dir={profile}", "--remote-debugging-port=0", "about:blank"]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(*command, stdout=quiet, stderr=quiet, preexec_fn=_die_with_parent)
        try:
            port, address = (await _port(Path(profile) / "DevToolsActivePort")).split()
            async with (
                aiohttp.ClientSession() as session,
                session.ws_connect(f"ws://127.0.0.1:{port}{address}", max_msg_size=0) as socket,
            ):
                yield await _tab(socket)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


def _die_with_parent() -> None:
    """Let the browser end with the tests, however they end (Linux: prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


async def _port(file: Path) -> str:
    for _ in range(600):
        if file.exists() and len(text := file.read_text().split()) == 2:
            return " ".join(text)
        await asyncio.sleep(0.05)
    raise AssertionError("the browser did not start within 30 s")


async def _tab(socket: aiohttp.ClientWebSocketResponse) -> Tab:
    asked = [("Target.createTarget", {"url": "about:blank"}), ("Target.attachToTarget", {"flatten": True})]
    target: dict[str, Any] = {}
    for number, (method, params) in enumerate(asked, 1):
        await socket.send_json({"id": number, "method": method, "params": params | target})
        while (message := await socket.receive_json(timeout=60)).get("id") != number:
            pass
        target = message["result"] if number == 1 else target
    return Tab(socket, message["result"]["sessionId"])
