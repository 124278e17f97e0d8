"""What is known of a kept run, in words that a list has room for."""

import datetime

from state.history.entry import RunEntry
from state.units import format_bytes


def when(entry: RunEntry) -> str:
    """When it started, by the clock of whoever looks: ``2026-01-01 12:00``; of a strange document what it says."""
    try:
        return f"{datetime.datetime.fromisoformat(entry.created_at).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):  # OSError: a year that the C library does not know
        return entry.created_at[:16]


def model_name(entry: RunEntry) -> str:
    """The model; of a path or a hub id its last part."""
    return entry.model.rstrip("/").rpartition("/")[2]


def model_words(entry: RunEntry) -> str:
    """The model and its size: ``demo 87.6 MB``."""
    size = f" {format_bytes(entry.model_bytes)}" if entry.model_bytes is not None else ""
    return f"{model_name(entry)}{size}"


def memory_words(entry: RunEntry) -> str:
    """``as found`` where memory was left so; else empty."""
    return "as found" if entry.memory == "as-found" else ""


def methods_words(entry: RunEntry) -> str:
    """How many methods and rounds: ``6 x3``."""
    return f"{len(entry.methods)} x{entry.rounds}"


def storage_words(entry: RunEntry) -> str:
    """The file system and the folder: ``ext4 /mnt/nvme``."""
    return f"{entry.filesystem} {entry.storage}"


def state_words(entry: RunEntry) -> str:
    """What became of it: ``36/36``, ``2 failed``, ``7/36 stopped``."""
    count = f"{entry.done}/{entry.trials}"
    if entry.status == "running":
        return f"{count} running"
    if entry.failed:
        return f"{count} {entry.failed} failed"
    return {"finished": count, "cancelled": f"{count} stopped", "refused": f"{count} refused"}[entry.status]
