"""A process as somebody else can know it again: who made a scratch folder, who is writing a run."""

import os
import platform
from pathlib import Path
from typing import Self

import msgspec
import psutil


class Owner(msgspec.Struct, frozen=True):
    """A process that measures a run.

    Attributes:
        pid: Its number.
        started: When it began, as `_started` has it; process numbers are used again, this pair is not.
        run_id: The run.
        hostname: The machine, or the container, that it runs on: folders may be shared.
        boot_id: Which start of that machine's kernel; empty where the system does not tell.
    """

    pid: int
    started: float
    run_id: str
    hostname: str
    boot_id: str

    @classmethod
    def this_process(cls, run_id: str) -> Self:
        """This process as an owner."""
        return cls(os.getpid(), _started(os.getpid()), run_id, platform.node(), _boot_id())

    @property
    def foreign(self) -> bool:
        """Whether it is another machine's, where nobody here can see whether it still runs."""
        return self.hostname != platform.node()

    @property
    def this_boot(self) -> bool:
        """Whether this machine has not been started again since."""
        return self.boot_id == _boot_id()

    @property
    def alive(self) -> bool:
        """Whether the process still runs on this machine."""
        try:
            same = self.this_boot and _started(self.pid) == self.started
            return same and psutil.Process(self.pid).status() != psutil.STATUS_ZOMBIE
        except psutil.Error:
            return False


def _started(pid: int) -> float:
    """When a process began: in ticks since the kernel started where /proc tells, as clocks that are set move dates."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return float(fields[19])  # the 22nd of all, see proc(5)
    except OSError:
        return psutil.Process(pid).create_time()


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
