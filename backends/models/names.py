"""What a model's name stands for, found out without reading the model: a preset, files on the disk, or a hub id."""

import re
from pathlib import Path
from typing import Final, Literal

from backends.models.architectures import architectures
from backends.patience import ANSWER_S, UnansweredError, within
from state.errors import ModelError

#: What files with weights are called.
WEIGHT_SUFFIXES: Final = (".safetensors", ".pt", ".pth", ".bin", ".ckpt")
_HUB_ID: Final = re.compile(r"[\w.-]+/[\w.-]+")

Kind = Literal["preset", "files", "hub"]


def kind_of(model: str) -> Kind:
    """What a name stands for, tried in the order of `Kind`.

    Raises:
        ModelError: If it can be nothing of the three.
    """
    presets = architectures()
    if model in presets:
        return "preset"
    if path_of(model) is not None:
        return "files"
    if model.startswith((".", "/", "~")) or model.endswith(WEIGHT_SUFFIXES):
        raise ModelError(f"there is no file or folder {model!r}", "check the path")
    if not _HUB_ID.fullmatch(model):
        raise ModelError(
            f"there is no model {model!r}",
            f"choose {', '.join(presets)}, a folder or file with weights, or a hub id such as org/name",
        )
    return "hub"


def path_of(model: str) -> Path | None:
    """The path that a name is, if there is something.

    Raises:
        ModelError: If its storage does not answer.
    """
    if not model.strip():  # an empty path would be the current folder
        return None
    try:
        path = Path(model).expanduser()
        return path if within(ANSWER_S, path.exists) else None
    except UnansweredError:
        raise ModelError(f"the model {model!r} does not answer", "check the mount, or choose another model") from None
    except (OSError, RuntimeError, ValueError):  # too long, no such user, a null byte
        return None


def check_size(model: str, size_bytes: int | None) -> None:
    """Refuse to scale what is no preset.

    Raises:
        ModelError: With the presets.
    """
    if size_bytes is not None and kind_of(model) != "preset":
        raise ModelError(
            f"--size scales presets, and {model!r} is none", f"leave it out, or choose {', '.join(architectures())}"
        )
