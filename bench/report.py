"""What the benches share: how they refuse, and what stands above the figures that are kept."""

from pathlib import Path
from typing import Any

import click

from state.errors import CkptTuiError
from state.export.files import write_export
from state.run.environment import Environment
from state.run.records import Run
from state.units import format_bytes


class Bench(click.Command):
    """A bench as a command: what it cannot do ends in one sentence and exit status 2."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except CkptTuiError as error:
            raise click.UsageError(str(error), ctx) from error


def where(environment: Environment) -> list[str]:
    """The machine and the versions, without names and paths of its owner."""
    size = format_bytes(environment.memory_bytes) if environment.memory_bytes is not None else "unknown"
    file_system = environment.filesystem
    libraries = (f"{name} {version}" for name, version in environment.libraries.items())
    return [
        f"{environment.system} · {environment.cpu} · {environment.cores} cores · {size} of memory",
        f"{file_system.type} ({', '.join(file_system.options)})",
        f"Python {environment.python} · {' · '.join(libraries)}",
    ]


def keep_run(run: Run, text: str, folder: Path, name: str) -> None:
    """Write a report into a folder, and beside it everything that was measured."""
    keep(text, folder, f"{name}.txt")
    for suffix in ("json", "csv", "samples.csv"):
        write_export(run, folder / f"{name}.{suffix}", overwrite=True)


def keep(text: str, folder: Path, name: str) -> None:
    """Write a report into a folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
