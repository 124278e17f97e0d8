"""The explorer in a browser, by textual-serve: one explorer, with a worker of its own, for each visitor."""

import shlex
import sys
from collections.abc import Sequence

from state.errors import RequestError, UnavailableError


def serve_explorer(host: str, port: int, options: Sequence[str]) -> None:
    """Serve until interrupted.

    Args:
        host: Address to listen on.
        port: Port to listen on.
        options: Of `ckpt-tui explore`.

    Raises:
        UnavailableError: If textual-serve is not installed.
        RequestError: If nothing can listen there.
    """
    try:
        from textual_serve.server import Server
    except ModuleNotFoundError:
        raise UnavailableError(
            "the browser needs the package textual-serve", "install it with pip install 'ckpt-tui[web]'"
        ) from None
    command = shlex.join([sys.executable, "-P", "-m", "tui", "explore", *options])
    try:
        Server(command, host=host, port=port, title="ckpt-tui").serve()
    except OSError as error:
        raise RequestError(f"nothing can listen on {host}:{port} ({error.strerror})", "choose another --port") from None
