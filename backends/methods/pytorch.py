"""`pytorch`: ``torch.save`` and ``torch.load`` with their defaults, as most training code calls them.

``torch.save`` writes a zip file with a CRC of every tensor and never syncs. ``torch.load`` reads it into new memory
with ``weights_only=True``, the default since torch 2.6.
"""

from pathlib import Path
from typing import Any, Self

import torch

from backends.methods.base import Method
from backends.tensors import StateDict
from state.plan import Plan

FILE_NAME = "checkpoint.pt"


class PyTorch(Method):
    """A state dict as one zip file."""

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def spec(self, *, durable: bool) -> dict[str, Any]:
        """The two calls."""
        return {"save": "torch.save(state_dict, path)", "load": "torch.load(path, weights_only=True, map_location)"}

    def save(self, state: StateDict, folder: Path, *, durable: bool) -> None:
        """One file; syncing is left to the caller, as in ``torch.save`` itself."""
        torch.save(state, folder / FILE_NAME)

    def load(self, folder: Path, device: torch.device) -> StateDict:
        """Every tensor straight to `device`."""
        state: StateDict = torch.load(folder / FILE_NAME, weights_only=True, map_location=device)
        return state
