"""Names of tensors never become paths unchecked."""

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.methods.tensorstore.index import INDEX_NAME, folder_name, make_index, read_index, write_index

#: Text that likes to be trouble: separators, dots, capitals, control characters, surrogates.
NAMES = st.text(st.one_of(st.sampled_from("./\\%-_aAbBzZ09\0\n ~"), st.characters(exclude_categories=())), max_size=150)


@given(st.lists(NAMES, unique=True))
def test_different_names_get_different_short_plain_folders_inside(names: list[str]) -> None:
    folders = [folder_name(name) for name in names]
    assert len({folder.casefold() for folder in folders}) == len(names), "some file systems do not tell case apart"
    for folder in folders:
        assert 1 <= len(folder) <= 120
        assert set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-%")
        assert folder[0] != "."
        assert folder != INDEX_NAME


@pytest.mark.parametrize("name", ["model.layers.0.weight", "lm_head.bias", "0", "_x", "a" * 120])
def test_a_usual_name_is_its_own_folder(name: str) -> None:
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["a", "../x", "", "a\0b", "重み", "\ud800"], ids=ascii)
@pytest.mark.parametrize("durable", [True, False])
def test_every_name_comes_back_as_itself_and_is_synced_if_asked_to(
    name: str, durable: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    index = make_index([name, "other"], {f"alias of {name}": name})
    write_index(index, tmp_path, durable=durable)
    assert read_index(tmp_path) == index
    assert index.arrays.keys() == {name, "other"}
    assert len(synced) == durable


@pytest.mark.parametrize(
    "text", ["", "{", "{}", '{"arrays": [], "aliases": {}}', '{"arrays": {"a": 1}, "aliases": {}}']
)
def test_a_damaged_index_is_a_decode_error_and_a_missing_one_is_not_found(text: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_index(tmp_path)
    (tmp_path / INDEX_NAME).write_text(text)
    with pytest.raises(msgspec.DecodeError):
        read_index(tmp_path)
