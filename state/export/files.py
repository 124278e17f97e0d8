"""Results as files: JSON, CSV (a row per method and operation, or per trial), Markdown, and a figure.

The suffix of the file's name decides. Field names are those of `state.analysis.rows` and stay: scripts depend on
them. A file is written beside its final name and renamed, so nobody ever reads half of one.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from state.errors import ExportError
from state.export.csv import to_csv, to_samples_csv
from state.export.json import to_json
from state.export.markdown import to_markdown
from state.run.records import Run


def _figure(file_format: str) -> Callable[[Run], bytes]:
    def render(run: Run) -> bytes:
        from state.export.figure import render_figure  # matplotlib takes a while, and most runs want no figure

        return render_figure(run, file_format)

    return render


#: Suffix -> exporter. The longest suffix that fits a name decides.
EXPORTERS: Final[dict[str, Callable[[Run], bytes]]] = {
    ".samples.csv": to_samples_csv,
    ".csv": to_csv,
    ".json": to_json,
    ".md": to_markdown,
    ".png": _figure("png"),
    ".svg": _figure("svg"),
}


def check_export(path: Path, *, overwrite: bool = False) -> Path:
    """Refuse a file that could not be written after the run, before it starts.

    Raises:
        ExportError: If the suffix is unknown, the folder is missing or the file exists.
    """
    try:
        _refuse_target(path, overwrite=overwrite)
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a null byte, links in a circle
        raise ExportError(f"{str(path)!a} is no name for a file here ({error})", "choose another name") from None
    return path


def _refuse_target(path: Path, *, overwrite: bool) -> None:
    if not any(path.name.lower().endswith(suffix) for suffix in EXPORTERS):
        raise ExportError(f"{path} has no suffix that says what to write", f"choose one of {', '.join(EXPORTERS)}")
    if path.parent.exists() and not path.parent.is_dir():
        raise ExportError(f"{path.parent} is a file, and {path.name} needs a folder", "choose another")
    if not path.parent.is_dir():
        raise ExportError(f"the folder {path.parent} for {path.name} does not exist", "create it or choose another")
    if path.is_dir():
        raise ExportError(f"{path} is a folder", "choose another name")
    if not os.access(path.parent, os.W_OK):
        raise ExportError(f"nothing can be written into {path.parent}", "choose another folder")
    if os.path.lexists(path) and not overwrite:  # a link to nowhere, too
        raise ExportError(f"{path} exists already", "choose another name, or allow it with --overwrite")


def write_export(run: Run, path: Path, *, overwrite: bool = False) -> None:
    """Write a run to a file in the format that its suffix names.

    Raises:
        ExportError: If it cannot be written; what was there before is untouched.
    """
    check_export(path, overwrite=overwrite)
    exporter = next(EXPORTERS[suffix] for suffix in EXPORTERS if path.name.lower().endswith(suffix))
    content = exporter(run)
    try:
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(content)
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)  # mkstemp makes files that only their owner reads
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ExportError(f"{path} cannot be written ({error.strerror})", "choose another file") from None
