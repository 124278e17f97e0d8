"""The command line. Textual, matplotlib and the like are imported by the commands that need them, when they do."""

import contextlib
import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

import click

from state.errors import CkptTuiError, OutputError, RequestError, WorkerError
from state.plan import Plan
from state.run import Run
from tui.plan_options import make_plan, plan_options

OK, SOME_FAILED, WRONG_REQUEST = 0, 1, 2


class _Group(click.Group):
    """Without a command it is `explore`, whose options may follow at once."""

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
@click.pass_context
def explore(context: click.Context, /, **options: Any) -> int:
    """Open the explorer: toggle, run, watch, export."""
    gc.disable()  # until the first screen stands: what is imported stays, and collections cost a tenth of the start
    from backends.methods import registry
    from state.paths import settings_file
    from state.settings import read_settings
    from tui.actions import DEFAULT_KEYS

    names = {flag.removeprefix("--"): str(p.name) for p in context.command.params for flag in p.opts}
    settings = read_settings(settings_file(), default_keys=DEFAULT_KEYS, options=names)
    for flag, value in settings.defaults.items():
        if context.get_parameter_source(names[flag]) is click.core.ParameterSource.DEFAULT:
            parameter = next(p for p in context.command.params if p.name == names[flag])
            options[names[flag]] = parameter.type_cast_value(context, value)
    available = tuple(registry.entries())
    plan = make_plan(available=available, **options)
    # Under textual-serve the "terminal" is a pipe to the browser.
    if "TEXTUAL_DRIVER" not in os.environ and not all(
        stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)
    ):
        raise RequestError("the explorer needs a terminal", "use ckpt-tui run where there is none")
    from state.paths import data_folder
    from tui.guard import guarded_terminal

    with guarded_terminal(f"it was killed; finished results are in {data_folder() / 'runs'}."):
        from tui.app import ExplorerApp

        app = ExplorerApp(plan, available, settings)
        app.run()
    return app.return_code or OK


@cli.command(context_settings={"ignore_unknown_options": True})
@click.option("--host", default="localhost", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65535), default=8000, show_default=True, help="Port to listen on.")
@click.argument("explore_options", nargs=-1, type=click.UNPROCESSED)
def serve(host: str, port: int, explore_options: tuple[str, ...]) -> int:
    """Open the explorer in a browser, on this machine only unless --host says otherwise.

    Takes the options of `explore`, too. Whoever reaches the address can run trials and write files here.
    """
    from tui.web import serve_explorer

    serve_explorer(host, port, explore_options)
    return OK


@cli.command()
@plan_options
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "csv", "markdown"]),
    default="table",
    show_default=True,
    help="Of the results on standard output.",
)
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
def run(*, output: str, exports: tuple[Path, ...], overwrite: bool, quiet: bool, **options: Any) -> int:
    """Measure methods without the explorer: progress on stderr, results on stdout.

    Exit status: 0 all measured and verified, 1 some method failed, 2 the request was wrong, 128 + N stopped by
    signal N.
    """
    from backends.methods import registry
    from state.export import check_export

    plan = make_plan(available=tuple(registry.entries()), **options)
    for number, path in enumerate(exports):
        check_export(path, overwrite=overwrite)
        if os.path.realpath(path) in [os.path.realpath(earlier) for earlier in exports[:number]]:
            raise RequestError(f"--export {path} is given twice", "give each file once")
    return _run(plan, output, exports, overwrite=overwrite, quiet=quiet)


def _run(plan: Plan, output: str, exports: tuple[Path, ...], *, overwrite: bool, quiet: bool) -> int:
    import asyncio

    from rich.console import Console

    from state.results import method_results
    from tui.headless import measure
    from tui.progress import ProgressDisplay
    from tui.report import print_report

    errors = Console(stderr=True)
    measured, stopped_by = asyncio.run(measure(plan, ProgressDisplay(errors, quiet=quiet)))
    refusal = measured.refusal
    if refusal is not None and not measured.has_results:
        raise (WorkerError if refusal.ours else RequestError)(refusal.what, refusal.do)
    try:
        with _output():
            print_report(measured, output)
    finally:  # a reader that has gone, as in `ckpt-tui run | head`, must not cost the files
        exported = _export(measured, exports, overwrite=overwrite, quiet=quiet)
    if stopped_by is not None:
        click.echo(f"ckpt-tui: stopped by {signal.Signals(stopped_by).name}, what was finished is above.", err=True)
        return 128 + stopped_by
    if refusal is not None:
        click.echo(f"ckpt-tui: {refusal.what}: {refusal.do}.", err=True)
    verified = all(result.status == "done" and result.verified for result in method_results(measured))
    return OK if verified and exported else SOME_FAILED


@contextlib.contextmanager
def _output() -> Iterator[None]:
    """For what goes to standard output: it may be full, or its reader may have gone.

    Raises:
        OutputError: If it is full.
        BrokenPipeError: If nobody reads.
    """
    try:
        yield
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        raise OutputError(f"standard output cannot be written ({error.strerror})", "use --export FILE") from None


def _export(measured: Run, paths: tuple[Path, ...], *, overwrite: bool, quiet: bool) -> bool:
    """Write what can be written. Returns whether that was everything."""
    from state.export import write_export

    complete = True
    for path in paths:
        try:
            write_export(measured, path, overwrite=overwrite)
        except CkptTuiError as error:
            complete = False
            click.echo(f"ckpt-tui: {error}", err=True)
        else:
            if not quiet:
                click.echo(f"wrote {path}", err=True)
    return complete


@cli.command()
def methods() -> int:
    """List the methods, their switches, and what they need."""
    from backends.methods import registry
    from tui.report import print_methods

    with _output():
        print_methods(registry.entries().values())
    return OK


@cli.command()
def models() -> int:
    """List the preset models."""
    from backends.architectures import architectures
    from tui.report import print_models

    with _output():
        print_models(architectures())
    return OK


@cli.command()
@click.option("--storage", default=".", show_default=True, metavar="DIR", help="Folder on the disk to look at.")
@click.option("--yes", "-y", is_flag=True, help="Remove what killed runs left behind without asking.")
def doctor(storage: str, yes: bool) -> int:
    """Check this machine, and remove what killed runs left behind.

    Exit status: 0 all well, 1 something is wrong.
    """
    from backends.storage import check_storage, user_path
    from tui.doctor import examine

    return OK if examine(check_storage(user_path(storage)), remove_orphans=yes) else SOME_FAILED


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="replace")  # a sign that a terminal lacks must not cost the results
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
    sys.exit(status)


def _say(sentence: str, status: int) -> int:
    """One sentence on standard error, in one line whatever was in a name."""
    line = " ".join(sentence.split())
    print(f"ckpt-tui: {line}.", file=sys.stderr)
    return status
