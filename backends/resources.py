"""What of the machine this process may use: cores and memory, and what control groups leave of them.

Containers and batch systems set limits with control groups of two versions, which may be mounted side by side
(https://docs.kernel.org/admin-guide/cgroup-v2.html, .../cgroup-v1/memory.html). A limit of any group above ours holds
for us, too.
"""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import psutil

_PROC: Final = Path("/proc/self")
#: Version 1 writes a very large number where there is no limit.
_NO_LIMIT_BYTES: Final = 1 << 60


class Limits(NamedTuple):
    """What this process may take; None where no group says anything.

    Attributes:
        memory_bytes: Of memory, in all.
        left_bytes: Of that, what is left now: what others of the group use is gone, and the page cache comes back.
        cores: Of processor time, in processors.
    """

    memory_bytes: int | None
    left_bytes: int | None
    cores: float | None


def limits(proc: Path = _PROC) -> Limits:
    """The tightest limits of the groups of this process.

    Args:
        proc: Where the system tells which groups those are.
    """
    memory: list[tuple[int, int]] = []
    cores: list[float] = []
    for folder in _groups(proc, "memory"):
        for names in (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")):
            with contextlib.suppress(OSError, ValueError):  # the other version's name, or a group that says "max"
                limit_bytes, used_bytes = (int((folder / name).read_text()) for name in names)
                if limit_bytes < _NO_LIMIT_BYTES:
                    left_bytes = limit_bytes - used_bytes + _unused_cache_bytes(folder)
                    memory.append((limit_bytes, max(0, left_bytes)))
    for folder in _groups(proc, "cpu"):
        with contextlib.suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            cores.append(int(quota) / int(period))
        with contextlib.suppress(OSError, ValueError):
            quota_us, period_us = (int((folder / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            if quota_us > 0:
                cores.append(quota_us / period_us)
    return Limits(
        min((limit_bytes for limit_bytes, _ in memory), default=None),
        min((left_bytes for _, left_bytes in memory), default=None),
        min(cores, default=None),
    )


def _unused_cache_bytes(folder: Path) -> int:
    """What the page cache holds and nobody maps: it counts against the limit, and can be taken back."""
    with contextlib.suppress(OSError, ValueError):
        counts = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
        return int(counts.get("total_inactive_file", counts.get("inactive_file", 0)))
    return 0


def _groups(proc: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group under a controller and of those above it, as far as they can be seen."""
    try:
        memberships = [
            line.split(":", 2) for line in (proc / "cgroup").read_text(errors="surrogateescape").splitlines()
        ]
        mounts = [line.split(" - ") for line in (proc / "mountinfo").read_text(errors="surrogateescape").splitlines()]
    except OSError:
        return
    for before, after in (parts for parts in mounts if len(parts) == 2):
        kind, _, options = after.split(" ", 2)
        if kind not in ("cgroup", "cgroup2") or (kind == "cgroup" and controller not in options.split(",")):
            continue
        root, point = (_unescaped(field) for field in before.split(" ")[3:5])
        wanted = "" if kind == "cgroup2" else controller
        for _, controllers, group in memberships:
            if wanted not in controllers.split(","):
                continue
            # In a container, the mount shows a part of the tree only, perhaps just our own group.
            below = Path(group).relative_to(root) if Path(group).is_relative_to(root) else Path()
            folder = Path(point) / below
            yield folder
            while folder != Path(point):
                folder = folder.parent
                yield folder


def _unescaped(field: str) -> str:
    """A path of mountinfo, which writes blanks and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


def usable_cores() -> int:
    """Logical processors that this process may use, and has the time of."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    allowed = limits().cores
    return here if allowed is None else min(here, max(1, round(allowed)))


def memory_bytes() -> int:
    """Memory that this process may use at most."""
    here_bytes = psutil.virtual_memory().total
    allowed_bytes = limits().memory_bytes
    return here_bytes if allowed_bytes is None else min(here_bytes, allowed_bytes)
