"""The removal of what a dead worker has left of a run, in a process of its own."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from state.run.events import RunRequested

#: How long somebody waits for it who is in a hurry, or whose storage has kept the worker from being killed.
HURRY_S: Final = 2.0
_LOOK_S: Final = 0.02


async def remove_scratch(request: RunRequested, log: Path, patience_s: float, is_hurried: Callable[[], bool]) -> str:
    """Remove what a dead worker has left of a run.

    Args:
        request: The run.
        log: Where errors go.
        patience_s: How long to wait; the removal goes on behind that.
        is_hurried: Whether somebody does not want to wait for it any more.

    Returns:
        What is left, in words, for the doctor to find; mostly empty.
    """
    arguments = ("-P", "-m", "backends.storage.scratch", request.plan.storage, request.run_id)
    scratch = f"the scratch folder of {request.run_id} in {request.plan.storage}"
    try:
        with log.open("ab") as file:
            # Not by asyncio, which kills what still runs when its loop ends: this goes on where nobody waits.
            removal = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,  # a second Ctrl-C, or a closed terminal, must not leave the files
            )
    except OSError as error:
        return f"{scratch} cannot be deleted ({error})"
    deadline_s = time.monotonic() + patience_s
    while (status := removal.poll()) is None and time.monotonic() < deadline_s:
        await asyncio.sleep(_LOOK_S)
        if is_hurried():
            deadline_s = min(deadline_s, time.monotonic() + HURRY_S)
    if status is None:
        return f"{scratch} is not deleted yet"
    return f"{scratch} cannot be deleted (see {log})" if status else ""
