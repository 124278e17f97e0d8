"""The options of a plan (`state.plan`) as click has them, for `run`, `explore` and `aa`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from backends.methods.groups import GROUPS, groups
from state.errors import CkptTuiError
from state.method_names import expand_methods
from state.option_types import Option
from state.plan import OPTIONS, Plan

if TYPE_CHECKING:
    from backends.methods.entries import MethodEntry

_Command = TypeVar("_Command", bound=Callable[..., Any])


class Parsed(click.ParamType[Any]):
    """A value that one of our own parsers reads; its refusal names the option."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read it."""
        try:
            return self._parse(str(value))
        except CkptTuiError as error:
            self.fail(str(error), param, ctx)


def _click_option(option: Option) -> Callable[[_Command], _Command]:
    """The option as click has it."""
    declared = option.declared
    text = declared.help.format(groups=", ".join(GROUPS))
    if option.is_flag:
        return click.option(declared.flag, option.field, is_flag=True, help=text)
    default = "six" if option.field == "methods" else option.text_of(option.default)
    kind = declared.kind
    return click.option(
        declared.flag,
        option.field,
        type=click.Choice(option.choices) if option.choices else Parsed(kind.name.lower(), kind.read),
        metavar=None if option.choices else declared.metavar or kind.name,
        default=None if option.default is None else default,
        show_default=not declared.unset,
        help=f"{text}  [default: {declared.unset}]" if declared.unset else text,
    )


def plan_options(command: _Command) -> _Command:
    """Give a command the options; it gets them as keywords for `make_plan`."""
    for option in reversed(OPTIONS):
        command = _click_option(option)(command)
    return command


def make_plan(*, methods: str, storage: str, entries: "Mapping[str, MethodEntry]", **fields: Any) -> Plan:
    """A plan from the options.

    Args:
        methods: Names of methods and groups, with commas.
        storage: A folder.
        entries: Every method there is.
        fields: The other values of the plan.

    Raises:
        RequestError: If a method is unknown, a value out of range, or the storage folder cannot be used.
    """
    from backends.storage.folder import check_storage, user_path

    folder = check_storage(user_path(storage))
    return Plan(methods=expand_methods(methods, entries, groups(entries)), storage=str(folder), **fields)


def check_model(plan: Plan) -> None:
    """Refuse a model that can be nothing, before anything is started for it.

    Raises:
        ModelError: If it is neither a preset nor a file nor a hub id, or cannot be scaled to the size.
    """
    from backends.models.names import check_size, kind_of

    kind_of(plan.model)
    check_size(plan.model, plan.size_bytes)
