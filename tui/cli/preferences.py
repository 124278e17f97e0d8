"""What the explorer opens with: the command line, and the user's settings for what it leaves open."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from state.errors import RequestError, SettingsError
from state.paths import settings_file
from state.plan import Plan
from state.settings import Settings, read_settings
from tui.cli.click_options import check_model, make_plan
from tui.keys import DEFAULT_KEYS, is_key

if TYPE_CHECKING:
    from backends.methods.entries import MethodEntry


def to_explore(context: click.Context, options: dict[str, Any]) -> "tuple[Plan, Mapping[str, MethodEntry], Settings]":
    """What the explorer opens with: the command line, and the user's settings for what it leaves open.

    Raises:
        RequestError: If one of them is wrong.
    """
    from backends.methods import registry

    flags = ((flag.removeprefix("--"), str(p.name)) for p in context.command.params for flag in p.opts)
    names = {flag: name for flag, name in flags if name in options}
    settings = read_settings(settings_file(), default_keys=DEFAULT_KEYS, is_key=is_key, options=names)
    entries = registry.entries()
    preferred = _preferred(context, settings, names)
    return _plan(options, preferred, names, entries, settings), entries, settings


def of_the_plan(context: click.Context) -> dict[str, Any]:
    """The values of the options that make a plan."""
    return {name: value for name, value in context.params.items() if name != "plain"}


def _refused(settings: Settings, flags: Iterable[str], reason: str) -> SettingsError:
    """Nobody has typed these now, so the file is named."""
    lines = ", ".join(f"{flag} = {settings.defaults[flag]!r}" for flag in flags)
    return SettingsError(f"the settings in {settings_file()} cannot be used ({lines})", reason.rstrip("."))


def _preferred(context: click.Context, settings: Settings, names: Mapping[str, str]) -> dict[str, Any]:
    """Flag -> value of the options that the user's settings give, and the command line does not.

    Raises:
        SettingsError: If one of them cannot be read.
    """
    parameters = {str(parameter.name): parameter for parameter in context.command.params}
    values: dict[str, Any] = {}
    for flag, given in settings.defaults.items():
        if context.get_parameter_source(names[flag]) is not click.core.ParameterSource.DEFAULT:
            continue
        text = given if isinstance(given, bool) else str(given)  # as on the command line, where 1.5 is no whole number
        try:
            values[flag] = parameters[names[flag]].type_cast_value(context, text)
        except click.BadParameter as error:
            raise _refused(settings, [flag], error.message) from None
    return values


def _plan(
    options: Mapping[str, Any],
    preferred: Mapping[str, Any],
    names: Mapping[str, str],
    entries: "Mapping[str, MethodEntry]",
    settings: Settings,
) -> Plan:
    """The plan of both; what is wrong is told of the settings that are to blame, if it goes away without them.

    Raises:
        SettingsError: If some are.
        RequestError: If the command line is.
    """

    def made(flags: Iterable[str]) -> Plan | RequestError:
        given = {names[flag]: preferred[flag] for flag in flags}
        try:
            plan = make_plan(entries=entries, **{**options, **given})
            check_model(plan)
        except RequestError as error:
            return error
        return plan

    plan = made(preferred)
    if isinstance(plan, Plan):
        return plan
    if isinstance(made(()), RequestError):
        raise plan
    at_fault = [flag for flag in preferred if isinstance(made(preferred.keys() - {flag}), Plan)]
    raise _refused(settings, at_fault or preferred, str(plan))
