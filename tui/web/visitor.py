"""One page that somebody has open: its explorer, and what goes to and fro between the two."""

import asyncio
import contextlib
import logging
from typing import Annotated, Any, Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from state.plain_text import one_line

log = logging.getLogger("ckpt-tui")

#: How long an explorer whose page has gone may take to end its run and clean up.
LEAVE_S: Final = 30.0
#: The largest terminal that a page may ask for, in cells either way.
_MOST_CELLS: Final = 1000

_Cells = Annotated[int, msgspec.Meta(ge=1, le=_MOST_CELLS)]


class _Size(msgspec.Struct, frozen=True):
    width: _Cells
    height: _Cells


class _Stdin(msgspec.Struct, frozen=True, array_like=True, tag="stdin"):
    keys: str


class _Resize(msgspec.Struct, frozen=True, array_like=True, tag="resize"):
    size: _Size


class _Ping(msgspec.Struct, frozen=True, array_like=True, tag="ping"):
    sent: Any


class _Focus(msgspec.Struct, frozen=True, array_like=True, tag="focus"):
    pass


class _Blur(msgspec.Struct, frozen=True, array_like=True, tag="blur"):
    pass


#: What pages send, as textual-serve's script writes it: `["stdin", "q"]`.
_Message = _Stdin | _Resize | _Ping | _Focus | _Blur
_decoder: Final = msgspec.json.Decoder(_Message)


class Visitor(AppService):
    """An explorer of its own for one page.

    Args:
        command: What starts it.
        socket: To the page.
        downloads: Of the server.
    """

    def __init__(self, command: str, socket: web.WebSocketResponse, downloads: DownloadManager) -> None:
        super().__init__(
            command,
            write_bytes=socket.send_bytes,
            write_str=socket.send_str,
            close=self._close,
            download_manager=downloads,
        )
        self._socket = socket

    async def serve(self, width: int, height: int) -> None:
        """Until the page or the explorer is gone."""
        listening = asyncio.create_task(self._listen())
        try:
            await self.start(width, height)
            assert self._task is not None
            await asyncio.wait({listening, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            listening.cancel()
            await self.leave(LEAVE_S)
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await listening
            await self._close()

    async def leave(self, time_s: float) -> None:
        """End the explorer in order, by force after a time. Its worker cleans up when it finds itself alone."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError, TimeoutError):
            self._process.terminate()
            await asyncio.wait_for(self._process.wait(), time_s)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def on_data(self, payload: bytes) -> None:
        """Draw on the page, if it is still there: an explorer that nobody reads would wait for ever."""
        with contextlib.suppress(ConnectionError):
            await super().on_data(payload)

    async def _listen(self) -> None:
        """Pass on what the page sends, until it closes, or sends what no page of ours would."""
        async for message in self._socket:
            try:
                if message.type is not WSMsgType.TEXT:
                    raise msgspec.ValidationError("it is no text")
                await self._take(_decoder.decode(message.data))
            except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                words = one_line(str(error))[:200]  # the page's own words are among them
                log.warning("a page sent something that is no valid message (%s): its connection is closed", words)
                await self._socket.close(code=WSCloseCode.UNSUPPORTED_DATA)

    async def _take(self, message: _Message) -> None:
        match message:
            case _Stdin():
                await self.send_bytes(message.keys.encode())
            case _Resize():
                await self.set_terminal_size(message.size.width, message.size.height)
            case _Ping():
                await self._socket.send_json(["pong", message.sent])
            case _Focus():
                await self.focus()
            case _Blur():
                await self.blur()

    async def _close(self) -> None:
        await self._socket.close()


def cells(text: str | None, default: int) -> int:
    """A width or height that a page asks for in its address."""
    number = int(text) if text is not None and text.isascii() and text.isdecimal() and len(text) < 6 else default
    return min(max(number, 1), _MOST_CELLS)
