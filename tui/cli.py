"""The command line. Textual, matplotlib and the like are imported by the commands that need them, when they do."""

import os
import signal
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from state.errors import CkptTuiError, RequestError, WorkerError
from state.optimizations import DEFAULT_CHUNK_BYTES, DEFAULT_CONCURRENCY, Codec
from state.plan import Cache, Dtype, Durability, Plan, expand_methods
from state.run import Run
from state.units import parse_size, size_argument

OK, SOME_FAILED, WRONG_REQUEST = 0, 1, 2


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ckpt-tui", message="ckpt-tui %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Race the ways to save and load a model's tensors on your disk, under equal rules."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@cli.command()
@click.option("--model", default="demo", show_default=True, help="Preset, folder or file with weights, or hub id.")
@click.option("--size", metavar="SIZE", help="Scale a preset to about this size, for example 256MiB.")
@click.option(
    "--dtype",
    type=click.Choice(["auto", "float16", "bfloat16", "float32"]),
    default="auto",
    show_default=True,
    help="Cast floating-point tensors before measuring.",
)
@click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N.")
@click.option(
    "--methods", default="six", show_default=True, metavar="NAMES", help="six, cells, all, or names with commas."
)
@click.option("--concurrency", type=int, default=DEFAULT_CONCURRENCY, show_default=True, help="Its value where on.")
@click.option(
    "--chunk-size",
    default=size_argument(DEFAULT_CHUNK_BYTES),
    show_default=True,
    metavar="SIZE",
    help="Chunking's value where on.",
)
@click.option(
    "--codec",
    default="gzip",
    show_default=True,
    metavar="NAME[:LEVEL]",
    help="Compression's value where on: gzip, zstd, blosc-lz4 or blosc-zstd.",
)
@click.option("--storage", default=".", show_default=True, metavar="DIR", help="Folder on the disk to measure.")
@click.option("--repeats", type=int, default=3, show_default=True, help="Number of rounds.")
@click.option("--cache", type=click.Choice(["cold", "warm"]), default="cold", show_default=True, help="Before loads.")
@click.option(
    "--durability",
    type=click.Choice(["durable", "buffered"]),
    default="durable",
    show_default=True,
    help="Whether a save ends on the device or when the call returns.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the weights and of the order of methods.")
@click.option(
    "--stall-timeout", type=float, default=120.0, show_default=True, metavar="S", help="Stop a trial stuck so long."
)
@click.option("--timeout", type=float, metavar="S", help="Stop a trial that takes longer, within 2 s.  [default: none]")
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
def run(
    *,
    size: str | None,
    methods: str,
    chunk_size: str,
    codec: str,
    storage: str,
    dtype: Dtype,
    cache: Cache,
    durability: Durability,
    output: str,
    exports: tuple[Path, ...],
    overwrite: bool,
    quiet: bool,
    stall_timeout: float,
    timeout: float | None,
    **plain: Any,
) -> int:
    """Measure methods without the explorer: progress on stderr, results on stdout.

    Exit status: 0 all measured and verified, 1 some method failed, 2 the request was wrong, 128 + N stopped by
    signal N.
    """
    from backends.methods import registry
    from backends.storage import check_storage
    from state.export import check_export

    plan = Plan(
        size_bytes=parse_size(size) if size is not None else None,
        methods=expand_methods(methods, registry.entries()),
        chunk_bytes=parse_size(chunk_size),
        codec=Codec.parse(codec),
        storage=str(check_storage(Path(storage).expanduser())),
        dtype=dtype,
        cache=cache,
        durability=durability,
        stall_timeout_s=stall_timeout,
        timeout_s=timeout,
        **plain,
    )
    for number, path in enumerate(exports):
        check_export(path, overwrite=overwrite)
        if path.resolve() in [earlier.resolve() for earlier in exports[:number]]:
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
    finished = any(record.result is not None for record in measured.records)
    refusal = measured.refusal
    if refusal is not None and not finished:
        raise RequestError(refusal.what, refusal.do)
    try:
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

    print_methods(registry.entries().values())
    return OK


@cli.command()
def models() -> int:
    """List the preset models."""
    from backends.architectures import architectures
    from tui.report import print_models

    print_models(architectures())
    return OK


@cli.command()
@click.option("--storage", default=".", show_default=True, metavar="DIR", help="Folder on the disk to look at.")
@click.option("--yes", "-y", is_flag=True, help="Remove what killed runs left behind without asking.")
def doctor(storage: str, yes: bool) -> int:
    """Check this machine, and remove what killed runs left behind.

    Exit status: 0 all well, 1 something is wrong.
    """
    from backends.storage import check_storage
    from tui.doctor import examine

    return OK if examine(check_storage(Path(storage).expanduser()), remove_orphans=yes) else SOME_FAILED


def main() -> NoReturn:
    """Run the command line and exit with its status."""
    try:
        status = cli.main(prog_name="ckpt-tui", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        sys.exit(_say(error.format_message().rstrip("."), WRONG_REQUEST))
    except WorkerError as error:
        sys.exit(_say(str(error).rstrip("."), SOME_FAILED))
    except CkptTuiError as error:
        sys.exit(_say(str(error).rstrip("."), WRONG_REQUEST))
    except (click.Abort, KeyboardInterrupt):
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # the reader of our output has gone, as in `ckpt-tui run | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_say(f"standard output cannot be written ({error.strerror}): use --export FILE", SOME_FAILED))
    sys.exit(status)


def _say(sentence: str, status: int) -> int:
    """One sentence on standard error, in one line whatever was in a name."""
    line = " ".join(sentence.split())
    print(f"ckpt-tui: {line}.", file=sys.stderr)
    return status
