"""How an option of a plan is declared: once, beside its field in `state.plan.Plan`.

The command line, the user's settings, the setup form, the setup pane, the copied command line and the comparison of two
runs all read the declaration.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec

from state.codecs import Codec
from state.errors import RequestError
from state.units import (
    duration_argument,
    parse_duration,
    parse_share,
    parse_size,
    parse_whole,
    share_argument,
    size_argument,
)

#: What an option belongs to, in the order of the command line.
Section = Literal["model", "methods", "storage", "rounds", "rules", "seed", "limits"]
SECTIONS: Final[tuple[Section, ...]] = get_args(Section)
#: The order of the form, which leaves out what it does not set.
FORM_SECTIONS: Final[tuple[Section, ...]] = ("model", "storage", "rules", "rounds", "methods", "seed")
#: Trials are looked at that often.
WATCH_S: Final = 2.0


class Kind(NamedTuple):
    """A kind of value.

    Attributes:
        name: What stands for such a value in `--help`.
        read: From what people type to the value; raises `RequestError`.
        write: The other way round, exactly.
    """

    name: str
    read: Callable[[str], Any]
    write: Callable[[Any], str]


def _parse_timeout(text: str) -> float:
    """Read a time after which a trial is stopped, in seconds."""
    time_s = parse_duration(text)
    if time_s < WATCH_S:
        raise RequestError(f"trials are looked at every {WATCH_S:g} s only", "give at least that")
    return time_s


TEXT: Final = Kind("TEXT", str, str)
WHOLE: Final = Kind("INTEGER", parse_whole, str)
SIZE: Final = Kind("SIZE", parse_size, size_argument)
PERCENT: Final = Kind("PERCENT", parse_share, share_argument)
TIME: Final = Kind("TIME", parse_duration, duration_argument)
TIMEOUT: Final = Kind("TIME", _parse_timeout, duration_argument)
CODEC: Final = Kind("NAME[:LEVEL]", lambda text: Codec.parse(text.strip()), str)


class Declaration(NamedTuple):
    """What is said of an option beside its field, whose type and default say the rest.

    Attributes:
        flag: On the command line.
        section: What it belongs to.
        help: What it does, in a sentence for `--help`.
        kind: What kind its values are, where they are not a few.
        metavar: What stands for the value in `--help`, if that is not the kind's name.
        unset: What it means to give none, where that is possible.
        label: Its name in the setup; empty where the setup does not have it.
        note: What it is for, in half a sentence for the setup.
        off_and_on: What the setup calls the two values of a flag.
        pane: What the setup pane shows of a plan; None leaves the option out of the pane.
        is_always_copied: Whether the copied command line has it although it is at its default.
    """

    flag: str
    section: Section
    help: str
    kind: Kind = TEXT
    metavar: str = ""
    unset: str = ""
    label: str = ""
    note: str = ""
    off_and_on: tuple[str, str] = ("off", "on")
    pane: Callable[[Any], str] | None = None
    is_always_copied: bool = False


class Option(NamedTuple):
    """An option of a plan.

    Attributes:
        field: The plan's attribute.
        declared: What is said of it there.
        default: Its value if nobody sets it.
        choices: All its values as people type them, if they are few.
        is_flag: Whether it is true or false.
    """

    field: str
    declared: Declaration
    default: Any
    choices: tuple[str, ...]
    is_flag: bool

    def read(self, text: str) -> Any:
        """The value that somebody typed into the setup.

        Raises:
            RequestError: If it is none.
        """
        if self.is_flag:
            return text == self.declared.off_and_on[1]
        if self.declared.unset and not text.strip():
            return None
        return self.declared.kind.read(text)

    def write(self, plan: Any) -> str:
        """What one would type into the setup to get a plan's value."""
        return self.text_of(getattr(plan, self.field))

    def text_of(self, value: Any) -> str:
        """What one would type to get a value."""
        if self.is_flag:
            return self.declared.off_and_on[bool(value)]
        return "" if value is None else self.declared.kind.write(value)

    def words(self, plan: Any) -> tuple[str, ...]:
        """The words of a command line that give this option the plan's value; none where it is at its default."""
        value = getattr(plan, self.field)
        if value is None or (value == self.default and not self.declared.is_always_copied):
            return ()
        return (self.declared.flag,) if self.is_flag else (self.declared.flag, self.text_of(value))


def options_of(plan: type[msgspec.Struct]) -> tuple[Option, ...]:
    """The options that a class of plans declares, in the order of the command line."""
    hints = get_type_hints(plan, include_extras=True)
    options = []
    for field in msgspec.structs.fields(plan):
        kind, *declarations = get_args(hints[field.name])
        choices = get_args(kind) if get_origin(kind) is Literal else ()
        options += [
            Option(field.name, declared, field.default, choices, kind is bool)
            for declared in declarations
            if isinstance(declared, Declaration)
        ]
    return tuple(sorted(options, key=lambda option: SECTIONS.index(option.declared.section)))
