"""How long until the explorer has drawn itself, beside a minimal Textual app and Textual's own demo.

    python -m bench.first_paint --rounds 9

Each is started in a pseudo-terminal of 120x36, in turn; the clock runs from the fork until a word of its first screen
is written. Quote the ratios of the medians of one run.
"""

import os
import statistics
import sys
import tempfile
from pathlib import Path

import click

from bench.pty_app import PtyApp, says

HELLO = """
from textual.app import App
from textual.widgets import Static
class Hello(App):
    def compose(self):
        yield Static("hello there")
Hello().run()
"""


def commands(storage: str) -> dict[str, tuple[list[str], str]]:
    """Name -> command and the word that tells its first screen."""
    return {
        "hello": ([sys.executable, "-c", HELLO], "hello there"),
        "textual demo": ([sys.executable, "-m", "textual"], "Textual"),
        "ckpt-tui": ([str(Path(sys.executable).with_name("ckpt-tui")), "--storage", storage], "Optimizations"),
    }


@click.command()
@click.option("--rounds", default=9, show_default=True)
def main(rounds: int) -> None:
    """Compare first paints."""
    times_s: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "HOME": folder, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
        for number in range(rounds + 1):
            for name, (command, word) in commands(folder).items():
                app = PtyApp(command, environment)
                painted_s = app.wait_for(says(word)) - app.start_s
                app.close()
                if number:  # the first round warms the page cache
                    times_s.setdefault(name, []).append(painted_s)
    hello_s = statistics.median(times_s["hello"])
    print(f"{'first paint':<14}{'median s':>10}{'over hello':>12}   {rounds} interleaved rounds")
    for name, samples in times_s.items():
        print(f"{name:<14}{statistics.median(samples):>10.3f}{statistics.median(samples) / hello_s:>12.2f}")


if __name__ == "__main__":
    main()
