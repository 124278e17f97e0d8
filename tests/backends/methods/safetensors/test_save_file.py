"""Files of every method that writes safetensors are files of the Hugging Face hub."""

import shutil
from pathlib import Path

import pytest
import torch
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, load_model, save_model

from backends.methods.registry import create
from backends.tensors import verify
from state.plan import Plan
from tests.backends.samples import REAL_FOLDER

PLAN = Plan()
METHODS = ("safetensors", "safetensors-pread", "dcp-safetensors")


class Tied(torch.nn.Module):
    """A model of which two names share a tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = torch.nn.Linear(3, 5)
        self.head = torch.nn.Linear(3, 5)
        self.head.weight = self.embed.weight


def the_file(folder: Path) -> Path:
    (path,) = folder.glob("*.safetensors")
    return path


@pytest.mark.parametrize("method", METHODS)
def test_load_file_and_safe_open_read_it(method: str, tmp_path: Path) -> None:
    state = {"weight": torch.randn(30, 7).bfloat16(), "steps": torch.tensor(7), "empty": torch.empty(0, 3)}
    create(method, PLAN).save(state, tmp_path, durable=False)
    verify(load_file(the_file(tmp_path)), state)
    with safe_open(the_file(tmp_path), framework="pt") as file:
        assert file.metadata()["format"] == "pt"
        verify({name: file.get_tensor(name) for name in file.keys()}, state)  # noqa: SIM118 - it is no dict


@pytest.mark.parametrize("method", METHODS)
def test_transformers_makes_a_model_from_the_folder(method: str, tmp_path: Path) -> None:
    source = transformers.AutoModel.from_pretrained(REAL_FOLDER)
    state = {name: tensor.detach() for name, tensor in source.state_dict().items()}
    create(method, PLAN).save(state, tmp_path, durable=False)
    shutil.copy(REAL_FOLDER / "config.json", tmp_path)
    loaded, report = transformers.AutoModel.from_pretrained(tmp_path, output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    verify(loaded.state_dict(), state)


@pytest.mark.parametrize("method", METHODS[:2])
def test_ties_are_stored_as_save_model_stores_them(method: str, tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    names = {id(parameter): parameter.detach() for parameter in model.parameters()}
    state = {name: names[id(p)] for name, p in model.named_parameters(remove_duplicate=False)}
    create(method, PLAN).save(state, tmp_path, durable=False)
    save_model(model, str(tmp_path / "upstream"))
    ours, theirs = load_file(the_file(tmp_path)), load_file(tmp_path / "upstream")
    verify(ours, theirs)
    with safe_open(the_file(tmp_path), framework="pt") as file:
        assert file.metadata() == {"format": "pt", "head.weight": "embed.weight"}
    load_model(other, the_file(tmp_path))
    assert torch.equal(other.head.weight, model.embed.weight)
    assert torch.equal(other.head.bias, model.head.bias)
