"""Models of known architectures: the right shapes, honest weights, any size asked for."""

import math

import pytest

from backends.measuring.counters import Meter
from backends.models.architectures import architectures
from backends.models.presets import Preset
from backends.tensors import unique_tensors
from state.errors import ModelError
from state.units import GIB
from tests.backends.samples import bits, filled

SIZES_MB = {
    "demo": (17, 20, 33, 60, 88, 200, 333, 505),
    "gpt2": (33, 70, 129, 498),
    "llama-3.2-1b": (125, 600, 2470),
    "mistral-7b": (450, 1000, 14000),
    "qwen2.5-7b": (500, 900, 8000),
}
EMBEDDINGS = {"gpt2": "transformer.wte.weight", "llama-3.2-1b": "model.embed_tokens.weight"}


def preset(name: str, size_bytes: int | None = None, dtype: str = "auto", seed: int = 0) -> Preset:
    return Preset(name, architectures()[name], size_bytes=size_bytes, dtype=dtype, seed=seed)


@pytest.mark.parametrize("name", architectures())
def test_a_table_has_the_published_parameters_dtype_and_ties_and_takes_no_memory(name: str) -> None:
    meter = Meter()
    model = preset(name).table()
    assert (meter.cost().extra_rss_bytes or 0) < GIB
    assert sum(math.prod(tensor.shape) for tensor in model.tensors) == architectures()[name].parameters
    assert model.dtypes == (architectures()[name].dtype,)
    assert model.aliases == ({"lm_head.weight": EMBEDDINGS[name]} if name in EMBEDDINGS else {})


@pytest.mark.parametrize(
    ("dtype", "dtypes", "size_bytes"), [("auto", ("float16",), 87_566_400), ("float32", ("float32",), 175_132_800)]
)
def test_the_demo_is_87_6_mb_of_float16_and_follows_the_dtype(dtype: str, dtypes: tuple[str], size_bytes: int) -> None:
    model = preset("demo", dtype=dtype).table()
    assert (model.dtypes, model.logical_bytes) == (dtypes, size_bytes)


@pytest.mark.parametrize(("name", "size_mb"), [(name, size) for name in SIZES_MB for size in SIZES_MB[name]])
def test_a_size_is_met_within_ten_percent_and_the_width_is_kept(name: str, size_mb: int) -> None:
    model = preset(name, size_mb * 10**6).table()
    assert model.logical_bytes == pytest.approx(size_mb * 10**6, rel=0.1)
    vectors, own = (
        {tensor.shape for tensor in table.tensors if len(tensor.shape) == 1} for table in (model, preset(name).table())
    )
    assert vectors == own


@pytest.mark.parametrize("size_bytes", [1, 10**6, 10**10, 10**15])
def test_a_size_out_of_reach_is_refused_with_the_range(size_bytes: int) -> None:
    with pytest.raises(ModelError, match=r"from 16\.3 MB to 505 MB"):
        preset("demo", size_bytes)


@pytest.mark.parametrize(("name", "size_mb"), [("demo", 18), ("gpt2", 36), ("llama-3.2-1b", 126)])
def test_weights_are_as_the_architecture_initialises_them_and_tied_ones_are_one(name: str, size_mb: int) -> None:
    model, state = filled(preset(name, size_mb * 10**6))
    assert unique_tensors(state)[1] == model.aliases
    assert model.aliases.keys() == ({"lm_head.weight"} if name in EMBEDDINGS else set())
    for tensor_name, tensor in state.items():
        if tensor.dim() >= 2:
            assert abs(tensor.float().mean()) < 0.001, tensor_name
            assert 0.003 < tensor.float().std() < 0.03, tensor_name
        else:
            assert (tensor == (0 if tensor_name.endswith("bias") else 1)).all(), tensor_name


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    first, again, other = (bits(filled(preset("demo", 18_000_000, seed=seed))[1]) for seed in (3, 3, 4))
    assert first == again
    assert {name for name in first if "norm" not in name} == {name for name in first if first[name] != other[name]}
