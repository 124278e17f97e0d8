"""A trial of one operation on a model that is large enough for its memory to be seen, in a process of its own."""

import contextlib
from pathlib import Path
from typing import Final

import msgspec
import torch

from backends.measuring.shared_model import Arena
from backends.measuring.trial import MethodTrial
from backends.methods.base import Method
from backends.process.children import Emit
from state.model import Model, TensorInfo
from state.plan import Operation, Plan
from state.run.events import TrialFinished
from state.units import MIB

#: 128 MiB: twice what a method may have on its way without declaring more than the usual.
MODEL: Final = Model(
    "sample",
    "made for a test",
    (
        TensorInfo("embed", "float32", (8192, 1024), 32 * MIB),
        *(TensorInfo(f"layer.{number}", "float32", (1024, 1024), 4 * MIB) for number in range(24)),
    ),
)


class TrialOrder(msgspec.Struct, frozen=True, tag="trial"):
    """Measure one operation on `MODEL`.

    Attributes:
        method: A name that the registry knows, or ``module:Class``.
        plan: The method's values, and where the tensors are. What is saved is not synced, loads are cold, and memory is
            left as it is found.
        folder: Where the checkpoint is; a save makes it.
        operation: Which half.
        patience_s: What takes longer has hung.
    """

    method: str
    plan: Plan
    folder: str
    operation: Operation
    patience_s: float = 120.0


def carry_out(order: TrialOrder, method: Method, emit: Emit) -> None:
    """The child: fill the model, which is the same every time, and measure."""
    plan = msgspec.structs.replace(order.plan, durability="buffered", cache="cold", memory="as-found")
    with contextlib.closing(Arena(MODEL)) as arena:
        # In place: what a copy leaves behind in the allocator would be there for the method to take.
        for number, view in enumerate(arena.shared_views().values()):
            view.view(torch.int32).random_(generator=torch.Generator().manual_seed(number))
        trial = MethodTrial(method, arena, plan, order.operation, lambda phase, moved_bytes: None)
        folder = Path(order.folder)
        emit(TrialFinished(0, trial.save(folder) if order.operation == "save" else trial.load(folder)))
