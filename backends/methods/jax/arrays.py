"""What JAX's methods share: torch tensors as JAX arrays and back, on the memory that they have.

Nothing is copied: both libraries take the other's memory by DLPack (https://dmlc.github.io/dlpack), so no conversion is
in the clock. JAX promises that an array never changes; what it is given here therefore must not change while in use.
"""

import importlib.util
import os
from typing import Final, Self

import jax
import jax.dlpack
import torch
from torch.utils.dlpack import from_dlpack

from backends.methods.base import Capabilities, Method
from backends.methods.tensorstore.family import DTYPES
from state.errors import UnavailableError
from state.model import Model
from state.plan import Plan

# Without it JAX turns 64-bit arrays into 32-bit ones.
jax.config.update("jax_enable_x64", True)  # type: ignore[no-untyped-call]
# JAX would take three quarters of a GPU's memory at once, and torch has the model there.
os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

#: JAX comes for the CPU; what it needs for CUDA are packages of their own.
_CUDA: Final = any(importlib.util.find_spec(f"jax_cuda{version}_plugin") for version in (12, 13))


class JAXMethod(Method):
    """A method that saves JAX arrays."""

    # zarr, JAX and torch have the same dtypes in common as zarr and torch.
    capabilities = Capabilities(devices=frozenset({"cpu", "cuda"} if _CUDA else {"cpu"}), dtypes=DTYPES)

    @classmethod
    def create(cls, name: str, plan: Plan) -> Self:
        """Nothing of the plan applies."""
        return cls()

    def refusal(self, model: Model, device: str) -> UnavailableError | None:
        """As every method; and what to install where JAX knows no GPU."""
        if device.startswith("cuda") and not _CUDA:
            return UnavailableError("JAX is here without CUDA", "pip install 'jax[cuda13]' or leave the method out")
        return super().refusal(model, device)


def to_jax(tensor: torch.Tensor) -> jax.Array:
    """The same memory as a JAX array of the same dtype."""
    array: jax.Array = jax.dlpack.from_dlpack(tensor.detach())
    return array


def to_torch(array: jax.Array) -> torch.Tensor:
    """The same memory, once it is filled, as a torch tensor of the same dtype."""
    tensor: torch.Tensor = from_dlpack(array.block_until_ready())
    return tensor


def sharding_on(device: torch.device) -> jax.sharding.Sharding:
    """Where JAX is to put arrays that are wanted on `device`."""
    return jax.sharding.SingleDeviceSharding(jax.devices(device.type)[device.index or 0])
