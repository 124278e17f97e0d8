"""The explorer in a browser: the real server on loopback, and what a browser would be sent."""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import aiohttp
import psutil

from tests.backends.runs import family, gone, wait_until

COMMAND = Path(sys.executable).with_name("ckpt-tui")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def first_screen(port: int) -> str:
    """What the page's socket is sent until the explorer has drawn itself."""
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/") as page:
            assert page.status == 200
            assert "ckpt-tui" in await page.text()
        async with session.ws_connect(f"http://127.0.0.1:{port}/ws?width=120&height=36") as connection:
            drawn = b""
            while b"Optimizations" not in drawn:
                message = await asyncio.wait_for(connection.receive(), 30)
                if isinstance(message.data, bytes):
                    drawn += message.data
            return drawn.decode(errors="replace")


def test_a_browser_gets_the_explorer_on_loopback_only(storage: Path) -> None:
    port = free_port()
    server = subprocess.Popen(
        [COMMAND, "serve", "--port", str(port), "--storage", str(storage)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_until(lambda: bool(listening(server.pid)), 30)
        assert {address for address, _ in listening(server.pid)} <= {"127.0.0.1", "::1"}
        assert "Optimizations" in asyncio.run(first_screen(port))
        processes = family(server.pid)
    finally:
        server.terminate()
        server.wait(20)
    assert wait_until(lambda: gone(processes), 30)


def listening(pid: int) -> list[tuple[str, int]]:
    """Addresses on which a process waits for others."""
    time.sleep(0.05)
    connections = psutil.Process(pid).net_connections("tcp")
    return [(str(c.laddr[0]), int(c.laddr[1])) for c in connections if c.status == psutil.CONN_LISTEN]


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
