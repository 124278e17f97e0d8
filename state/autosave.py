"""Results outlive the process: every run is kept as JSON in the user's data folder while it goes on."""

import contextlib
from pathlib import Path
from typing import Final

from state.errors import ExportError
from state.export import write_export
from state.paths import data_folder
from state.run import Run

KEPT: Final = 100


def autosave(run: Run) -> Path | None:
    """Write a run's present state, replacing its earlier one; the oldest beyond `KEPT` runs go.

    Returns:
        The file, or None where the data folder cannot be written: a run must not fail for that.
    """
    path = data_folder() / "runs" / f"{run.run_id}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_export(run, path, overwrite=True)
    except (OSError, ExportError):
        return None
    for old in sorted(path.parent.glob("*.json"))[:-KEPT]:
        with contextlib.suppress(OSError):
            old.unlink()
    return path
