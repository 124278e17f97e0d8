"""A real headless browser for tests, spoken to in its DevTools protocol (https://chromedevtools.github.io)."""

import asyncio
import contextlib
import itertools
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest


class NavigatedError(Exception):
    """The page that was asked has gone away meanwhile."""


class Page:
    """One tab.

    Attributes:
        requested: Every address that it has asked for.
        statuses: Address -> the status of the answer.
        answered: Address and status of every answer.
    """

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._session = ""
        self.requested: list[str] = []
        self.statuses: dict[str, int] = {}
        self.answered: list[tuple[str, int]] = []

    async def _listen(self) -> None:
        async for message in self._socket:
            said = message.json()
            if (number := said.get("id")) in self._answers:
                self._answers[number].set_result(said)
            elif said.get("method") == "Network.requestWillBeSent":
                self.requested.append(said["params"]["request"]["url"])
            elif said.get("method") == "Network.webSocketCreated":
                self.requested.append(said["params"]["url"])
            elif said.get("method") == "Network.responseReceived":
                answer = said["params"]["response"]
                self.statuses[answer["url"]] = answer["status"]
                self.answered.append((answer["url"], answer["status"]))

    async def command(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Give a command, and get its result."""
        number = next(self._numbers)
        self._answers[number] = asyncio.get_running_loop().create_future()
        session = {"sessionId": self._session} if self._session else {}
        await self._socket.send_json({"id": number, "method": method, "params": parameters, **session})
        said = await asyncio.wait_for(self._answers[number], 60)
        if "navigated" in said.get("error", {}).get("message", ""):
            raise NavigatedError
        assert "result" in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def attach(self) -> None:
        """Open the tab."""
        target = (await self.command("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.command("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Network", "Runtime"):
            await self.command(f"{domain}.enable")

    async def open(self, address: str) -> None:
        """Go somewhere, as if somebody had typed it."""
        await self.command("Page.navigate", url=address)

    async def evaluate(self, script: str) -> Any:
        """The value of a script, which may be a promise."""
        said = await self.command("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return said["result"].get("value")

    async def press(self, key: str) -> None:
        """Press a key that writes a character."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" else {}
            await self.command("Input.dispatchKeyEvent", type=kind, key=key, **text)

    async def wait_for(self, script: str) -> None:
        """Until a script is true, on whatever page it is by then."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(NavigatedError):
                    if await self.evaluate(script):
                        return
                await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def browser_page(profile: Path, *arguments: str) -> AsyncIterator[Page]:
    """A tab of a browser of its own.

    Args:
        profile: A folder for the browser's files.
        arguments: Of the browser.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no chromium is installed here")
    process = await asyncio.create_subprocess_exec(
        program,
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"),
        *("--remote-debugging-port=0", f"--user-data-dir={profile}", *arguments, "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    reading = None
    try:
        assert process.stderr is not None
        async with asyncio.timeout(60):
            while not (found := re.search(rb"ws://\S+", await process.stderr.readline())):
                assert process.returncode is None
        reading = asyncio.create_task(process.stderr.read())  # so that it never waits for us
        debugger = found[0].decode()
        async with aiohttp.ClientSession() as session, session.ws_connect(debugger, max_msg_size=0) as connection:
            page = Page(connection)
            listening = asyncio.create_task(page._listen())
            await page.attach()
            yield page
            listening.cancel()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        if reading is not None:
            reading.cancel()
