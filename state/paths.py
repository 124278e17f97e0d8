"""Where this program keeps its own files, by the conventions of the system."""

from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """For what should outlive a run but nobody edits: pointers to scratch folders."""
    return platformdirs.user_state_path("ckpt-tui")


def log_folder() -> Path:
    """For the logs of worker processes."""
    return platformdirs.user_log_path("ckpt-tui")
