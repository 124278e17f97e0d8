"""What is known of a method without importing it: its entry.

Each of our own methods is declared once, above its class, with `method`. The registry reads the declarations out of the
files, since importing them would import torch, JAX and TensorStore into the process that people see.
"""

import ast
import importlib.util
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import msgspec

#: The distribution that our own methods come from.
OURS: Final = "ckpt-tui"
#: Whose library does the work, or who uses it: what people who look for a method begin with.
Family = Literal["PyTorch", "TensorStore", "JAX", "other"]


class MethodEntry(msgspec.Struct, frozen=True):
    """A method that can be asked for.

    Attributes:
        name: Its name.
        target: ``module:Class``.
        summary: What it does, in half a sentence.
        family: Where it belongs.
        requires: Modules that must be importable.
        install: What pip is to be given if they are not.
        provider: The distribution that it comes from.
    """

    name: str
    target: str
    summary: str
    family: Family = "other"
    requires: tuple[str, ...] = ()
    install: str = ""
    provider: str = OURS

    @property
    def missing(self) -> tuple[str, ...]:
        """What cannot be imported of what it requires."""
        return tuple(module for module in self.requires if not _is_there(module))

    @property
    def unavailable(self) -> str | None:
        """Why it cannot run here, or None."""
        missing = self.missing
        if not missing:
            return None
        return f"needs the package {', '.join(missing)}" + (f": pip install '{self.install}'" if self.install else "")


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of ``a.b``, not even ``a``
        return False


_Class = TypeVar("_Class", bound=type)
_FOLDER: Final = Path(__file__).parent
#: The declarations above a class, each a call with literal arguments.
_DECLARED: Final = re.compile(r"^((?:@method\(.*?\)\n)+)class (\w+)", re.MULTILINE | re.DOTALL)


def method(
    name: str, summary: str, family: Family, *, requires: tuple[str, ...] = (), install: str = ""
) -> Callable[[_Class], _Class]:
    """Declare a method that this class is, or one of several. All arguments must be literals.

    Args:
        name: Its name.
        summary: What it does, in half a sentence.
        family: Where it belongs.
        requires: Modules that must be importable.
        install: What pip is to be given if they are not.
    """
    return lambda method_class: method_class


def declared_entries() -> Iterator[MethodEntry]:
    """Every method that is declared in a file below this folder, file by file."""
    for path in sorted(_FOLDER.rglob("*.py")):
        module = ".".join(("backends.methods", *path.relative_to(_FOLDER).with_suffix("").parts))
        source, found = path.read_text(encoding="utf-8"), 0
        for declarations, class_name in _DECLARED.findall(source):
            for call in ast.parse(declarations.replace("@method", "method")).body:
                yield _entry(call, f"{module}:{class_name}")
                found += 1
        assert found == len(re.findall("^@method\\(", source, re.MULTILINE)), (
            f"{path}: a class follows declarations at once"
        )


def _entry(call: ast.stmt, target: str) -> MethodEntry:
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call), "what the pattern lets through"
    name, summary, family = (ast.literal_eval(argument) for argument in call.value.args)
    more: dict[str, Any] = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.value.keywords}
    return MethodEntry(name, target, summary, family, **more)
