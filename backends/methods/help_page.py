"""The help page of a method: what its class says of itself, read from the source, so that no library is imported."""

import ast
import importlib.util
import re
import textwrap
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Final

from backends.methods.entries import OURS, MethodEntry

#: What a help page answers, in this order.
SECTIONS: Final = ("In your code", "What it does", "Defaults", "Fidelity", "Sources")
#: Which of them is code, with ``state`` for the tensors by name and ``folder`` for a `Path`; it stays as it is.
CODE: Final = "In your code"
#: Family -> the distribution that all of it needs.
_LIBRARIES: Final = {"PyTorch": "torch", "TensorStore": "tensorstore", "JAX": "jax"}


def docstring(entry: MethodEntry) -> str:
    """What a method's class says of itself; empty where its source cannot be read, as in a compiled module."""
    module, _, name = entry.target.partition(":")
    try:
        source = _source(module)
        nodes = ast.parse(source.read_bytes()).body if source is not None else []
    except (OSError, SyntaxError, ValueError):
        return ""
    found = (node for node in nodes if isinstance(node, ast.ClassDef) and node.name == name)
    return next((ast.get_docstring(node) or "" for node in found), "")


def _source(module: str) -> Path | None:
    """The file of a module. To ask for a submodule would import its package, so only the first name is asked for."""
    top, *rest = module.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin is not None else None
    bases = [Path(location, *rest) for location in spec.submodule_search_locations or ()]
    files = (file for base in bases for file in (base.with_suffix(".py"), base / "__init__.py"))
    return next((file for file in files if file.is_file()), None)


def sections(text: str) -> tuple[str, dict[str, str]]:
    """A docstring's beginning, and heading -> text of those sections that a help page has."""
    lead, *parts = re.split(r"^(\w[\w ]*):\n(?= {4}\S)", text, flags=re.MULTILINE)
    found = dict(zip(parts[::2], parts[1::2], strict=True))
    return lead.strip(), {heading: found[heading].rstrip() for heading in SECTIONS if heading in found}


def summary(entry: MethodEntry) -> str:
    """What a method does, in half a sentence: of a third party's, the first line of its docstring."""
    lead = "" if entry.provider == OURS else docstring(entry).partition("\n")[0].rstrip(".")
    return f"{lead}, {entry.summary}" if lead else entry.summary


def page(entry: MethodEntry) -> str:
    """The help page as plain text: summary, family, what it comes from or needs, and the sections of its docstring."""
    return "\n".join(_lines(entry)).rstrip()


def _lines(entry: MethodEntry) -> Iterator[str]:
    yield f"{entry.name}: {entry.summary}"
    yield f"family: {entry.family}, from {_version(entry.provider)}"
    if entry.unavailable is not None:
        yield f"cannot run here: it {entry.unavailable}"
    else:
        names = (_LIBRARIES.get(entry.family, ""), *entry.requires)
        if versions := ", ".join(_version(name) for name in filter(None, names)):
            yield f"with: {versions}"
    lead, found = sections(docstring(entry))
    yield from ("", _flowing(lead))
    for heading, text in found.items():
        yield from ("", heading.upper(), textwrap.dedent(text) if heading == CODE else _flowing(text))


def _flowing(text: str) -> str:
    """A paragraph in one line, which whoever shows it breaks where there is no more room; addresses stay apart."""
    lines = (line.strip() for line in text.splitlines())
    joined = "\n".join(f"\n{line}\n" if line.startswith(("http", "- ")) else line for line in lines)
    paragraphs = (" ".join(paragraph.split()) for paragraph in re.split(r"\n{2,}", joined))
    return "\n".join(filter(None, paragraphs))


def _version(name: str) -> str:
    """A distribution with its version, as far as it has one: a module may lie in one of another name.

    A dot is as good as a hyphen in the name of a distribution
    (https://packaging.python.org/en/latest/specifications/name-normalization).
    """
    try:
        return f"{name} {metadata.version(name)}"
    except (metadata.PackageNotFoundError, ValueError):
        return name
