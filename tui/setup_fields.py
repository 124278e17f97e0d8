"""The setup's fields: how each is read, written, explained, and refused."""

from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import msgspec

from backends.gpus import gpus
from backends.models.architectures import architectures
from backends.models.names import check_size, kind_of
from backends.storage.folder import check_storage, user_path
from state.errors import RequestError
from state.optimizations import Codec
from state.plan import Cache, Dtype, Durability, Memory, Plan
from state.units import (
    duration_argument,
    parse_duration,
    parse_share,
    parse_size,
    parse_whole,
    share_argument,
    size_argument,
)


class Field(NamedTuple):
    """One value of a plan that people can set.

    Attributes:
        name: The plan's attribute.
        label: Its name for people.
        explanation: What it is for, in a sentence.
        read: From what was typed to the value; raises `RequestError`.
        write: From a plan to what would be typed.
        choices: All values, if there are few: what is typed and what is shown.
        fixed: Why it cannot be changed here, or an empty text.
    """

    name: str
    label: str
    explanation: str
    read: Callable[[str], Any]
    write: Callable[[Plan], str]
    choices: tuple[tuple[str, str], ...] = ()
    fixed: str = ""


def _model(text: str) -> str:
    kind_of(text.strip())
    return text.strip()


def _devices() -> tuple[tuple[str, str], ...]:
    return (("cpu", "cpu"), *((gpu.device, f"{gpu.device} {gpu.name}") for gpu in gpus()))


def _device(plan: Plan) -> str:
    """Torch's ``cuda`` is its first."""
    return "cuda:0" if plan.device == "cuda" else plan.device


def fields() -> tuple[Field, ...]:
    """Every field, in the order of the form."""
    presets = ", ".join(architectures())
    dtypes = tuple((name, name) for name in get_args(Dtype))
    no_gpu = "" if len(_devices()) > 1 else "only cpu: the driver lists no NVIDIA GPU here"
    return (
        Field("model", "Model", f"{presets}, a folder or file with weights, or a hub id", _model, lambda p: p.model),
        Field(
            "size_bytes",
            "Size",
            "scales a preset to about this size, such as 256MiB; empty keeps its own",
            lambda text: parse_size(text) if text.strip() else None,
            lambda p: size_argument(p.size_bytes) if p.size_bytes is not None else "",
        ),
        Field("dtype", "Dtype", "casts floating-point tensors before the clock", str, lambda p: p.dtype, dtypes),
        Field(
            "with_optimizer",
            "Saved",
            "the weights alone, or with Adam's moments and step counters, as a trainer saves them",
            lambda text: text == "with optimizer",
            lambda p: "with optimizer" if p.with_optimizer else "weights",
            tuple((name, name) for name in ("weights", "with optimizer")),
        ),
        Field("device", "Device", "where the tensors live", str, _device, _devices(), no_gpu),
        Field(
            "storage",
            "Storage",
            "a folder on the disk to measure",
            lambda text: str(check_storage(user_path(text.strip() or "?"))),
            lambda p: p.storage,
        ),
        Field(
            "cache",
            "Loads",
            "cold reads from the disk, warm from memory",
            str,
            lambda p: p.cache,
            tuple((name, name) for name in get_args(Cache)),
        ),
        Field(
            "durability",
            "Saves",
            "durable ends on the device, buffered when the call returns",
            str,
            lambda p: p.durability,
            tuple((name, name) for name in get_args(Durability)),
        ),
        Field(
            "memory",
            "Memory",
            "what a trial fills is at hand when its clock starts, or left as the machine's host left it",
            str,
            lambda p: p.memory,
            tuple((name, name) for name in get_args(Memory)),
        ),
        Field(
            "repeats",
            "Rounds",
            "every method once a round; more rounds show the spread",
            parse_whole,
            lambda p: str(p.repeats),
        ),
        Field(
            "precision",
            "Precision",
            "adds rounds until every interval is within this, such as 5%; empty adds none",
            lambda text: parse_share(text) if text.strip() else None,
            lambda p: share_argument(p.precision) if p.precision is not None else "",
        ),
        Field(
            "budget_s",
            "Budget",
            "adds no round that would end after this time, such as 10min; empty sets no limit",
            lambda text: parse_duration(text) if text.strip() else None,
            lambda p: duration_argument(p.budget_s) if p.budget_s is not None else "",
        ),
        Field(
            "concurrency",
            "Concurrency",
            "file operations at a time, where it is on",
            parse_whole,
            lambda p: str(p.concurrency),
        ),
        Field(
            "chunk_bytes",
            "Chunk size",
            "largest chunk, where chunking is on, such as 64MiB",
            parse_size,
            lambda p: size_argument(p.chunk_bytes),
        ),
        Field(
            "codec",
            "Codec",
            "gzip, zstd, blosc-lz4 or blosc-zstd, with a level: zstd:3",
            lambda text: Codec.parse(text.strip()),
            lambda p: str(p.codec),
        ),
        Field("seed", "Seed", "of the weights and of the order of methods", parse_whole, lambda p: str(p.seed)),
    )


def read_form(form: dict[str, str], plan: Plan) -> tuple[Plan, dict[str, str]]:
    """A plan from what was typed.

    Args:
        form: Field name -> text.
        plan: For what the form does not have.

    Returns:
        The plan with every field that could be read, and field name -> what is wrong with the others.
    """
    errors: dict[str, str] = {}
    for field in fields():
        if field.name not in form:
            continue
        try:
            plan = msgspec.structs.replace(plan, **{field.name: field.read(form[field.name])})
        except RequestError as error:
            errors[field.name] = str(error)
    if "model" not in errors and "size_bytes" not in errors:
        try:
            check_size(plan.model, plan.size_bytes)
        except RequestError as error:
            errors["size_bytes"] = str(error)
    return plan, errors
