"""`ckpt-tui serve`: the page, its files, and an explorer for everybody who has it open."""

import asyncio
import contextlib
import ipaddress
import logging
import shlex
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import aiohttp_jinja2
from aiohttp import web
from textual_serve.server import Server

from state.errors import RequestError
from state.plain_text import one_line
from tui.web.access import TOKEN, Door
from tui.web.visitor import Visitor, cells

_PAGE: Final = Path(__file__).parent / "page"
#: How long explorers may take to end when the server is to end; what is left then is killed.
_STOP_S: Final = 0.5
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _OneLine(logging.Formatter):
    """Leaves out tracebacks: what strangers send is no fault of ours."""

    def format(self, record: logging.LogRecord) -> str:
        """The message, and the error in a few words."""
        reason = f" ({record.exc_info[1]})" if record.exc_info else ""
        return one_line(f"ckpt-tui: {record.getMessage()}{reason}")


class ExplorerServer(Server):
    """Serves explorers until it is interrupted.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        options: Of `ckpt-tui explore`.
        also: Further names that browsers reach it by.

    Attributes:
        stopped_by: The number of the signal that stopped it.
    """

    def __init__(self, host: str, port: int, options: Sequence[str], also: Sequence[str]) -> None:
        command = shlex.join([sys.executable, "-P", "-m", "tui", "explore", *options])
        super().__init__(f"exec {command}", host, port, title="ckpt-tui", templates_path=_PAGE)
        self._door = Door(host, port, also)
        self._visitors: set[Visitor] = set()
        self.stopped_by: int | None = None

    def initialize_logging(self) -> None:
        """One line for what goes wrong, and none for every request: those have the token in them."""
        handler = logging.StreamHandler()
        handler.setFormatter(_OneLine())
        logging.basicConfig(level=logging.WARNING, handlers=[handler])
        logging.getLogger("textual-serve").setLevel(logging.CRITICAL)  # a page that is closed at once is no news

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.middlewares.append(self._door.middleware())
        app.add_routes([web.static("/page", _PAGE)])
        app.on_response_prepare.append(_forbid_the_rest)
        return app

    def serve(self, debug: bool = False) -> None:
        """Serve until a signal comes: which one, `stopped_by` says."""
        self.initialize_logging()
        web.run_app(
            self._make_app(),
            host=self.host,
            port=self.port,
            access_log=None,
            shutdown_timeout=_STOP_S,
            print=lambda _: self._announce(),
        )
        for number in _STOPS:  # it ends already
            signal.signal(number, signal.SIG_IGN)

    async def on_startup(self, app: web.Application) -> None:
        """A closed terminal ends it as Ctrl-C does. Where it is, is said when it can be reached."""
        for number in _STOPS:
            asyncio.get_running_loop().add_signal_handler(number, self._stop, number)

    def _stop(self, number: int) -> None:
        if self.stopped_by is None:  # asked once more, it would be torn out of its own end
            self.stopped_by = number
            self.request_exit()

    def _announce(self) -> None:
        """Say where it is, and who can come in; standard output may be closed or full."""
        lines = [
            "ckpt-tui: open one of these addresses in a browser; whoever has one can run trials and write files here.",
            *(f"  http://{host}:{self.port}/?{TOKEN}={self._door.token}" for host in _shown(self.host)),
        ]
        if not _is_loopback(self.host):
            lines.append(
                f"Port {self.port} can be reached from other machines, and what goes over it is not encrypted."
            )
        with contextlib.suppress(OSError):
            print(*lines, "Press Ctrl-C to stop.", sep="\n", flush=True)

    async def on_shutdown(self, app: web.Application) -> None:
        """End every explorer, so that no open page keeps the server."""
        await asyncio.gather(*(visitor.leave(_STOP_S) for visitor in self._visitors))

    async def handle_index(self, request: web.Request) -> web.Response:
        """The page."""
        return aiohttp_jinja2.render_template(
            "index.html", request, {"font_size": cells(request.query.get("fontsize"), 16)}
        )

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """An explorer for as long as the page is there."""
        to_page = web.WebSocketResponse(heartbeat=15)
        await to_page.prepare(request)
        visitor = Visitor(self.command, to_page, self.download_manager)
        self._visitors.add(visitor)
        try:
            await visitor.serve(cells(request.query.get("width"), 80), cells(request.query.get("height"), 24))
        finally:
            self._visitors.discard(visitor)
        return to_page


def serve_explorer(host: str, port: int, options: Sequence[str], also: Sequence[str]) -> int | None:
    """Serve until interrupted.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        options: Of `ckpt-tui explore`, which are known to be right.
        also: Further names that browsers reach it by.

    Returns:
        The number of the signal that stopped it, if one did.

    Raises:
        RequestError: If nothing can listen there.
    """
    server = ExplorerServer(host.strip("[]"), port, options, also)
    try:
        server.serve()
    except OSError as error:
        raise RequestError(f"nothing can listen on {host}:{port} ({error.strerror})", "choose another --port") from None
    return server.stopped_by


async def _forbid_the_rest(request: web.Request, response: web.StreamResponse) -> None:
    """Nothing is loaded from elsewhere, nothing is shown in a frame, and nobody else learns the address."""
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        f"connect-src 'self' ws://{request.host} wss://{request.host}; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
    )
    response.headers["Cache-Control"] = "no-store"  # pages of other ports of this machine share what is kept
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _shown(host: str) -> Sequence[str]:
    """What to write in an address for what is listened on."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if address.is_unspecified:  # of IPv6, only its own addresses lead there
        return [socket.gethostname(), "127.0.0.1"] if address.version == 4 else ["[::1]"]
    return [f"[{host}]" if address.version == 6 else host]
