"""`ckpt-tui history` and `ckpt-tui export`: the runs that were kept, without the explorer."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from state.errors import RequestError
from tui.cli.output import check_files, format_option, standard_output, tell, write_files

if TYPE_CHECKING:
    from state.history.store import History

#: For the end of a command's help.
RUN_REFERENCE: Final = "RUN is an id, the beginning or end of one, a name, last, last~N or baseline."


def opened_history() -> "History":
    """The history, with a word if something was wrong with it. A context manager, as `History` is."""
    from state.history.store import History

    history = History()
    if history.notice:
        tell(f"ckpt-tui: {history.notice}")
    return history


@click.group(invoke_without_command=True, epilog=RUN_REFERENCE)
@click.option("--search", default="", metavar="WORDS", help="Only runs in which all of these words occur.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="Only the newest N.  [default: all]")
@click.option(
    "--format", "output", type=click.Choice(["table", "json"]), default="table", show_default=True, help="Of the list."
)
@click.pass_context
def history(context: click.Context, /, search: str, limit: int | None, output: str) -> int:
    """List the runs that were kept, newest first, and look after them."""
    if context.invoked_subcommand is not None:
        if search or limit is not None:
            raise RequestError(
                f"--search and --limit are for the list, not for {context.invoked_subcommand}", "leave them out"
            )
        return 0
    with opened_history() as kept:
        entries = kept.runs(search, limit)
    from tui.cli.history_report import print_entries

    with standard_output():
        print_entries(entries, output, search=search)
    return 0


@history.command(epilog=RUN_REFERENCE)
@format_option
@click.argument("run", metavar="RUN")
def show(run: str, output: str) -> int:
    """Show a run as `ckpt-tui run` did."""
    with opened_history() as kept:
        found = kept.find(run)
    from tui.cli.report import print_report

    with standard_output():
        print_report(found, output)
    return 0


@history.command(epilog=RUN_REFERENCE)
@click.argument("run", metavar="RUN")
@click.argument("text", metavar="NAME")
def name(run: str, text: str) -> int:
    """Call a run by a name of its own; an empty NAME takes it away."""
    with opened_history() as kept:
        kept.name(kept.resolve(run), text)
    return 0


@history.command(epilog=RUN_REFERENCE)
@click.argument("run", metavar="RUN")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
def tag(run: str, tags: tuple[str, ...]) -> int:
    """Give a run tags."""
    with opened_history() as kept:
        kept.tag(kept.resolve(run), *tags)
    return 0


@history.command(epilog=RUN_REFERENCE)
@click.argument("run", metavar="RUN")
@click.argument("tags", metavar="TAG...", nargs=-1, required=True)
def untag(run: str, tags: tuple[str, ...]) -> int:
    """Take tags away from a run."""
    with opened_history() as kept:
        kept.untag(kept.resolve(run), *tags)
    return 0


@history.command(epilog=RUN_REFERENCE)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--yes", "-y", is_flag=True, help="Do not ask.")
def delete(runs: tuple[str, ...], yes: bool) -> int:
    """Delete runs for good, after asking."""
    with opened_history() as kept:
        run_ids = list(dict.fromkeys(kept.resolve(run) for run in runs))
        listed = ", ".join(run_ids)
        if not yes:
            if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()):
                raise RequestError(f"nobody can be asked whether to delete {listed}", "say so with --yes")
            if not click.confirm(f"Delete {listed} for good?", err=True):
                tell("nothing was deleted")
                return 0
        kept.delete(run_ids)
    tell(f"deleted {listed}")
    return 0


@history.command(epilog=RUN_REFERENCE)
@click.argument("run", metavar="RUN", required=False)
@click.option("--clear", is_flag=True, help="Let no run be the baseline.")
def baseline(run: str | None, clear: bool) -> int:
    """Make a run the baseline that others are compared with, or say which is."""
    if clear and run is not None:
        raise RequestError(f"both {run} and --clear are given", "give one of them")
    with opened_history() as kept:
        if clear:
            kept.set_baseline(None)
        elif run is not None:
            kept.set_baseline(kept.resolve(run))
        else:
            run_id = kept.resolve("baseline")
            with standard_output():
                click.echo(run_id)
    return 0


@history.command("import")
@click.argument("paths", metavar="FILE.json...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace runs that are in the history already.")
def import_(paths: tuple[Path, ...], overwrite: bool) -> int:
    """Take in runs that were exported as .json."""
    from state.export.json import read_export

    with opened_history() as kept:
        for path in paths:
            run = read_export(path)
            try:
                kept.add(run, overwrite=overwrite)
            except RequestError as error:
                raise RequestError(f"{path} is not taken in: {error.what}", error.do) from None
            tell(f"took in {run.run_id} from {path}")
    return 0


@click.command(epilog=RUN_REFERENCE)
@click.argument("run", metavar="RUN")
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
def export(run: str, paths: tuple[Path, ...], overwrite: bool) -> int:
    """Write a kept run to files.

    The suffix decides: .csv, .samples.csv, .json, .md, .png or .svg.
    """
    check_files(paths, overwrite=overwrite)
    with opened_history() as kept:
        found = kept.find(run)
    return 0 if write_files(found, paths, overwrite=overwrite) else 1


history.add_command(export)
