"""What a trainer saves."""

import msgspec
import pytest
import safetensors.torch
import torch

from backends.models.training import source_of
from backends.nested import nest
from state.plan import Plan
from tests.backends.runs import measure, statuses
from tests.backends.samples import REAL_FOLDER, filled

DEMO = Plan(size_bytes=20 * 10**6, with_optimizer=True)


def test_every_parameter_has_moments_of_its_shape_in_float32_and_a_step_counter() -> None:
    model = source_of(DEMO).table()
    assert model.nested
    weights = {t.name.removeprefix("model/"): t for t in model.tensors if t.name.startswith("model/")}
    assert {t.dtype for t in weights.values()} == {"float16"}
    tensors = {t.name: t for t in model.tensors}
    for name, weight in weights.items():
        for moment in ("exp_avg", "exp_avg_sq"):
            info = tensors[f"optimizer/state/{name}/{moment}"]
            assert (info.dtype, info.shape, info.nbytes) == ("float32", weight.shape, 2 * weight.nbytes)
        assert tensors[f"optimizer/state/{name}/step"].shape == ()
    assert len(tensors) == 4 * len(weights)


def test_names_dtypes_and_moments_are_those_of_a_step_of_adam() -> None:
    """Adam's own arithmetic, from the gradient that the first moment implies."""
    nested = nest(filled(source_of(DEMO))[1])
    assert nested.keys() == {"model", "optimizer"}
    for name, kept in nested["optimizer"]["state"].items():
        parameter = torch.nn.Parameter(nested["model"][name].to(torch.float32))
        parameter.grad = kept["exp_avg"] / (1 - 0.9)
        adam = torch.optim.Adam([parameter])
        adam.step()
        theirs = adam.state_dict()["state"][0]
        assert theirs.keys() == kept.keys()
        for key, value in theirs.items():
            assert value.dtype == kept[key].dtype
            torch.testing.assert_close(value, kept[key], rtol=1e-5, atol=0)


def test_the_seed_decides_every_bit() -> None:
    first, again = (filled(source_of(DEMO))[1] for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    _, other = filled(source_of(msgspec.structs.replace(DEMO, seed=1)))
    assert any(not torch.equal(first[name], other[name]) for name in first if name.endswith("exp_avg"))


def test_real_weights_stay_as_they_are_and_counters_of_integers_are_no_parameters() -> None:
    real = safetensors.torch.load_file(REAL_FOLDER / "model.safetensors")
    state = nest(filled(source_of(Plan(model=str(REAL_FOLDER), with_optimizer=True)))[1])
    assert state["model"].keys() == real.keys()
    assert all(torch.equal(state["model"][name], tensor) for name, tensor in real.items())
    floating = {name for name, tensor in real.items() if tensor.is_floating_point()}
    assert state["optimizer"]["state"].keys() == floating
    assert floating < real.keys()


def test_a_training_state_is_saved_loaded_and_verified_by_methods_with_and_without_dictionaries(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    plan = Plan(
        size_bytes=20 * 10**6,
        with_optimizer=True,
        methods=("pytorch", "pytorch-mmap", "ts+chunks", "safetensors", "dcp", "direct"),
        storage=str(tmp_path_factory.mktemp("disk")),
        repeats=1,
    )
    run, _ = measure(plan)
    assert statuses(run) == dict.fromkeys(plan.methods, ("done", "done"))
    assert run.model is not None
    assert run.model.logical_bytes > 4 * 20 * 10**6
