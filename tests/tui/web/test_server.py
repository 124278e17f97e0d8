"""The explorer in a browser: the real server on loopback, and a real browser where there is one."""

import asyncio
import contextlib
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import psutil
import pytest
from aiohttp import WSMsgType, web

from state.history.store import History
from tests.backends.runs import family, gone, scratch_folders, wait_until
from tests.tui.browser import browser_page

COMMAND = Path(sys.executable).with_name("ckpt-tui")
FORBIDDEN = 403


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Served:
    """A server, until the block ends."""

    def __init__(self, storage: Path, *options: str) -> None:
        self.port = free_port()
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--port", str(self.port), *options, "--storage", str(storage)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.banner = ""
        while "Ctrl-C" not in self.banner:
            line = self.process.stdout.readline()
            assert line, self.process.communicate()[1]
            self.banner += line
        self.addresses = re.findall(r"http://\S+", self.banner)
        self.token = urlsplit(self.addresses[0]).query

    def at(self, path: str, host: str = "127.0.0.1") -> str:
        """An address below the server."""
        return f"http://{host}:{self.port}{path}"

    def end(self) -> str:
        """Stop it; what it has complained about."""
        processes = family(self.process.pid)
        self.process.send_signal(signal.SIGINT)
        _, complaints = self.process.communicate(timeout=30)
        assert wait_until(lambda: gone(processes), 30)
        return complaints


@pytest.fixture
def served(storage: Path) -> Iterator[Served]:
    server = Served(storage)
    yield server
    if server.process.poll() is None:
        server.end()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for all tests that leave it as it is; it must have complained of nothing but what they saw."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in ("DATA", "STATE", "CONFIG", "CACHE"):
            patch.setenv(f"XDG_{kind}_HOME", str(tmp_path_factory.mktemp(kind)))
        server = Served(tmp_path_factory.mktemp("storage"))
    yield server
    assert server.end() == ""


