"""Trained weights as people have them: in shards with an index, tied, in several dtypes, with buffers.

They come back bit for bit, and the model that they are loaded into computes what it did.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForMaskedLM, PreTrainedModel

from backends.methods.registry import create
from backends.models.sources import open_source
from backends.tensors import StateDict, verify
from state.plan import Plan
from tests.backends.runs import measure, statuses
from tests.backends.samples import CPU, METHODS, REAL_FOLDER, filled, folder_on_disk

SHARDS = 3
#: Tiles of 64x64 take minutes for 90 MB, and how they are cut is tested elsewhere.
QUICK = tuple(m for m in METHODS if not m.startswith("ts+co") and m not in ("tensorstore", "ts+compression"))
TOKENS = torch.tensor([[101, 2054, 2003, 1037, 26520, 103, 102]])


def empty_model() -> PreTrainedModel:
    """A language model with a tied output layer, and a buffer that is saved."""
    config = AutoConfig.from_pretrained(REAL_FOLDER)
    model: PreTrainedModel = AutoModelForMaskedLM.from_config(config)  # type: ignore[no-untyped-call]
    model.register_buffer("trained_steps", torch.tensor(0))
    model.eval()  # type: ignore[no-untyped-call]
    return model


def logits(state: StateDict) -> torch.Tensor:
    """What a new model computes with these weights."""
    model = empty_model()
    model.load_state_dict(state)
    with torch.no_grad():
        found: torch.Tensor = model(TOKENS).logits
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The trained weights, half of them in bfloat16, in shards as transformers used to write them."""
    model: PreTrainedModel = AutoModelForMaskedLM.from_pretrained(REAL_FOLDER)
    model.register_buffer("trained_steps", torch.tensor(12_345))
    kept = {name: tensor.detach() for name, tensor in model.state_dict(keep_vars=True).items()}
    casts = {id(tensor): tensor.bfloat16() for name, tensor in kept.items() if "attention" in name}
    state = {name: casts.get(id(tensor), tensor) for name, tensor in kept.items()}
    weight_map = {name: f"pytorch_model-{number % SHARDS}.bin" for number, name in enumerate(state)}
    places: dict[int, str] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():  # what is tied stands in one shard
        weight_map[name] = places.setdefault(tensor.data_ptr(), weight_map[name])
    with folder_on_disk(tmp_path_factory.mktemp("real")) as folder:
        for file in sorted(set(weight_map.values())):
            torch.save({name: tensor for name, tensor in state.items() if weight_map[name] == file}, folder / file)
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
        yield folder


def test_the_weights_are_what_this_is_about(folder: Path) -> None:
    model, _ = filled(open_source(str(folder), size_bytes=None, dtype="auto", seed=0))
    assert len(list(folder.glob("*.bin"))) == SHARDS
    assert {"float32", "bfloat16", "int64"} <= set(model.dtypes)
    assert set(model.aliases) | set(model.aliases.values()) >= {"cls.predictions.decoder.weight"}
    assert model.logical_bytes > 50 * 10**6


def test_a_run_on_them_is_verified(folder: Path, tmp_path: Path) -> None:
    with folder_on_disk(tmp_path) as disk:
        run, _ = measure(Plan(model=str(folder), methods=QUICK, storage=str(disk), repeats=1))
    assert statuses(run) == dict.fromkeys(QUICK, ("done", "done"))


@pytest.mark.parametrize("method", QUICK)
def test_the_model_computes_the_same_with_what_came_back(method: str, folder: Path, tmp_path: Path) -> None:
    _, state = filled(open_source(str(folder), size_bytes=None, dtype="auto", seed=0))
    plan = Plan(model=str(folder))
    with folder_on_disk(tmp_path) as disk:
        create(method, plan).save(state, disk, durable=False)
        loaded = create(method, plan).load(disk, CPU)
    verify(loaded, state, CPU)
    expected = logits(state)
    assert torch.equal(logits(loaded), expected)
    assert expected.std() > 0.1, "logits that are all alike would prove nothing"
