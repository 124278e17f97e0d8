"""Who may come in: whoever has the token, by a name that is ours, from a page of ours.

Any page that somebody visits can send requests to a server on their machine, and under a name of its own even read the
answers (DNS rebinding). Cookies go along with those requests, and a WebSocket is not bound by the same-origin rule. So
three things are asked of every request, as Jupyter does it (https://jupyter-server.readthedocs.io, "Security"): that
it is for an address that is served (Host), that no foreign page sent it (Origin), and that it has the token, which is
in the printed address and in a cookie afterwards.
"""

import contextlib
import hmac
import ipaddress
import re
import secrets
import socket
from collections.abc import Awaitable, Callable, Collection
from typing import Final
from urllib.parse import urlsplit

import psutil
from aiohttp import web
from aiohttp.typedefs import Middleware

from state.errors import RequestError

_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

#: The query parameter of the printed address.
TOKEN: Final = "token"
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_.])?")
#: These lead here over a forwarded port, too, and no page of others can be under them.
_LOOPBACK: Final = frozenset(("localhost", "127.0.0.1", "::1"))
_NOT_FROM_US: Final = "another page has no business here"
#: What a browser says of a link (https://www.w3.org/TR/fetch-metadata/): mode and destination.
_LINK: Final = ("navigate", "document")


class Door:
    """Lets requests pass, or refuses them.

    Args:
        host: The address that is listened on.
        port: The port; browsers may come by another one, which was forwarded.
        also: Further names or addresses that browsers reach it by, of a proxy perhaps.

    Attributes:
        token: What the printed address carries.

    Raises:
        RequestError: If one of them is neither.
    """

    def __init__(self, host: str, port: int, also: Collection[str] = ()) -> None:
        self.token: Final = secrets.token_urlsafe(32)
        self._cookie = f"ckpt-tui-{port}"
        self._also = frozenset(_checked(name) for name in also)
        self._hosts = self._also | _LOOPBACK | _names_of(host)

    def middleware(self) -> Middleware:
        """To be put before every handler of an application."""

        @web.middleware
        async def guard(request: web.Request, handler: _Handler) -> web.StreamResponse:
            if (reason := self._refusal(request)) is not None:
                return web.Response(status=403, text=f"ckpt-tui: {reason}.\n")
            if request.path == "/" and self._is_token(request.query.get(TOKEN, "")):
                # The token leaves the address, which people copy and browsers keep.
                into = web.Response(status=302, headers={"Location": "./", "Cache-Control": "no-store"})
                into.set_cookie(self._cookie, self.token, httponly=True, samesite="Lax")
                return into
            if not self._is_token(request.cookies.get(self._cookie, "")):
                return web.Response(status=403, text="ckpt-tui: open the whole address that ckpt-tui serve printed.\n")
            return await handler(request)

        return guard

    def _refusal(self, request: web.Request) -> str | None:
        """Why a request is not for us, or not from us."""
        try:
            host = urlsplit(f"//{request.host}").hostname or ""
            if host not in self._hosts:
                return "it does not serve this address; name it with --allow-host if it should"
            if (origin := request.headers.get("Origin")) is not None:
                page = urlsplit(origin)
                if page.netloc.lower() != request.host.lower() and page.hostname not in self._also:
                    return _NOT_FROM_US
        except ValueError:  # brackets that do not match
            return "this is no address"
        # Scripts, pictures and frames of another page come without an Origin; links that somebody follows may.
        followed = (request.headers.get("Sec-Fetch-Mode"), request.headers.get("Sec-Fetch-Dest")) == _LINK
        if request.headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin") and not followed:
            return _NOT_FROM_US
        return None

    def _is_token(self, text: str) -> bool:
        return hmac.compare_digest(text.encode(errors="replace"), self.token.encode())


def _checked(name: str) -> str:
    """A name or an address as browsers write it.

    Raises:
        RequestError: If it is something else, such as a whole address of a page.
    """
    bare = name.removeprefix("[").removesuffix("]").lower()
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(bare))
    if not _NAME.fullmatch(bare):
        raise RequestError(
            f"--allow-host {name!r} is no name of a machine", "give a name or an address alone, such as models.example"
        )
    return bare


def _names_of(host: str) -> frozenset[str]:
    """Names and addresses, as browsers write them, that reach what listens on one."""
    host = host.strip("[]").lower()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return frozenset((host,))
    if address.is_loopback:
        return frozenset((host,))
    if not address.is_unspecified:
        return frozenset((host, *_own_names()))
    found = (str(entry.address) for entries in psutil.net_if_addrs().values() for entry in entries)
    return _own_names() | {address.partition("%")[0].lower() for address in found}


def _own_names() -> frozenset[str]:
    return frozenset(name.lower() for name in (socket.gethostname(), socket.getfqdn()) if name)
