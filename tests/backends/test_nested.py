"""State dicts within state dicts."""

from collections.abc import Mapping
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from backends.nested import NestedStateDict, flatten, nest, path_name

KEYS = st.text(st.characters(codec="utf-8") | st.sampled_from("/~01"), max_size=5)
TENSORS = st.integers(0, 3).map(lambda value: torch.tensor(value))
NESTED = st.dictionaries(
    KEYS, st.recursive(TENSORS, lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=3), max_leaves=8)
)


def test_a_trainers_dictionaries_have_names_that_people_can_read() -> None:
    state = {"model": {"a.weight": torch.ones(2)}, "optimizer": {"state": {"a.weight": {"step": torch.ones(())}}}}
    assert list(flatten(state)) == ["model/a.weight", "optimizer/state/a.weight/step"]
    assert path_name("model", "a/b~c") == "model/a~1b~0c"


@given(NESTED)
def test_what_was_flattened_is_nested_again_with_the_very_tensors(nested: NestedStateDict) -> None:
    flat = flatten(nested)
    assert len(flat) == _count(nested)
    assert _same(nest(flat), nested)


@given(st.dictionaries(KEYS, TENSORS))
def test_a_flat_dictionary_of_any_names_stays_one(flat: dict[str, torch.Tensor]) -> None:
    assert _same(nest(flatten(flat)), flat)


@pytest.mark.parametrize("names", [("a", "a/b"), ("a/b", "a"), ("a/b", "a/b/c")])
def test_a_tensor_is_no_dictionary(names: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="stands where"):
        nest(dict.fromkeys(names, torch.ones(1)))


def test_what_is_no_tensor_is_refused() -> None:
    with pytest.raises(TypeError, match="under 'lr' is neither a tensor nor a dictionary: float"):
        flatten({"optimizer": {"lr": 0.1}})


def _count(nested: NestedStateDict) -> int:
    return sum(_count(value) if isinstance(value, dict) else 1 for value in nested.values())


def _same(left: NestedStateDict, right: NestedStateDict) -> bool:
    return left.keys() == right.keys() and all(
        _same(left[key], right[key]) if isinstance(right[key], dict) else left[key] is right[key] for key in right
    )


@pytest.mark.parametrize("key", [7, None, ("a", "b")])
def test_a_key_that_is_no_text_is_refused_in_words(key: object) -> None:
    with pytest.raises(TypeError, match=r"^the key .* is no text: "):
        flatten(cast("Mapping[str, Any]", {"optimizer": {key: torch.zeros(1)}}))
