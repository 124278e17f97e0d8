"""The options of the command line that make a plan, shared by `run` and `explore`."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from backends.methods.groups import GROUPS, groups
from state.errors import CkptTuiError
from state.optimizations import Codec
from state.plan import Plan, expand_methods, parse_timeout
from state.units import duration_argument, parse_duration, parse_share, parse_size, parse_whole, size_argument

if TYPE_CHECKING:
    from backends.methods.registry import Entry

_DEFAULT: Final = Plan()
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


_SIZE: Final = Parsed("size", parse_size)
_WHOLE: Final = Parsed("integer", parse_whole)
_DURATION: Final = Parsed("duration", parse_duration)
_TIMEOUT: Final = Parsed("duration", parse_timeout)

_OPTIONS: Final = (
    click.option("--model", default="demo", show_default=True, help="Preset, folder or file with weights, or hub id."),
    click.option(
        "--size",
        "size_bytes",
        type=_SIZE,
        metavar="SIZE",
        help="Scale a preset's weights to about this size, such as 256MiB.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(["auto", "float16", "bfloat16", "float32"]),
        default="auto",
        show_default=True,
        help="Cast floating-point tensors before measuring.",
    ),
    click.option(
        "--with-optimizer", is_flag=True, help="Save Adam's moments and step counters with the weights, as trainers do."
    ),
    click.option("--device", default="cpu", show_default=True, help="cpu, cuda or cuda:N."),
    click.option(
        "--methods",
        default="six",
        show_default=True,
        metavar="NAMES",
        help=f"Names with commas; or {', '.join(GROUPS)}.",
    ),
    click.option(
        "--concurrency",
        type=_WHOLE,
        metavar="INTEGER",
        default=_DEFAULT.concurrency,
        show_default=True,
        help="Its value where on.",
    ),
    click.option(
        "--chunk-size",
        "chunk_bytes",
        type=_SIZE,
        default=size_argument(_DEFAULT.chunk_bytes),
        show_default=True,
        metavar="SIZE",
        help="Chunking's value where on.",
    ),
    click.option(
        "--codec",
        type=Parsed("codec", Codec.parse),
        default="gzip",
        show_default=True,
        metavar="NAME[:LEVEL]",
        help="Compression's value where on: gzip, zstd, blosc-lz4 or blosc-zstd.",
    ),
    click.option("--storage", default=".", show_default=True, metavar="DIR", help="Folder on the disk to measure."),
    click.option(
        "--repeats",
        type=_WHOLE,
        metavar="INTEGER",
        default=_DEFAULT.repeats,
        show_default=True,
        help="Number of rounds.",
    ),
    click.option(
        "--precision",
        type=Parsed("percentage", parse_share),
        metavar="PERCENT",
        help="Add rounds until every interval is within this, such as 5%.  [default: none]",
    ),
    click.option(
        "--budget",
        "budget_s",
        type=_DURATION,
        metavar="TIME",
        help="Add none that would end after this time, such as 10min.  [default: none]",
    ),
    click.option(
        "--cache", type=click.Choice(["cold", "warm"]), default="cold", show_default=True, help="Before loads."
    ),
    click.option(
        "--durability",
        type=click.Choice(["durable", "buffered"]),
        default="durable",
        show_default=True,
        help="Whether a save ends on the device or when the call returns.",
    ),
    click.option(
        "--memory",
        type=click.Choice(["at-hand", "as-found"]),
        default="at-hand",
        show_default=True,
        help="Memory before each trial: at hand, or as the machine's host left it.",
    ),
    click.option(
        "--seed",
        type=_WHOLE,
        metavar="INTEGER",
        default=0,
        show_default=True,
        help="Of the weights and of the order of methods.",
    ),
    click.option(
        "--stall-timeout",
        "stall_timeout_s",
        type=_TIMEOUT,
        default=duration_argument(_DEFAULT.stall_timeout_s),
        show_default=True,
        metavar="TIME",
        help="Stop a trial stuck so long.",
    ),
    click.option(
        "--timeout",
        "timeout_s",
        type=_TIMEOUT,
        metavar="TIME",
        help="Stop a trial that takes longer, within 2 s.  [default: none]",
    ),
)


def plan_options(command: _Command) -> _Command:
    """Give a command the options; it gets them as keywords for `make_plan`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def make_plan(*, methods: str, storage: str, entries: "Mapping[str, Entry]", **fields: Any) -> Plan:
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
