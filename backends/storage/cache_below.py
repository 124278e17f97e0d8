"""Memory below the page cache that may hold a checkpoint, where nobody looks and nobody here can empty it.

A load is cold only if no memory of this system served it. A server's or a host's is no better: what comes from there
says nothing about a disk.
"""

import os
import re
from pathlib import Path
from typing import Final, NamedTuple

from backends.storage.folder import filesystem_of
from state.run.environment import FileSystem

_SYS: Final = Path("/sys/dev/block")


class CacheBelow(NamedTuple):
    """What may keep content in memory.

    Attributes:
        words: What it is, as part of a sentence.
        is_dropped: Whether dropping all of the page cache empties it.
    """

    words: str
    is_dropped: bool


def cache_below(folder: Path, sys: Path = _SYS) -> CacheBelow | None:
    """What lies below the file system of a folder and may keep its content; None if nothing is known to.

    Args:
        folder: Where checkpoints are.
        sys: Where the system describes block devices by their numbers.
    """
    filesystem = filesystem_of(folder)
    if filesystem.type.startswith("fuse"):
        return CacheBelow(f"{filesystem.type}, whose own program may keep files in memory", is_dropped=False)
    if filesystem.is_network:
        return CacheBelow(f"{filesystem.type}, whose server may keep files in memory", is_dropped=False)
    if (upper := _upper(filesystem)) and filesystem_of(upper).mount_point != filesystem.mount_point:
        return cache_below(upper, sys)
    numbers = [folder.stat().st_dev]
    if (source := Path(filesystem.source)).is_block_device():  # some file systems have numbers of their own
        numbers.append(source.stat().st_rdev)
    found = (_of_device(sys / f"{os.major(number)}:{os.minor(number)}", sys) for number in numbers)
    return next(filter(None, found), None)


def _upper(filesystem: FileSystem) -> Path | None:
    """Where an overlay, such as a container's root, puts what is written, if that is seen from here."""
    if filesystem.type == "overlay":
        for option in filesystem.options:
            name, _, value = option.partition("=")
            if name == "upperdir" and Path(value).is_absolute() and Path(value).is_dir():
                return Path(value)
    return None


def _is_on_a_disk(image: Path, sys: Path) -> bool:
    """Whether a file is seen here, and lies where dropping the page cache empties the memory that it is in."""
    if not image.is_file() or filesystem_of(image.parent).is_in_memory:
        return False
    below = cache_below(image.parent, sys)
    return below is None or below.is_dropped


def _of_device(device: Path, sys: Path) -> CacheBelow | None:
    """What a block device keeps in memory, or one that it is made of."""
    name = device.resolve().name
    if re.fullmatch(r"z?ram\d+", name):
        return CacheBelow(f"{name}, which is no disk but memory", is_dropped=False)
    if re.fullmatch(r"nbd\d+", name):
        return CacheBelow(f"{name}, whose server may keep files in memory", is_dropped=False)
    loop = device / "loop"
    try:
        if (loop / "dio").read_text().strip() != "0":
            return None
        image = Path((loop / "backing_file").read_text().strip())
        return CacheBelow(f"a loop device whose image {image} may be in memory", is_dropped=_is_on_a_disk(image, sys))
    except OSError:
        pass
    if (device / "partition").exists():
        return _of_device(device.resolve().parent, sys)
    try:
        return next(filter(None, (_of_device(part, sys) for part in (device / "slaves").iterdir())), None)
    except OSError:
        return None
