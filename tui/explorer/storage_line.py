"""The storage for people: its folder, and the file system that lies under it."""

import contextlib
from functools import lru_cache
from pathlib import Path
from typing import Final

#: How long the screen may wait to learn what lies under a folder.
_LOOK_S: Final = 0.5


@lru_cache(maxsize=1)  # it is drawn with every event, and asked about only when another folder is chosen
def storage_line(storage: str) -> str:
    """``/mnt/nvme ext4``. That of a run that was opened may be gone, or on another machine: ``(not here)``."""
    from backends.patience import UnansweredError, within
    from backends.storage.folder import filesystem_of

    # Or it is no name that this system knows, or a link to itself.
    with contextlib.suppress(OSError, ValueError, RuntimeError, UnansweredError):
        return f"{storage} {within(_LOOK_S, lambda: filesystem_of(Path(storage).resolve(strict=True))).type}"
    return f"{storage} (not here)"
