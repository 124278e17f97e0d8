"""What a trainer saves: the weights, and beside them what Adam keeps of every parameter.

It is ``{"model": {name: tensor}, "optimizer": {"state": {name: {"step", "exp_avg", "exp_avg_sq"}}}}``, flattened
(`backends.nested`): the optimizer's state by the names of its parameters, as
`torch.distributed.checkpoint.state_dict.get_optimizer_state_dict` gives it.
"""

from collections.abc import Mapping
from typing import Final

import msgspec
import torch

from backends.models.sources import Source, open_source
from backends.nested import path_name
from state.model import WEIGHTS_KEY, Model, TensorInfo
from state.plan import Plan

#: https://docs.pytorch.org/docs/stable/generated/torch.optim.Adam.html
_BETAS: Final = (0.9, 0.999)
_STATE: Final = ("optimizer", "state")
_STEP_BYTES: Final = 4
_MOMENT_BYTES: Final = 4


def source_of(plan: Plan) -> Source:
    """Where the tensors of a plan come from.

    Raises:
        ModelError: If there is no such model, or it cannot be had as asked for.
    """
    weights = open_source(plan.model, size_bytes=plan.size_bytes, dtype=plan.dtype, seed=plan.seed)
    return TrainingState(weights, plan.seed) if plan.with_optimizer else weights


class TrainingState:
    """A model's weights with Adam's state after one step, from gradients that a seed draws.

    Every floating-point tensor counts as a parameter. Moments and step counters are float32, which is what
    `torch.optim.Adam` keeps for float32 parameters and what mixed-precision trainers keep for others.

    Args:
        weights: Where the weights come from.
        seed: Of the gradients.
    """

    def __init__(self, weights: Source, seed: int) -> None:
        self._weights = weights
        self._seed = seed

    def table(self) -> Model:
        """Names, dtypes and shapes of all: the weights first."""
        model = self._weights.table()
        weights = (
            msgspec.structs.replace(tensor, name=path_name(WEIGHTS_KEY, tensor.name)) for tensor in model.tensors
        )
        kept = [info for tensor in model.tensors if _is_parameter(tensor) for info in _kept_for(tensor)]
        return msgspec.structs.replace(
            model,
            origin=f"{model.origin}, with the state of an Adam that made one step",
            tensors=(*weights, *kept),
            aliases={
                path_name(WEIGHTS_KEY, alias): path_name(WEIGHTS_KEY, name) for alias, name in model.aliases.items()
            },
            nested=True,
        )

    def fill(self, views: Mapping[str, torch.Tensor]) -> None:
        """The weights as their source has them, then the moments, in place."""
        tensors = self._weights.table().tensors
        self._weights.fill({tensor.name: views[path_name(WEIGHTS_KEY, tensor.name)] for tensor in tensors})
        dice = torch.Generator().manual_seed(self._seed)
        first, second = (1 - beta for beta in _BETAS)
        for tensor in filter(_is_parameter, tensors):
            step, exp_avg, exp_avg_sq = (views[info.name] for info in _kept_for(tensor))
            step.fill_(1)
            # Adam's first step: exp_avg = (1 - beta1) gradient, exp_avg_sq = (1 - beta2) gradient^2.
            exp_avg.normal_(std=first, generator=dice)
            torch.mul(exp_avg, exp_avg, out=exp_avg_sq)
            exp_avg_sq.mul_(second / first**2)


def _is_parameter(tensor: TensorInfo) -> bool:
    dtype: torch.dtype = getattr(torch, tensor.dtype)
    return dtype.is_floating_point


def _kept_for(tensor: TensorInfo) -> tuple[TensorInfo, TensorInfo, TensorInfo]:
    """A parameter's state: the steps taken, the moving average of its gradient, and that of its gradient squared."""
    elements = tensor.nbytes // tensor.item_bytes
    place = path_name(*_STATE, tensor.name)
    return (
        TensorInfo(f"{place}/step", "float32", (), _STEP_BYTES),
        TensorInfo(f"{place}/exp_avg", "float32", tensor.shape, elements * _MOMENT_BYTES),
        TensorInfo(f"{place}/exp_avg_sq", "float32", tensor.shape, elements * _MOMENT_BYTES),
    )
