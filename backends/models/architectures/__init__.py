"""The architectures that ship with this program: facts from the `config.json` of each, without any weights.

The Hugging Face hub holds the originals under the id in `hub`. Reading them imports no tensor library.
"""

from importlib import resources
from typing import Any, Final

import msgspec

DEFAULT: Final = "demo"


class Architecture(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of a preset.

    Attributes:
        hub: Id of the original on the Hugging Face hub.
        summary: What it is, in half a sentence.
        parameters: Number of parameters as it comes, tied ones once.
        largest_parameters: The same at the largest size that it may be scaled to.
        config: transformers' configuration at the largest size, with `model_type` and `dtype`.
        start: Fields of the configuration that differ as it comes, without a size asked for.
    """

    hub: str
    summary: str
    parameters: int
    largest_parameters: int
    config: dict[str, Any]
    start: dict[str, int] = {}

    @property
    def dtype(self) -> str:
        """The dtype in which the original is published."""
        return str(self.config["dtype"])


def architectures() -> dict[str, Architecture]:
    """Every preset by name: the default first, then by size."""
    found = {}
    for file in resources.files(__name__).iterdir():
        name, dot, suffix = file.name.rpartition(".")
        if dot and suffix == "json":
            found[name] = msgspec.json.decode(file.read_bytes(), type=Architecture)
    return dict(sorted(found.items(), key=lambda item: (item[0] != DEFAULT, item[1].parameters)))
