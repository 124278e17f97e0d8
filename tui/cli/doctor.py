"""`ckpt-tui doctor`: what this machine can prove, what is wrong with it, and what killed runs left behind."""

import asyncio
import sys
from pathlib import Path

import click

from backends.measuring.memory_taken_back import measure_fresh_memory
from backends.methods import registry
from backends.process.launcher import Launcher
from backends.process.machine_info import environment
from backends.storage import scratch
from backends.storage.folder import room, tree_size
from backends.storage.pagecache import can_drop_caches, residency
from state.analysis.advice import advice
from state.analysis.memory_taken_back import memory_sentence
from state.errors import CkptTuiError
from state.plain_text import one_line
from state.plan import Plan
from state.run.events import RunInterrupted, WorkerReady
from state.units import format_bytes, format_seconds


def examine(storage: Path, *, remove_orphans: bool) -> bool:
    """Print what was found. Returns whether everything is well.

    Args:
        storage: The folder on the disk that runs would use.
        remove_orphans: Remove leftovers without asking.
    """
    record = environment(storage)
    free = room(storage)
    click.echo(f"{record.system} · Python {record.python} · {record.cpu}, {record.cores} cores")
    click.echo(" · ".join(f"{name} {version}" for name, version in record.libraries.items()))
    files = "any number of" if free.files is None else f"{free.files:,}"
    _mark(True, f"{storage} ({record.filesystem.type}) takes {format_bytes(free.disk_bytes)} and {files} files")
    _mark(True, f"{format_bytes(free.memory_bytes)} of memory are available")
    seen = residency(Path(__file__).parent) is not None
    _note(seen, "what is in the page cache can be seen (mincore)", "loads cannot be proven cold here: no mincore")
    _note(
        can_drop_caches(),
        "the whole page cache can be dropped before cold loads",
        "only a checkpoint's own pages can be dropped before cold loads; root may drop directory entries too",
    )
    for entry in registry.entries().values():
        if entry.unavailable:
            _note(False, "", f"{entry.name} {entry.unavailable}")
    for sentence in advice(record, Plan(storage=str(storage))):
        if not sentence.startswith("Only the checkpoint"):
            _note(False, "", sentence)
    _memory()
    ready = asyncio.run(_try_worker())
    healthy = isinstance(ready, WorkerReady)
    if isinstance(ready, WorkerReady):
        _mark(True, f"the worker imports its libraries in {format_seconds(ready.import_s)} s")
    else:
        _mark(False, f"the worker does not start: {ready.failure.what}\n{ready.failure.log}")
    return _orphans(storage, remove=remove_orphans) and healthy


def _memory() -> None:
    """Say whether the host takes free memory back, and what that costs a fresh program's load."""
    click.echo("  measuring for about ten seconds whether free memory stays at hand ...")
    memory = measure_fresh_memory()
    if memory is None:
        _note(False, "", "too little memory is available to see whether it stays at hand")
        return
    sentence = memory_sentence(memory)
    _note(not memory.taken_back, sentence, f"{sentence}; runs have memory at hand unless --memory as-found is given")


async def _try_worker() -> WorkerReady | RunInterrupted:
    launcher = Launcher()
    try:
        await launcher.start()
        while not isinstance(event := await launcher.next_event(), WorkerReady | RunInterrupted):
            pass
        return event
    finally:
        await launcher.close()


def _orphans(storage: Path, *, remove: bool) -> bool:
    """Show and remove scratch folders of killed runs. Returns whether none is left."""
    found = scratch.orphans(storage)
    if not found:
        _mark(True, "no killed run left anything behind")
        return True
    left = 0
    for orphan in found:
        if orphan.doubt:
            _note(
                False,
                "",
                one_line(f"{orphan.folder} {orphan.doubt}, and is left alone; delete it by hand if it is yours"),
            )
            continue
        size_bytes, file_count = tree_size(orphan.folder)
        who = f"run {orphan.owner.run_id}" if orphan.owner else "a run that had not begun"
        _mark(False, f"{orphan.folder} was left by {who}: {file_count:,} files, {format_bytes(size_bytes)}")
        if not remove and not (sys.stdin.isatty() and click.confirm("  Remove it?", default=True)):
            left += 1
            continue
        try:
            scratch.remove(orphan.folder, patience_s=1.0)
            _mark(True, f"removed {orphan.folder}")
        except CkptTuiError as error:
            left += 1
            _mark(False, str(error))
    if left and not sys.stdin.isatty():
        click.echo("  remove them with ckpt-tui doctor --yes")
    return left == 0


def _mark(good: bool, text: str) -> None:
    click.echo(f"{'✓' if good else '✗'} {text}")


def _note(good: bool, yes: str, no: str) -> None:
    """Something that may be as it is, but should be known."""
    click.echo(f"✓ {yes}" if good else f"! {no}")
