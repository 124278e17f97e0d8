"""Where a command's results go: standard output, and files."""

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import click

from state.errors import CkptTuiError, OutputError, RequestError
from state.run.records import Run

#: How `print_report` shall write.
format_option: Final = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="Of the results on standard output.",
)

#: For what is no run.
json_format_option: Final = click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="Of the output.",
)


def tell(sentence: str) -> None:
    """Write a line to standard error, if anybody reads it: what is told there is never worth a result."""
    if sys.stderr is None:  # closed by whoever started us; `print` would take standard output then
        return
    with contextlib.suppress(OSError, ValueError):
        print(sentence, file=sys.stderr, flush=True)


@contextlib.contextmanager
def standard_output() -> Iterator[None]:
    """For what goes to standard output: it may be full, or its reader may have gone.

    Raises:
        OutputError: If it is full, or closed.
        BrokenPipeError: If nobody reads.
    """
    try:
        yield
        if sys.stdout is None:  # closed by whoever started us
            raise OutputError("standard output is closed", "use --export FILE")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        raise OutputError(f"standard output cannot be written ({error.strerror})", "use --export FILE") from None


def check_files(paths: Sequence[Path], *, overwrite: bool) -> None:
    """Refuse files that could not be written, before anything is done for them.

    Raises:
        RequestError: If one could not, or is given twice.
    """
    from state.export.files import check_export

    for number, path in enumerate(paths):
        check_export(path, overwrite=overwrite)
        if os.path.realpath(path) in [os.path.realpath(earlier) for earlier in paths[:number]]:
            raise RequestError(f"{path} is given twice", "give each file once")


def write_files(run: Run, paths: Sequence[Path], *, overwrite: bool, quiet: bool = False) -> bool:
    """Write what can be written. Returns whether that was everything."""
    from state.export.files import write_export

    complete = True
    for path in paths:
        try:
            write_export(run, path, overwrite=overwrite)
        except CkptTuiError as error:
            complete = False
            tell(f"ckpt-tui: {error}")
        else:
            if not quiet:
                tell(f"wrote {path}")
    return complete
