import contextlib
import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from state.codecs import CODEC_LEVELS, Codec
from state.errors import RequestError
from state.optimizations import CELLS


def test_the_eight_cells_are_the_whole_cube() -> None:
    assert sorted(CELLS.values()) == sorted(itertools.product([False, True], repeat=3))


@pytest.mark.parametrize("name", list(CODEC_LEVELS))
def test_every_codec_has_a_default_level_and_keeps_its_limits(name: str) -> None:
    lowest, highest, default = CODEC_LEVELS[name]  # type: ignore[index]
    assert Codec.parse(name).level == default
    assert Codec.parse(f"{name}:{highest}") == Codec(name, highest)  # type: ignore[arg-type]
    for level in (lowest - 1, highest + 1):
        with pytest.raises(RequestError, match=f"{lowest} to {highest}"):
            Codec.parse(f"{name}:{level}")


@given(st.one_of(st.text(), st.from_regex(r"(gzip|zstd):.*")))
def test_any_text_is_a_codec_or_a_request_error(text: str) -> None:
    with contextlib.suppress(RequestError):
        assert Codec.parse(str(Codec.parse(text))) == Codec.parse(text)
