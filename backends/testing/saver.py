"""Saves and trials in processes that may be killed: a warm process forks one for each, as the worker does.

A test's own process has threads by then, so it must not fork. It starts the warm process and sends it one order a
line; the answer is one line, too.
"""

import contextlib
import importlib
import os
import resource
import select
import shutil
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Literal, Self

import msgspec
import torch

from backends.methods import registry
from backends.methods.base import AsynchronousMethod, Method
from backends.process import children
from backends.process.children import Emit
from backends.process.machine_info import WORKER_VARIABLES
from backends.tensors import StateDict
from backends.testing import filling, samples
from backends.testing.filling import TrialOrder
from state.plan import Plan
from state.run.events import PhaseEntered, TrialFinished, decode_event
from state.run.records import LoadResult, SaveResult


class Order(msgspec.Struct, frozen=True, tag="save"):
    """Save `samples.layers` in a process of its own.

    Attributes:
        method: A name that the registry knows, or ``module:Class``.
        plan: The method's values, and where the tensors are.
        folder: An empty folder for the checkpoint.
        kill_after_s: Kill the process so long after the beginning of the save.
        file_limit_bytes: No file may become larger; what is written beyond raises OSError in the process.
        patience_s: A save that takes longer has hung.
    """

    method: str
    plan: Plan
    folder: str
    kill_after_s: float | None = None
    file_limit_bytes: int | None = None
    patience_s: float = 60.0


class Outcome(msgspec.Struct, frozen=True):
    """How it went.

    Attributes:
        end: What became of the process.
        save_s: From the beginning of the save to that end.
    """

    end: Literal["returned", "raised", "crashed", "killed", "hung"]
    save_s: float


def make(method: str, plan: Plan) -> Method:
    """A method by its name, or by ``module:Class``."""
    module, colon, attribute = method.partition(":")
    if not colon:
        return registry.create(method, plan)
    method_class: type[Method] = getattr(importlib.import_module(module), attribute)
    return method_class.create(attribute, plan)


def save(method: Method, state: StateDict, folder: Path, *, durable: bool = False) -> None:
    """Save as a run does, asynchronously where the method can."""
    if isinstance(method, AsynchronousMethod):
        method.start(state, folder, durable=durable)()
    else:
        method.save(state, folder, durable=durable)


class Saver:
    """The test's side of the warm process.

    Args:
        search: Folders in which methods are looked for, as `sys.path` has them.
    """

    def __init__(self, search: list[str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed on exit
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", "from backends.testing.saver import main; main()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=os.environ | WORKER_VARIABLES | {"PYTHONPATH": os.pathsep.join(filter(None, search))},
        )

    def do(self, order: Order) -> Outcome:
        """Carry out an order.

        Raises:
            RuntimeError: If the warm process died, with its log.
        """
        return msgspec.json.decode(self._answer(order), type=Outcome)

    def measure(self, order: TrialOrder) -> SaveResult | LoadResult:
        """Measure one operation.

        Raises:
            RuntimeError: If the trial has no result or the warm process died, with its log.
        """
        result = msgspec.json.decode(self._answer(order), type=SaveResult | LoadResult | None)
        if result is None:
            raise RuntimeError(f"the trial of the {order.operation} has no result: {self.log()}")
        return result

    def _answer(self, order: Order | TrialOrder) -> bytes:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(order) + b"\n")
            self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the process that saves died: {self.log()}")
        return answer

    def log(self) -> str:
        """The end of what it wrote to standard error."""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 4000))
        return self._log.read().decode(errors="replace")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.communicate()
        self._log.close()


def _work(order: Order | TrialOrder, emit: Emit) -> None:
    """The child."""
    method = make(order.method, order.plan)
    if isinstance(order, TrialOrder):
        filling.carry_out(order, method, emit)
    else:
        _save(order, method, emit)


def _save(order: Order, method: Method, emit: Emit) -> None:
    """Come up as in a trial, then save."""
    folder = Path(order.folder)
    state = samples.as_in_a_run(samples.layers(), order.plan.device)
    warm_up = folder.with_name(f"{folder.name}-warm-up")
    warm_up.mkdir()
    save(method, {"warm-up": torch.zeros(2, 2, device=order.plan.device)}, warm_up)
    shutil.rmtree(warm_up)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    emit(PhaseEntered(0, "measure"))
    if order.file_limit_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (order.file_limit_bytes, limits[1]))
    try:
        save(method, state, folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)  # the log must be writable
    emit(PhaseEntered(0, "verify"))


def _line(fd: int, timeout_s: float) -> bytes | None:
    """The next line of a child; empty at the end of its pipe, None if it says nothing in time."""
    if not select.select([fd], [], [], timeout_s)[0]:
        return None
    line = b""
    while not line.endswith(b"\n") and (byte := os.read(fd, 1)):
        line += byte
    return line


def _follow(order: Order, pid: int, read_fd: int) -> Outcome:
    """See a child to its end, or put an end to it."""
    begun = _line(read_fd, order.patience_s)
    start_s = time.monotonic()
    ended = _line(read_fd, order.patience_s if order.kill_after_s is None else order.kill_after_s) if begun else begun
    save_s = time.monotonic() - start_s
    status = children.kill(pid)
    if ended:
        return Outcome("returned", save_s)
    if ended is None:
        return Outcome("killed" if begun and order.kill_after_s is not None else "hung", save_s)
    return Outcome("raised" if os.WIFEXITED(status) else "crashed", save_s)


def _result(order: TrialOrder, pid: int, read_fd: int) -> SaveResult | LoadResult | None:
    """What a child has measured; None if it failed."""
    line = _line(read_fd, order.patience_s)
    children.kill(pid)
    event = decode_event(line) if line else None
    return event.result if isinstance(event, TrialFinished) else None


def _preload(method: str) -> None:
    """Import a method's module, so that no child has to. What fails here fails there, with a reason."""
    with contextlib.suppress(Exception):
        target = method if ":" in method else registry.entries()[method].target
        importlib.import_module(target.partition(":")[0])


def main() -> None:
    """Carry out orders until standard input ends."""
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin.buffer:
        order = msgspec.json.decode(line, type=Order | TrialOrder)
        _preload(order.method)
        pid, read_fd = children.fork(partial(_work, order), close_fds=(answers,))
        try:
            answer = _result(order, pid, read_fd) if isinstance(order, TrialOrder) else _follow(order, pid, read_fd)
        finally:
            os.close(read_fd)
        os.write(answers, msgspec.json.encode(answer) + b"\n")
