"""What changes while an asynchronous save goes on, and back. What a save may not change is in `test_meddling`."""

import pytest
import torch

from backends.measuring import source_guard
from backends.measuring.source_guard import Given, InputChangedError
from backends.tensors import StateDict
from tests.backends.samples import CPU, bits


def model() -> StateDict:
    tied = torch.full((5_000,), 7, dtype=torch.uint8)
    large = torch.full((100, 1_000), 7, dtype=torch.uint8)
    return {
        "one": torch.tensor(7, dtype=torch.uint8),
        "tied": tied,
        "none": torch.ones(0),
        "large": large,
        "alias": tied,
    }


def test_both_ends_of_every_tensor_are_turned_over_once_and_back() -> None:
    state, before = model(), bits(model())
    holder = Given(state)
    holder.prepare_turning_over()
    assert bits(state) == before, "not before the save has begun"
    holder.turn_over()
    changed = {name: int((tensor != 7).sum()) for name, tensor in state.items() if name != "none"}
    assert changed == {"one": 1, "tied": 5_000, "large": 8_192, "alias": 5_000}
    assert set(state["large"].view(-1).tolist()) == {7, 255 - 7}
    holder.check(model(), CPU)
    assert bits(state) == before


def test_of_very_many_tensors_some_are_turned_over_from_the_first_to_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_guard, "_CHANGED_TENSORS", 4)
    state = {str(number): torch.zeros(3) for number in range(10)}
    holder = Given(state)
    holder.prepare_turning_over()
    holder.turn_over()
    assert [name for name, tensor in state.items() if tensor.any()] == ["0", "3", "6", "9"]
    holder.check({name: torch.zeros(3) for name in state}, CPU)


def test_a_change_of_what_was_turned_over_is_found_all_the_same() -> None:
    state = model()
    holder = Given(state)
    holder.prepare_turning_over()
    holder.turn_over()
    state["tied"][4_999] += 1
    with pytest.raises(InputChangedError, match="'tied' has other bits, first at byte 4,999:"):
        holder.check(model(), CPU)


def test_what_is_no_tensor_in_a_dictionary_is_told() -> None:
    state = {"model": {"weight": torch.ones(1)}}
    holder = Given(state, nested=True)
    holder.check({"model/weight": torch.ones(1)}, CPU)
    state["model"]["weight"] = None  # type: ignore[assignment]
    with pytest.raises(InputChangedError, match="under 'weight' is neither a tensor nor a dictionary"):
        holder.check({"model/weight": torch.ones(1)}, CPU)


@pytest.mark.parametrize("state", [{}, {"none": torch.ones(0)}])
def test_a_model_without_bytes_is_left_alone(state: StateDict) -> None:
    holder = Given(state)
    holder.prepare_turning_over()
    holder.turn_over()
    holder.check(dict(state), CPU)
