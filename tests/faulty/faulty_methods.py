"""Methods that go wrong, each in its own way. A distribution of its own, found through the entry-point group."""

import os
import resource
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

import torch

from backends.methods.base import Method
from backends.methods.pytorch.torch_save import PyTorch
from backends.storage.ownership import MARKER
from backends.tensors import StateDict
from state.plan import Plan

MIB = 1 << 20


class Faulty(Method):
    """Saves as `pytorch` does, after it went wrong. The warm-up is spared, so the clock is running."""

    def __init__(self) -> None:
        self._inner = PyTorch()

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        return {}

    def go_wrong(self, folder: Path) -> None:
        """What this class is about."""

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        if not folder.name.endswith("-warm-up"):
            self.go_wrong(folder)
        self._inner.save(state, folder, durable=durable)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        return self._inner.load(folder, device)


class Segfaults(Faulty):
    def go_wrong(self, folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGSEGV)


class IsKilled(Faulty):
    def go_wrong(self, folder: Path) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class Exits(Faulty):
    def go_wrong(self, folder: Path) -> None:
        os._exit(3)


class Raises(Faulty):
    def go_wrong(self, folder: Path) -> None:
        raise RuntimeError("the flux capacitor is empty")


class Hangs(Faulty):
    def go_wrong(self, folder: Path) -> None:
        while True:
            time.sleep(3600)


class Babbles(Faulty):
    """Writes into every pipe that it finds open, as a C library with a stray descriptor might."""

    def go_wrong(self, folder: Path) -> None:
        for entry in Path("/proc/self/fd").iterdir():
            fd = int(entry.name)
            if fd > 2 and stat.S_ISFIFO(entry.stat().st_mode):
                os.write(fd, b"\x00\xffnot a message\n")
        time.sleep(3600)


class Starves(Faulty):
    """Meets a memory limit."""

    def go_wrong(self, folder: Path) -> None:
        in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (in_use + 64 * MIB, in_use + 64 * MIB))
        torch.empty(1024 * MIB, dtype=torch.uint8).fill_(1)


class FillsDisk(Faulty):
    def go_wrong(self, folder: Path) -> None:
        with (folder / "hog").open("wb") as file:
            while True:
                file.write(os.urandom(MIB))


class LeavesChild(Faulty):
    """Starts a process that would outlive it, and says which."""

    def go_wrong(self, folder: Path) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
        raise RuntimeError(f"left child {child.pid}")


class KillsWorker(Faulty):
    def go_wrong(self, folder: Path) -> None:
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(3600)


class ForgetsABit(Faulty):
    """Loads what was never saved."""

    def load(self, folder: Path, device: torch.device) -> StateDict:
        state = self._inner.load(folder, device)
        if not folder.name.endswith("-warm-up"):
            next(iter(state.values())).view(torch.uint8).view(-1)[0] ^= 1
        return state


class IsSlow(Faulty):
    """Gives a test time to do something to it."""

    def go_wrong(self, folder: Path) -> None:
        time.sleep(20)


class LosesMarker(Faulty):
    """Deletes what says that the scratch folder is ours."""

    def go_wrong(self, folder: Path) -> None:
        (folder.parent / MARKER).unlink()
