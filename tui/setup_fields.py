"""The setup's fields: the options of a plan that have a label, with what only this machine can say of them."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from backends.gpus import gpus
from backends.models.architectures import architectures
from backends.models.names import check_size, kind_of
from backends.storage.folder import check_storage, user_path
from state.errors import RequestError
from state.plan import FORM_OPTIONS, Plan


class Field(NamedTuple):
    """One value of a plan that people can set.

    Attributes:
        name: The plan's attribute.
        label: Its name for people.
        explanation: What it is for, in half a sentence.
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


def _storage(text: str) -> str:
    return str(check_storage(user_path(text.strip() or "?")))


#: Fields that are read with a look at this machine.
_READERS: Final[dict[str, Callable[[str], Any]]] = {"model": _model, "storage": _storage}


def _device(plan: Plan) -> str:
    """Torch's ``cuda`` is its first."""
    return "cuda:0" if plan.device == "cuda" else plan.device


def fields() -> tuple[Field, ...]:
    """Every field, in the order of the form."""
    found = [
        Field(
            option.field,
            option.declared.label,
            option.declared.note.format(presets=", ".join(architectures())),
            _READERS.get(option.field, option.read),
            option.write,
            tuple((name, name) for name in (option.declared.off_and_on if option.is_flag else option.choices)),
        )
        for option in FORM_OPTIONS
    ]
    devices = (("cpu", "cpu"), *((gpu.device, f"{gpu.device} {gpu.name}") for gpu in gpus()))
    no_gpu = "" if len(devices) > 1 else "only cpu: the driver lists no NVIDIA GPU here"
    return tuple(
        field._replace(write=_device, choices=devices, fixed=no_gpu) if field.name == "device" else field
        for field in found
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
