"""From `--model` to a source of tensors."""

import zlib
from pathlib import Path
from typing import Any

import huggingface_hub
import huggingface_hub.constants
import pytest
import safetensors.torch
import torch

from backends.methods.tensorstore.family import DTYPES
from backends.models.architectures import architectures
from backends.models.sources import Source, gzip_ratio, open_source
from state.errors import ModelError
from state.units import MIB
from tests.backends.samples import REAL_FOLDER, random_tensor, raw


def source_of(model: str | Path, size_bytes: int | None = None) -> Source:
    return open_source(str(model), size_bytes=size_bytes, dtype="auto", seed=0)


def test_a_folder_below_the_home_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(REAL_FOLDER.parent))
    assert source_of("~/model").table().tensors == source_of(REAL_FOLDER).table().tensors


NAMES = ["nonesuch", "Demo", "no/such/folder", "a\0b", "", " ", pytest.param("x" * 300, id="long")]


@pytest.mark.parametrize("name", NAMES)
def test_an_unknown_model_is_refused_with_the_presets(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        source_of(name)
    assert all(preset in caught.value.do for preset in architectures())


@pytest.mark.parametrize("name", ["./nonesuch", "../nonesuch", "/no/such.pt", "~nobody-has-this-name/x", "a.pth"])
def test_what_can_only_be_a_path_is_refused_as_one(name: str) -> None:
    with pytest.raises(ModelError, match="there is no file or folder"):
        source_of(name)


def test_files_cannot_be_scaled(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--size scales presets"):
        source_of(tmp_path, 10**8)


def test_a_hub_id_without_network_is_refused_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"'org/nonesuch' is no path here, and the hub gave no weights.*download it"):
        source_of("org/nonesuch")


def test_a_hub_model_is_read_from_its_cache_of_links_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").symlink_to(REAL_FOLDER / "model.safetensors")
    local_only: list[bool] = []

    def snapshot_download(hub_id: str, *, local_files_only: bool, **_: Any) -> str:
        local_only.append(local_files_only)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert source_of("org/name").table().tensors == source_of(REAL_FOLDER).table().tensors
    assert local_only == [True]


@pytest.mark.parametrize("hub_suffix", [".safetensors", ".bin"])
def test_a_cache_that_holds_other_files_is_not_taken_for_the_weights(
    hub_suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tokenizer was used before; the hub has the weights in one format or the other."""
    asked: list[tuple[bool, list[str]]] = []
    (tmp_path / "config.json").write_text("{}")

    def snapshot_download(hub_id: str, *, local_files_only: bool, allow_patterns: list[str], **_: Any) -> str:
        asked.append((local_files_only, allow_patterns))
        if not local_files_only and any(pattern.endswith(hub_suffix) for pattern in allow_patterns):
            tensors = {"w": torch.ones(3)}
            if hub_suffix == ".bin":
                torch.save(tensors, tmp_path / "pytorch_model.bin")
            else:
                safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    assert source_of("org/name").table().logical_bytes == 12
    local_first = [True, False] if hub_suffix == ".safetensors" else [True, False, False]
    assert [local_only for local_only, _ in asked] == local_first


@pytest.mark.parametrize("dtype", [*sorted(DTYPES), "complex32", "float4_e2m1fn_x2"])
def test_what_gzip_makes_of_a_small_model_is_exact_for_every_dtype(dtype: str) -> None:
    views = {"a": random_tensor(dtype, (30, 50)), "empty": random_tensor(dtype, (0, 5)), "b": random_tensor(dtype, ())}
    packed = sum(len(zlib.compress(raw(view), 1)) for view in views.values() if view.nbytes)
    assert gzip_ratio(views) == (packed / sum(view.nbytes for view in views.values()), False)
    assert gzip_ratio({"empty": views["empty"]}) == (1.0, False)


def test_a_large_model_is_sampled_and_the_sample_is_fair() -> None:
    views = {"noise": random_tensor("uint8", (4 * MIB,)), "zeros": torch.zeros(4 * MIB, dtype=torch.uint8)}
    ratio, sampled = gzip_ratio(views, sample_bytes=MIB)
    assert sampled
    assert ratio == pytest.approx(0.5, abs=0.01)
