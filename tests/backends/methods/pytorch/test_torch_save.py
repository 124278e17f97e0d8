"""Files of the three PyTorch methods, by hand."""

import zipfile
from pathlib import Path

import pytest
import torch
from torch.utils.serialization import config

from backends.methods.mapped import read_through
from backends.methods.pytorch.torch_save import FILE_NAME
from backends.methods.registry import create
from backends.tensors import StateDict, verify
from state.plan import Plan
from tests.backends.samples import CPU

PLAN = Plan()


def saved(method: str, folder: Path) -> StateDict:
    """A model with a tie, and its checkpoint in the folder."""
    weight = torch.randn(300, 70).bfloat16()
    state = {"weight": weight, "steps": torch.tensor(7), "tied": weight, "empty": torch.empty(0, 3)}
    create(method, PLAN).save(state, folder, durable=False)
    return state


@pytest.mark.parametrize("method", ["pytorch", "pytorch-tuned", "pytorch-mmap"])
def test_torch_load_by_hand_reads_it(method: str, tmp_path: Path) -> None:
    state = saved(method, tmp_path)
    for mmap in (False, True):
        verify(torch.load(tmp_path / FILE_NAME, weights_only=True, mmap=mmap), state)


@pytest.mark.parametrize(("method", "checked", "alignment"), [("pytorch", True, 64), ("pytorch-tuned", False, 4096)])
def test_tuning_aligns_leaves_out_checksums_and_does_not_last(
    method: str, checked: bool, alignment: int, tmp_path: Path
) -> None:
    before = config.save.compute_crc32, config.save.storage_alignment, config.save.use_pinned_memory_for_d2h
    state = saved(method, tmp_path)
    assert before == (config.save.compute_crc32, config.save.storage_alignment, config.save.use_pinned_memory_for_d2h)
    with zipfile.ZipFile(tmp_path / FILE_NAME) as file:
        assert (file.testzip() is None) == checked
    content = state["weight"].view(torch.uint8).numpy().tobytes()
    assert (tmp_path / FILE_NAME).read_bytes().index(content) % alignment == 0


def test_tuning_does_not_last_when_a_save_fails(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        create("pytorch-tuned", PLAN).save({"a": torch.ones(2)}, tmp_path / "no such folder", durable=False)
    assert (config.save.compute_crc32, config.save.storage_alignment) == (True, 64)


def test_reading_through_copies_every_tensor_once_and_keeps_order_and_ties() -> None:
    tensor = torch.arange(5)
    mapped = {"b": tensor, "c": torch.ones(2), "a": tensor}
    copies = read_through(mapped, CPU)
    assert list(copies) == ["b", "c", "a"]
    verify(copies, mapped)
    assert not {copy.data_ptr() for copy in copies.values()} & {source.data_ptr() for source in mapped.values()}