@contextlib.asynccontextmanager
async def visitor(served: Served) -> AsyncIterator[aiohttp.ClientSession]:
    """Somebody with the cookie."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(served.at(f"/?{served.token}")) as page:
            assert page.status == 200
            assert page.url.query_string == ""  # the token has left the address
        yield session


async def until(connection: aiohttp.ClientWebSocketResponse, words: str) -> str:
    """What the page is sent until some words are drawn."""
    drawn = ""
    async with asyncio.timeout(60):
        while words not in drawn:
            message = await connection.receive()
            assert message.type in (WSMsgType.BINARY, WSMsgType.TEXT), drawn[-2000:]
            if isinstance(message.data, bytes):
                drawn += message.data.decode(errors="replace")
    return drawn


async def status(session: aiohttp.ClientSession, address: str, **headers: str) -> int:
    async with session.get(address, headers=headers, allow_redirects=False) as answer:
        return answer.status


async def upgraded(session: aiohttp.ClientSession, address: str, **headers: str) -> int:
    """The status with which a socket is refused; 101 if it is not."""
    try:
        async with session.ws_connect(address, headers=headers):
            return 101
    except aiohttp.WSServerHandshakeError as error:
        return error.status


async def test_the_printed_address_opens_the_explorer(shared: Served) -> None:
    assert {address for address, _ in listening(shared.process.pid)} <= {"127.0.0.1", "::1"}
    async with visitor(shared) as session, session.ws_connect(shared.at("/ws?width=120&height=36")) as connection:
        assert "Optimizations" in await until(connection, "Optimizations")


def listening(pid: int) -> list[tuple[str, int]]:
    """Addresses on which a process waits for others."""
    connections = psutil.Process(pid).net_connections("tcp")
    return [(str(c.laddr[0]), int(c.laddr[1])) for c in connections if c.status == psutil.CONN_LISTEN]


@pytest.mark.parametrize(
    "path", ["/", "/ws", "/static/js/textual.js", "/page/page.js", "/download/x", "/static/", "/no"]
)
async def test_nobody_gets_anything_without_the_token(path: str, shared: Served) -> None:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        for address in (path, f"{path}?token=", f"{path}?token=wrong", f"{path}?token=%ff"):
            assert await status(session, shared.at(address)) == FORBIDDEN
        assert await status(session, shared.at(path), Cookie=f"ckpt-tui-{shared.port}=wrong") == FORBIDDEN
        assert await upgraded(session, shared.at(path)) == FORBIDDEN


FOREIGN = [
    {"Host": "evil.example"},
    {"Host": "localhost.evil.example:8000"},
    {"Host": "10.1.2.3"},
    {"Host": "[::2]"},
    {"Host": "[broken"},
    {"Host": "127.0.0.1@evil.example"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost"},  # another server on this machine
    {"Origin": "http://localhost:1"},
    {"Origin": "http://127.0.0.1.evil.example"},
    {"Origin": "null"},  # a page in a sandbox, or a file
    {"Origin": "file://"},
    {"Origin": ""},
    {"Host": "evil.example", "Origin": "http://evil.example"},  # a name of its own for this machine
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "script"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
async def test_a_foreign_page_gets_nothing_even_with_the_cookie(headers: dict[str, str], shared: Served) -> None:
    async with visitor(shared) as session:
        assert await status(session, shared.at("/")) == 200
        for path in ("/", "/ws", f"/?{shared.token}", "/static/js/textual.js", "/page/page.js"):
            assert await status(session, shared.at(path), **headers) == FORBIDDEN
        assert await upgraded(session, shared.at("/ws"), **headers) == FORBIDDEN


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "LOCALHOST:9999"])
async def test_every_name_of_this_machine_will_do_and_any_port_that_was_forwarded(host: str, shared: Served) -> None:
    async with visitor(shared) as session:
        assert await status(session, shared.at("/"), Host=host, Origin=f"http://{host}") == 200
        assert await upgraded(session, shared.at("/ws"), Host=host, Origin=f"http://{host}") == 101


MALFORMED = [
    "",
    "{",
    "[]",
    "{}",
    "1",
    '["stdin"]',
    '["stdin", 1]',
    '["stdin", null]',
    '["resize", {}]',
    '["resize", {"width": 0, "height": 1}]',
    '["resize", {"width": 1000000000, "height": 1000000000}]',
    '["resize", {"width": "1", "height": 1}]',
    '["resize", 3]',
    '["shell", "rm"]',
    '["stdin", "\\ud800"]',
    "[" * 10000,
    b"\x00",
]


@pytest.mark.parametrize("message", MALFORMED, ids=lambda message: repr(message)[:40])
async def test_a_message_that_is_none_closes_the_socket_with_one_line(message: str | bytes, shared: Served) -> None:
    async with visitor(shared) as session:
        async with session.ws_connect(shared.at("/ws?width=80&height=24")) as connection:
            await (connection.send_str(message) if isinstance(message, str) else connection.send_bytes(message))
            async with asyncio.timeout(30):
                while (await connection.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
                    pass
        assert await status(session, shared.at("/")) == 200
    assert shared.process.stderr is not None
    complaint = await asyncio.to_thread(shared.process.stderr.readline)
    assert re.fullmatch(
        r"ckpt-tui: a page sent something that is no valid message \(.*\): its connection is closed\n", complaint
    )


@pytest.mark.parametrize("size", ["", "?width=&height=", "?width=-1&height=x", "?width=99999999&height=²", "?width=0"])
async def test_a_size_that_is_none_does_no_harm(size: str, shared: Served) -> None:
    async with visitor(shared) as session, session.ws_connect(shared.at(f"/ws{size}")) as connection:
        await until(connection, "\x1b[?1049h")


async def test_an_explorer_that_cannot_start_says_why_in_the_browser(served: Served, storage: Path) -> None:
    storage.rmdir()
    async with visitor(served) as session, session.ws_connect(served.at("/ws?width=300&height=24")) as connection:
        await until(connection, "does not exist")


async def test_the_socket_closes_when_the_explorer_ends(served: Served) -> None:
    async with visitor(served) as session, session.ws_connect(served.at("/ws?width=100&height=24")) as connection:
        await until(connection, "Optimizations")
        await connection.send_json(["stdin", "q"])
        async with asyncio.timeout(60):
            while (await connection.receive()).type in (WSMsgType.BINARY, WSMsgType.TEXT):
                pass
    assert wait_until(lambda: len(family(served.process.pid)) == 1)


async def test_a_page_that_is_closed_in_the_middle_of_a_run_ends_it_and_keeps_what_was_measured(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    served = Served(storage, "--model", str(small_model), "--methods", "pytorch,is-slow", "--seed", "3")
    try:
        async with visitor(served) as session:
            async with session.ws_connect(served.at("/ws?width=120&height=36")) as connection:
                await until(connection, "Optimizations")
                await connection.send_json(["stdin", "r"])
                async with asyncio.timeout(120):
                    while not list(storage.glob("*/*is-slow*")):
                        await connection.receive(timeout=60)
                processes = family(served.process.pid)[1:]
            assert await asyncio.to_thread(wait_until, lambda: gone(processes), 30)
            assert await asyncio.to_thread(wait_until, lambda: not scratch_folders(storage), 30)
            with History() as history:
                (entry,) = history.runs()
            assert (entry.status, entry.done) == ("cancelled", 4)
            async with session.ws_connect(served.at("/ws?width=120&height=36")) as connection:
                await until(connection, "Optimizations")
    finally:
        assert served.end() == ""


async def test_plain_characters_are_sent_where_they_were_asked_for(storage: Path) -> None:
    served = Served(storage, "--ascii")
    try:
        async with visitor(served) as session, session.ws_connect(served.at("/ws?width=120&height=36")) as connection:
            assert (await until(connection, "Optimizations")).isascii()
    finally:
        assert served.end() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_ctrl_c_ends_it_while_pages_are_open(number: signal.Signals, served: Served) -> None:
    async with visitor(served) as session, session.ws_connect(served.at("/ws?width=100&height=24")) as connection:
        await until(connection, "Optimizations")
        processes = family(served.process.pid)
        served.process.send_signal(number)
        await asyncio.to_thread(served.process.wait, 3)  # seconds: what people wait for a prompt
    assert served.process.returncode == 128 + number
    assert wait_until(lambda: gone(processes), 30)


@pytest.mark.parametrize("host", ["localhost", "0.0.0.0", "::1", "::"])
async def test_every_address_works_where_it_is_served_and_says_who_can_reach_it(host: str, storage: Path) -> None:
    if ":" in host and not socket.has_ipv6:
        pytest.skip("there is no IPv6 here")
    served = Served(storage, "--host", host)
    try:
        assert ("from other machines" in served.banner) == (host in ("0.0.0.0", "::"))
        async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
            for address in served.addresses:
                async with session.get(address) as page:
                    assert page.status == 200, address
            name = "[::1]" if ":" in host else "127.0.0.1"
            for other in [name] if host != "0.0.0.0" else [name, own_address()]:
                async with session.get(served.at(f"/?{served.token}", other)) as page:
                    assert page.status == 200, other
                assert await upgraded(session, served.at("/ws", other), Origin=f"http://{other}:{served.port}") == 101
    finally:
        served.end()


def own_address() -> str:
    """An address of this machine that others could use, if it has one."""
    found = [a.address for addresses in psutil.net_if_addrs().values() for a in addresses if a.family == socket.AF_INET]
    return next((address for address in found if not address.startswith("127.")), "127.0.0.1")


async def test_a_proxys_name_is_let_in_when_it_is_given(storage: Path) -> None:
    served = Served(storage, "--allow-host", "proxy.example")
    try:
        async with visitor(served) as session:
            assert await status(session, served.at("/"), Host="proxy.example", Origin="https://proxy.example") == 200
            assert await upgraded(session, served.at("/ws"), Host="localhost:1", Origin="https://proxy.example") == 101
            assert await status(session, served.at("/"), Host="other.example") == FORBIDDEN
    finally:
        served.end()


def is_open(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_ctrl_c_twice_at_once_ends_it_as_once(storage: Path) -> None:
    served = Served(storage)
    served.process.send_signal(signal.SIGINT)
    assert wait_until(lambda: not is_open(served.port))
    assert served.end() == ""
    assert served.process.returncode == 128 + signal.SIGINT


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--size", "bogus"), "is not a size"),
        (("--methods", "nope"), "there is no method 'nope'"),
        (("--storage", "/no/such"), "does not exist"),
        (("--repeats", "0"), "out of range"),
        (("--no-such",), "No such option"),
        (("--port", "0"), "--port"),
        (("--model", "nonesuch"), "there is no model 'nonesuch'"),
        (("--allow-host", "http://proxy.example/"), "'http://proxy.example/' is no name of a machine"),
        (("--allow-host", "proxy.example:8080"), "is no name of a machine"),
        (("--allow-host", ""), "is no name of a machine"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_served(options: tuple[str, ...], words: str) -> None:
    port = () if "--port" in options else ("--port", str(free_port()))
    result = subprocess.run(
        [COMMAND, "serve", *port, *options], capture_output=True, text=True, check=False, timeout=60
    )
    assert result.returncode == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_a_port_in_use_is_one_sentence(storage: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = subprocess.run(
            [COMMAND, "serve", "--host", "127.0.0.1", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert result.returncode == 2
    assert f"nothing can listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


# In a real browser ---------------------------------------------------------------------------------------------------

DRAWN = "document.body?.classList.contains('-first-byte')"


@contextlib.asynccontextmanager
async def forwarded(port: int) -> AsyncIterator[int]:
    """Another port of this machine that leads to a port, as `ssh -L` makes it."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there = await asyncio.open_connection("127.0.0.1", port)
        await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))

    server = await asyncio.start_server(connect, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize("by", ["the printed address", "a forwarded port"])
async def test_a_browser_shows_the_explorer_and_asks_nobody_else(by: str, served: Served, tmp_path: Path) -> None:
    async with forwarded(served.port) as other, browser_page(tmp_path / "profile") as page:
        address = served.addresses[0] if by == "the printed address" else f"http://localhost:{other}/?{served.token}"
        await page.open(address)
        await page.wait_for(DRAWN)
        hosts = {urlsplit(asked).netloc for asked in page.requested if not asked.startswith(("data:", "about:"))}
        assert hosts == {urlsplit(address).netloc}
        assert {status for asked, status in page.statuses.items() if asked.startswith("http")} <= {200, 101, 302}
        assert "token" not in await page.evaluate("window.location.href")
        assert await page.evaluate("document.fonts.check('16px \"Roboto Mono\"')")
        await page.wait_for("document.activeElement?.classList.contains('xterm-helper-textarea')")
        await page.press("q")
        await page.wait_for("document.body.classList.contains('-closed')")
        await page.evaluate("document.getElementById('again').click()")
        await page.wait_for(f"{DRAWN} && !document.body.classList.contains('-closed')")


#: A page that tries every way to its visitor's explorer, and tells what came of it.
ATTACK = """
(async () => {
  const got = [];
  const address = "http://HOST:PORT";
  for (const path of ["/", "/page/page.js", "/static/js/textual.js", "/ws"]) {
    try {
      const answer = await fetch(address + path, {credentials: "include"});
      got.push("read " + path + ": " + answer.status);
    } catch (error) {}
    try {
      const answer = await fetch(address + path, {credentials: "include", mode: "no-cors"});
      if (answer.type !== "opaque") got.push("opened " + path);
    } catch (error) {}
  }
  got.push(...await new Promise((resolve) => {
    const socket = new WebSocket("ws://HOST:PORT/ws?width=100&height=30");
    socket.onopen = () => resolve(["a socket"]);
    socket.onerror = () => resolve([]);
  }));
  got.push(...await new Promise((resolve) => {
    const frame = document.createElement("iframe");
    frame.src = address + "/";
    frame.onload = () => { try { resolve([frame.contentDocument.title]); } catch (error) { resolve([]); } };
    document.body.append(frame);
    setTimeout(() => resolve([]), 3000);
  }));
  got.push(...await new Promise((resolve) => {
    const script = document.createElement("script");
    script.src = address + "/page/page.js";
    script.onload = () => resolve(["a script"]);
    script.onerror = () => resolve([]);
    document.body.append(script);
  }));
  return got;
})()
"""


async def test_a_page_of_another_origin_gets_nothing_in_a_browser_that_has_the_cookie(
    served: Served, tmp_path: Path
) -> None:
    async def nothing(_: web.Request) -> web.Response:
        return web.Response(text="<!DOCTYPE html><body></body>", content_type="text/html")

    elsewhere = web.Application()
    elsewhere.router.add_get("/", nothing)
    runner = web.AppRunner(elsewhere)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    rules = "--host-resolver-rules=MAP evil.example 127.0.0.1, MAP rebound.example 127.0.0.1"
    try:
        async with browser_page(tmp_path / "profile", rules) as page:
            await page.open(served.addresses[0])
            await page.wait_for(DRAWN)
            for origin in (f"http://evil.example:{port}", f"http://localhost:{port}"):
                await page.open(f"{origin}/")
                await page.wait_for(f"window.location.origin === '{origin}' && document.body !== null")
                for host in ("localhost", "127.0.0.1"):
                    page.answered.clear()
                    attack = ATTACK.replace("HOST", host).replace("PORT", str(served.port))
                    assert await page.evaluate(attack) == []
                    ours = {status for url, status in page.answered if urlsplit(url).port == served.port}
                    assert ours == {FORBIDDEN}
            rebound = f"http://rebound.example:{served.port}/?{served.token}"
            await page.open(rebound)
            await page.wait_for("document.body?.innerText.includes('ckpt-tui:')")
            assert page.statuses[rebound] == FORBIDDEN
    finally:
        await runner.cleanup()
