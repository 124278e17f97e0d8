"""Models of known architectures: shapes from transformers, weights by the architecture's own initialisation.

Random bits do not compress like weights, and zeros lie; weights as they are before training have the right shapes
and a fair entropy, and their measured ratio stands beside the results.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from backends.models.architectures import Architecture
from backends.tensors import StateDict, dtype_name, unique_tensors
from state.errors import ModelError
from state.model import Model, TensorInfo
from state.units import format_bytes

_MIN_VOCABULARY: Final = 256
_VOCABULARY_STEP: Final = 64  # as vocabularies are padded in practice


class Preset:
    """A model of a shipped architecture.

    Args:
        name: The preset's name.
        architecture: Its facts.
        size_bytes: Scale it to about this size; None takes it as it comes.
        dtype: ``auto`` for the published dtype, or another floating-point one.
        seed: Of the weights.

    Raises:
        ModelError: If it cannot be scaled to this size.
    """

    def __init__(self, name: str, architecture: Architecture, *, size_bytes: int | None, dtype: str, seed: int) -> None:
        self._name = name
        self._seed = seed
        self._config = architecture.config | {"dtype": architecture.dtype if dtype == "auto" else dtype}
        if size_bytes is None:
            self._config |= architecture.start
        else:
            self._config |= _scaled(name, self._config, size_bytes)

    def table(self) -> Model:
        """Names, dtypes and shapes, from a model without memory."""
        tensors, aliases = unique_tensors(_state_dict(_meta_model(self._config)))
        infos = tuple(
            TensorInfo(name, dtype_name(tensor.dtype), tuple(tensor.shape), tensor.nbytes)
            for name, tensor in tensors.items()
        )
        origin = (
            f"{self._config['model_type']} architecture, {self._config[_layers_field(self._config)]} layers, "
            f"vocabulary {self._config['vocab_size']:,}, initialised with seed {self._seed}"
        )
        return Model(self._name, origin, infos, aliases)

    def fill(self, views: Mapping[str, torch.Tensor]) -> None:
        """Initialise the weights where they are: the views become the model's parameters."""
        model = _meta_model(self._config)
        tensors, aliases = unique_tensors(_state_dict(model))
        for name in (*tensors, *aliases):
            owner, _, attribute = name.rpartition(".")
            view = views[aliases.get(name, name)]
            module = model.get_submodule(owner)
            if attribute in module._parameters:
                module._parameters[attribute] = torch.nn.Parameter(view, requires_grad=False)
            else:
                module._buffers[attribute] = view
        torch.manual_seed(self._seed)
        with torch.no_grad():
            # Module by module, as transformers' own `init_weights` does, so that each architecture's rules apply.
            model.apply(model._init_weights)


def _meta_model(config: Mapping[str, Any]) -> PreTrainedModel:
    with torch.device("meta"):
        build: Callable[..., PreTrainedModel] = AutoModelForCausalLM.from_config  # untyped upstream
        return build(AutoConfig.for_model(**config), dtype=getattr(torch, config["dtype"]), trust_remote_code=False)


def _state_dict(model: PreTrainedModel) -> StateDict:
    # keep_vars gives the parameters themselves, so that tied ones are the same object.
    return dict(model.state_dict(keep_vars=True))


def _layers_field(config: Mapping[str, Any]) -> str:
    return "n_layer" if "n_layer" in config else "num_hidden_layers"


def _scaled(name: str, config: Mapping[str, Any], size_bytes: int) -> dict[str, int]:
    """Layers and vocabulary that make about `size_bytes`, with their shares of the whole kept as far as possible.

    The size is linear in both, so three tiny models without memory tell the coefficients for any architecture.
    """
    layers_field = _layers_field(config)
    layers, vocabulary = config[layers_field], config["vocab_size"]

    def measure(layer_count: int, words: int) -> int:
        model = _meta_model({**config, layers_field: layer_count, "vocab_size": words})
        tensors, _ = unique_tensors(_state_dict(model))
        return sum(tensor.nbytes for tensor in tensors.values())

    base = measure(1, _MIN_VOCABULARY)
    layer_bytes = measure(2, _MIN_VOCABULARY) - base
    word_bytes = (measure(1, 2 * _MIN_VOCABULARY) - base) // _MIN_VOCABULARY
    fixed_bytes = base - layer_bytes - word_bytes * _MIN_VOCABULARY
    largest = fixed_bytes + layers * layer_bytes + vocabulary * word_bytes
    # Whole words only, so a little slack on both sides keeps the smallest and the largest size reachable.
    if not 0.99 * base <= size_bytes <= 1.01 * largest:
        raise ModelError(
            f"{name} cannot be made {format_bytes(size_bytes)} large",
            f"choose a --size from {format_bytes(base)} to {format_bytes(largest)}, or another model",
        )
    share = (size_bytes - fixed_bytes) / (largest - fixed_bytes)
    layer_count = min(layers, max(1, round(layers * share)))
    # The layers come in large steps; the vocabulary makes up for the rest.
    words = (size_bytes - fixed_bytes - layer_count * layer_bytes) // word_bytes
    while words < _MIN_VOCABULARY and layer_count > 1:
        layer_count -= 1
        words += layer_bytes // word_bytes
    while words > vocabulary and layer_count < layers:
        layer_count += 1
        words -= layer_bytes // word_bytes
    words = words // _VOCABULARY_STEP * _VOCABULARY_STEP if words > 100 * _VOCABULARY_STEP else words
    return {layers_field: layer_count, "vocab_size": min(vocabulary, max(_MIN_VOCABULARY, words))}
