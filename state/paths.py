"""Where this program keeps its own files, by the conventions of the system."""

from pathlib import Path

import platformdirs


def state_folder() -> Path:
    """For what should outlive a run but nobody edits: pointers to scratch folders."""
    return platformdirs.user_state_path("ckpt-tui")


def data_folder() -> Path:
    """For what people would miss: the results of runs."""
    return platformdirs.user_data_path("ckpt-tui")


def settings_file() -> Path:
    """What people edit."""
    return platformdirs.user_config_path("ckpt-tui") / "settings.toml"


def log_folder() -> Path:
    """For the logs of worker processes."""
    return platformdirs.user_log_path("ckpt-tui")


def history_file() -> Path:
    """The database of all runs."""
    return data_folder() / "history.db"
