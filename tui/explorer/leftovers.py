"""Leftovers of runs that were killed with the whole program: found at the start, and removed if somebody agrees."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from textual.app import App

from state.errors import CkptTuiError
from tui.background import aside
from tui.screens.question import Question


async def offer_to_remove(app: App[None], storage: Path, tell: Callable[[str], None]) -> None:
    """Look for leftovers in a storage folder, and ask whether they shall go.

    Args:
        app: What asks.
        storage: Where to look.
        tell: Called with a line for the log.
    """
    from backends.storage import scratch
    from backends.storage.folder import in_time

    try:
        orphans = await aside(partial(scratch.orphans, storage, everywhere=False))
    except OSError as error:
        tell(f"! {storage} was not searched for leftovers: {error.strerror}")
        return
    ours = [orphan for orphan in orphans if not orphan.doubt]
    if not ours:
        return
    folders = "\n".join(str(orphan.folder) for orphan in ours)
    text = f"A run that was killed has left this behind:\n\n{folders}"
    if await app.push_screen_wait(Question("Leftovers", text, "Remove", "Keep", safe=True)):
        for orphan in ours:
            try:
                await aside(partial(in_time, orphan.folder, partial(scratch.remove, orphan.folder)))
                tell(f"removed {orphan.folder}")
            except CkptTuiError as error:
                tell(str(error))
