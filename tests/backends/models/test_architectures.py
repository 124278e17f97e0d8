"""The shipped facts, without any tensor library."""

import subprocess
import sys

from backends.models.architectures import DEFAULT, architectures

#: As the model cards on the hub say, tied parameters once.
PUBLISHED = {
    "gpt2": 124_439_808,
    "llama-3.2-1b": 1_235_814_400,
    "open-llama-3b": 3_426_473_600,
    "mistral-7b": 7_241_732_096,
    "qwen2.5-7b": 7_615_616_512,
    "llama-3.1-8b": 8_030_261_248,
}


def test_the_default_comes_first_and_the_others_by_size_with_their_published_parameters() -> None:
    found = architectures()
    assert list(found) == [DEFAULT, *PUBLISHED]
    assert {name: found[name].parameters for name in PUBLISHED} == PUBLISHED
    assert [name for name, it in found.items() if it.largest_parameters > it.parameters] == [DEFAULT]


def test_listing_them_imports_no_tensor_library() -> None:
    code = (
        "import sys; from backends.models.architectures import architectures; architectures();"
        "sys.exit(bool({'torch', 'numpy', 'transformers'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
