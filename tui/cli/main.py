"""The command line. Textual, matplotlib and the like are imported by the commands that need them, when they do."""

import gc
import importlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

import click
import msgspec

from state.errors import CkptTuiError, OutputError, RequestError, UnavailableError, WorkerError
from state.plan import Plan
from tui.cli.click_options import check_model, make_plan, plan_options
from tui.cli.output import check_files, format_option, standard_output, tell, write_files
from tui.plain_characters import be_plain_where_needed, is_plain

if TYPE_CHECKING:
    from textual.driver import Driver

OK, SOME_FAILED, WRONG_REQUEST = 0, 1, 2

ascii_option: Final = click.option("--ascii", "plain", is_flag=True, help="Draw with plain characters only.")
#: Command -> where it is. The explorer starts without importing what is not asked for.
_ELSEWHERE: Final = {
    "history": "tui.cli.history:history",
    "export": "tui.cli.history:export",
    "why": "tui.cli.analysis:why",
    "compare": "tui.cli.analysis:compare",
    "methods": "tui.cli.methods:methods",
    "aa": "tui.cli.analysis:aa",
}


class _Group(click.Group):
    """Without a command it is `explore`, whose options may follow at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All of them by name."""
        return sorted((*super().list_commands(ctx), *_ELSEWHERE))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command, imported if it lies elsewhere."""
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, _, name = _ELSEWHERE[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "-h", "--version"}
        if not args or (args[0].startswith("-") and args[0] not in own):
            args.insert(0, "explore")
        return super().parse_args(ctx, args)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ckpt-tui", message="ckpt-tui %(version)s")
def cli() -> None:
    """Race the ways to save and load a model's tensors on your disk, under equal rules.

    Without a command it opens the explorer, which takes the options of `explore`.
    """


@cli.command()
@plan_options
@ascii_option
@click.pass_context
def explore(context: click.Context, /, *, plain: bool, **options: Any) -> int:
    """Open the interactive explorer."""
    gc.disable()  # until the first screen stands: what is imported stays, and collections cost a tenth of the start
    # Under textual-serve the "terminal" is a pipe to the browser.
    in_browser = "TEXTUAL_DRIVER" in os.environ
    if in_browser:
        from backends.process.children import end_with_parent

        end_with_parent(signal.SIGTERM)
    from tui.cli.preferences import to_explore

    try:
        plan, entries, settings = to_explore(context, options)
        if plain or settings.ascii:
            be_plain_where_needed(always=True)
        settings = msgspec.structs.replace(settings, ascii=is_plain())
    except CkptTuiError as error:
        if in_browser:
            from tui.web.refusal import Refusal

            Refusal(str(error)).run()
        raise
    if not in_browser and not all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        raise RequestError("the explorer needs a terminal", "use ckpt-tui run where there is none")
    if not in_browser and (terminal := os.environ.get("TERM", "")) in ("dumb", "unknown"):
        raise RequestError(f"the explorer cannot draw on a {terminal} terminal (TERM)", "use ckpt-tui run there")
    if not in_browser:  # the window itself knows better, and may change
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
    from tui.explorer.terminal_guard import guarded_terminal

    with guarded_terminal("it was killed; finished results are in the history: see ckpt-tui history."):
        from tui.explorer.app import ExplorerApp

        app = ExplorerApp(plan, entries, settings, driver_class=_driver_class(in_browser, settings.ascii))
        app.run()
    return app.return_code or OK


def _driver_class(in_browser: bool, plain: bool) -> "type[Driver] | None":
    """What the explorer is drawn with; None leaves it to Textual."""
    if in_browser and plain:
        from tui.web.driver import PlainDriver

        return PlainDriver
    if in_browser:
        return None
    from tui.explorer.terminal_driver import TerminalDriver

    return TerminalDriver


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--host", default="localhost", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.option(
    "--allow-host",
    "also",
    multiple=True,
    metavar="NAME",
    help="Another name or address that browsers reach it by, such as a proxy's; repeatable.",
)
@click.argument("explore_options", nargs=-1, type=click.UNPROCESSED)
def serve(host: str, port: int, also: tuple[str, ...], explore_options: tuple[str, ...]) -> int:
    """Open the explorer in a browser, on this machine only unless --host says otherwise.

    Takes the options of `explore`, too. The address that it prints lets its reader run trials and write files here.
    Exit status: 2 the request was wrong, 128 + N stopped by signal N.
    """
    from tui.cli.preferences import of_the_plan, to_explore

    with explore.make_context("explore", list(explore_options)) as context:
        to_explore(context, of_the_plan(context))
    try:
        from tui.web.server import serve_explorer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("tui", "state", "backends"):
            raise
        raise UnavailableError(
            "the browser needs the package textual-serve", "install it with pip install 'ckpt-tui[web]'"
        ) from None
    if not host.strip("[] "):
        raise RequestError("--host has no address in it", "give one, such as localhost or 0.0.0.0")
    stopped_by = serve_explorer(host, port, explore_options, also)
    return OK if stopped_by is None else 128 + stopped_by


@cli.command()
@plan_options
@ascii_option
@format_option
@click.option(
    "--export",
    "exports",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write .csv, .samples.csv, .json, .md, .png or .svg; repeatable.",
)
@click.option("--overwrite", is_flag=True, help="Let --export replace files.")
@click.option("--quiet", "-q", is_flag=True, help="No progress on standard error.")
@click.option("--no-history", is_flag=True, help="Do not keep the run in the history.")
def run(
    *,
    output: str,
    exports: tuple[Path, ...],
    overwrite: bool,
    quiet: bool,
    no_history: bool,
    plain: bool,
    **options: Any,
) -> int:
    """Measure methods without the explorer: progress on stderr, results on stdout.

    Exit status: 0 all measured and verified, 1 some method failed, 2 the request was wrong, 128 + N stopped by
    signal N.
    """
    from backends.methods import registry

    if plain:
        be_plain_where_needed(always=True)
    entries = registry.entries()
    plan = make_plan(entries=entries, **options)
    check_model(plan)
    lacking = {name: why for name in plan.methods if (why := entries[name].unavailable) is not None}
    if len(lacking) == len(plan.methods):
        raise RequestError("; ".join(f"{name} {why}" for name, why in lacking.items()), "or choose other --methods")
    check_files(exports, overwrite=overwrite)
    return _run(plan, output, exports, overwrite=overwrite, quiet=quiet, history=not no_history)


def _run(plan: Plan, output: str, exports: tuple[Path, ...], *, overwrite: bool, quiet: bool, history: bool) -> int:
    from state.analysis.results import all_verified
    from tui.cli.report import print_report
    from tui.cli.run import measure_here

    measured, stopped_by = measure_here(plan, quiet=quiet, history=history)
    refusal = measured.refusal
    try:
        with standard_output():
            print_report(measured, output)
    except OutputError:
        if stopped_by is None:  # a terminal that has hung up is no news
            raise
    finally:  # a reader that has gone, as in `ckpt-tui run | head`, must not cost the files
        exported = write_files(measured, exports, overwrite=overwrite, quiet=quiet)
    if stopped_by is not None:
        tell(f"ckpt-tui: stopped by {signal.Signals(stopped_by).name}, what was finished is above.")
        return 128 + stopped_by
    if refusal is not None:
        tell(f"ckpt-tui: {refusal.what}: {refusal.do}.")
    return OK if all_verified(measured) and exported else SOME_FAILED


@cli.command()
def models() -> int:
    """List the preset models."""
    from backends.models.architectures import architectures
    from tui.cli.report import print_models

    with standard_output():
        print_models(architectures())
    return OK


@cli.command()
@click.option("--storage", default=".", show_default=True, metavar="DIR", help="Folder on the disk to look at.")
@click.option("--yes", "-y", is_flag=True, help="Remove what killed runs left behind without asking.")
def doctor(storage: str, yes: bool) -> int:
    """Check this machine, and remove what killed runs left behind.

    Exit status: 0 all well, 1 something is wrong.
    """
    from backends.storage.folder import check_storage, user_path
    from tui.cli.doctor import examine

    return OK if examine(check_storage(user_path(storage)), remove_orphans=yes) else SOME_FAILED


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    _take_standard_descriptors()
    try:
        be_plain_where_needed()
        status = cli.main(prog_name="ckpt-tui", standalone_mode=False)
    except click.ClickException as error:
        sys.exit(_say(error.format_message().rstrip("."), WRONG_REQUEST))
    except (WorkerError, OutputError) as error:
        sys.exit(_say(str(error).rstrip("."), SOME_FAILED))
    except CkptTuiError as error:
        sys.exit(_say(str(error).rstrip("."), WRONG_REQUEST))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has gone, as in `ckpt-tui run | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except Exception as error:  # what the system lacks is no fault of ours, and no traceback says it better
        from backends.process.failures import lack_of_the_process

        failure = lack_of_the_process(error)
        if failure is None:
            raise
        sys.exit(_say(f"{failure.what}: {failure.do}", SOME_FAILED))
    sys.exit(status)


def _take_standard_descriptors() -> None:
    """Whoever started us may have closed them; the next file to be opened would be taken for standard output."""
    while (fd := os.open(os.devnull, os.O_RDWR)) < 3:
        os.set_inheritable(fd, True)
    os.close(fd)


def _say(sentence: str, status: int) -> int:
    """One sentence on standard error, in one line whatever was in a name."""
    tell(f"ckpt-tui: {' '.join(sentence.split())}.")
    return status
