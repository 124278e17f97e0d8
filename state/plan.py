"""What to measure: the plan of one run, with every option declared once."""

import math
from typing import Annotated, Final, Literal, get_args

import msgspec

from state.chunks import large_chunk_shape, tile_shape
from state.codecs import CODEC_LEVELS, Codec
from state.errors import RequestError
from state.model import TensorInfo
from state.optimizations import (
    CELLS,
    DEFAULT_CHUNK_BYTES,
    DEFAULT_CONCURRENCY,
    FORMATS,
    MAX_CHUNK_BYTES,
    MAX_CONCURRENCY,
    MIN_CHUNK_BYTES,
    Optimizations,
)
from state.option_types import (
    CODEC,
    FORM_SECTIONS,
    PERCENT,
    SIZE,
    TIME,
    TIMEOUT,
    WHOLE,
    Declaration,
    Kind,
    Option,
    options_of,
)
from state.units import share_argument, size_argument

#: The methods of the study that this tool continues, in the order in which people see them.
SIX: Final = ("pytorch", "tensorstore", "t5x", "ts+concurrency", "ts+chunks", "ts+compression")
CELL_NAMES: Final = tuple(CELLS)
#: The name that the storage device's limit has among the trials. It is no method and no method may be called so.
LIMIT: Final = "limit"
Dtype = Literal["auto", "float16", "bfloat16", "float32"]
Cache = Literal["cold", "warm"]
Durability = Literal["durable", "buffered"]
Memory = Literal["at-hand", "as-found"]
Operation = Literal["save", "load"]
OPERATIONS: Final[tuple[Operation, ...]] = get_args(Operation)
_CODECS: Final = " or ".join((", ".join(list(CODEC_LEVELS)[:-1]), list(CODEC_LEVELS)[-1]))


def _size_words(plan: "Plan") -> str:
    """The size in the setup pane, with what else is saved."""
    size = "its own" if plan.size_bytes is None else size_argument(plan.size_bytes)
    return f"{size}, with optimizer" if plan.with_optimizer else size


def _rounds_words(plan: "Plan") -> str:
    """The rounds in the setup pane, with what may add some."""
    more = "" if plan.precision is None else f" or more, until ±{share_argument(plan.precision)}"
    return f"{plan.repeats}{more}"


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Everything that decides what a run measures. Two runs with equal plans are comparable.

    Attributes:
        model: Preset name, path or hub id.
        size_bytes: Scale a preset down to about this size; None keeps its own.
        dtype: Cast floating-point tensors before the clock; ``auto`` keeps them.
        with_optimizer: Save what a trainer saves: beside the weights, Adam's moments and step counters.
        device: Where the tensors live: ``cpu``, ``cuda`` or ``cuda:N``.
        methods: Names of the methods, without repetition.
        concurrency: Value of the first switch wherever it is on.
        chunk_bytes: Value of the second switch wherever it is on.
        codec: Value of the third switch wherever it is on.
        storage: Folder on the disk to measure.
        repeats: Number of rounds.
        cache: State of the page cache before each load.
        durability: Whether a save ends when it is on the device, or when the call returns.
        memory: Whether everything that a trial fills is at hand when its clock starts, or left as the host left it.
        seed: Of the weights' initialisation and of the order of the methods.
        stall_timeout_s: A trial that neither computes nor moves a byte for this long is stopped.
        timeout_s: A trial that takes longer than this is stopped; None lets it take its time.
        precision: Add rounds until every interval reaches at most this share up and down: 0.05 is ±5 %; None measures
            the rounds that were asked for.
        budget_s: Add no round that would probably end after this time; None sets no limit.
    """

    model: Annotated[
        str,
        Declaration(
            "--model",
            "model",
            "Preset, folder or file with weights, or hub id.",
            label="Model",
            note="{presets}, a folder or file with weights, or a hub id",
            pane=lambda plan: plan.model,
        ),
    ] = "demo"
    size_bytes: Annotated[
        int | None,
        Declaration(
            "--size",
            "model",
            "Scale a preset's weights to about this size, such as 256MiB.",
            SIZE,
            unset="its own",
            label="Size",
            note="scales a preset to about this size, such as 256MiB; empty keeps its own",
            pane=_size_words,
        ),
    ] = None
    dtype: Annotated[
        Dtype,
        Declaration(
            "--dtype",
            "model",
            "Cast floating-point tensors before measuring.",
            label="Dtype",
            note="casts floating-point tensors before the clock",
            pane=lambda plan: plan.dtype,
        ),
    ] = "auto"
    with_optimizer: Annotated[
        bool,
        Declaration(
            "--with-optimizer",
            "model",
            "Save Adam's moments and step counters with the weights, as trainers do.",
            label="Saved",
            note="the weights alone, or with Adam's moments and step counters, as a trainer saves them",
            off_and_on=("weights", "with optimizer"),
        ),
    ] = False
    device: Annotated[
        str,
        Declaration(
            "--device",
            "model",
            "cpu, cuda or cuda:N.",
            label="Device",
            note="where the tensors live",
            pane=lambda plan: plan.device,
        ),
    ] = "cpu"
    methods: Annotated[
        tuple[str, ...],
        Declaration(
            "--methods",
            "methods",
            "Names with commas; or {groups}.",
            Kind("NAMES", str, ",".join),
            is_always_copied=True,
        ),
    ] = SIX
    concurrency: Annotated[
        int,
        Declaration(
            "--concurrency",
            "methods",
            "File operations in flight where concurrency is on.",
            WHOLE,
            label="Concurrency",
            note="file operations at a time, where it is on",
        ),
    ] = DEFAULT_CONCURRENCY
    chunk_bytes: Annotated[
        int,
        Declaration(
            "--chunk-size",
            "methods",
            "Largest chunk where chunking is on, such as 64MiB.",
            SIZE,
            label="Chunk size",
            note="largest chunk, where chunking is on, such as 64MiB",
        ),
    ] = DEFAULT_CHUNK_BYTES
    codec: Annotated[
        Codec,
        Declaration(
            "--codec",
            "methods",
            f"Codec where compression is on: {_CODECS}.",
            CODEC,
            label="Codec",
            note=f"{_CODECS}, with a level: zstd:3",
        ),
    ] = Codec()
    storage: Annotated[
        str,
        Declaration(
            "--storage",
            "storage",
            "Folder on the disk to measure.",
            metavar="DIR",
            label="Storage",
            note="a folder on the disk to measure",
            pane=lambda plan: plan.storage,
        ),
    ] = "."
    repeats: Annotated[
        int,
        Declaration(
            "--repeats",
            "rounds",
            "Number of rounds.",
            WHOLE,
            label="Rounds",
            note="every method once a round; more rounds show the spread",
            pane=_rounds_words,
            is_always_copied=True,
        ),
    ] = 3
    cache: Annotated[
        Cache,
        Declaration(
            "--cache",
            "rules",
            "State of the page cache before each load.",
            label="Loads",
            note="cold reads from the disk, warm from memory",
            pane=lambda plan: plan.cache,
        ),
    ] = "cold"
    durability: Annotated[
        Durability,
        Declaration(
            "--durability",
            "rules",
            "Whether a save ends on the device or when the call returns.",
            label="Saves",
            note="durable ends on the device, buffered when the call returns",
            pane=lambda plan: plan.durability,
        ),
    ] = "durable"
    memory: Annotated[
        Memory,
        Declaration(
            "--memory",
            "rules",
            "Memory before each trial: at hand, or as the machine's host left it.",
            label="Memory",
            note="what a trial fills is at hand when its clock starts, or left as the machine's host left it",
        ),
    ] = "at-hand"
    seed: Annotated[
        int,
        Declaration(
            "--seed",
            "seed",
            "Random seed for the weights and for the order of methods.",
            WHOLE,
            label="Seed",
            note="of the weights and of the order of methods",
        ),
    ] = 0
    stall_timeout_s: Annotated[
        float, Declaration("--stall-timeout", "limits", "Kill a trial that makes no progress for this long.", TIMEOUT)
    ] = 120.0
    timeout_s: Annotated[
        float | None,
        Declaration("--timeout", "limits", "Kill a trial that takes longer, within 2 s.", TIMEOUT, unset="none"),
    ] = None
    precision: Annotated[
        float | None,
        Declaration(
            "--precision",
            "rounds",
            "Add rounds until every interval is within this, such as 5%.",
            PERCENT,
            unset="none",
            label="Precision",
            note="adds rounds until every interval is within this, such as 5%; empty adds none",
        ),
    ] = None
    budget_s: Annotated[
        float | None,
        Declaration(
            "--budget",
            "rounds",
            "With --precision, add no round that would end after this time, such as 10min.",
            TIME,
            unset="none",
            label="Budget",
            note="adds no round that would end after this time, such as 10min; empty sets no limit",
        ),
    ] = None

    def __post_init__(self) -> None:
        """Refuse what no run could mean.

        Raises:
            RequestError: With the value and its limits.
        """
        if not self.methods:
            raise RequestError("no method is selected", "name at least one, for example --methods six")
        if LIMIT in self.methods:
            raise RequestError(f"{LIMIT!r} is no method", "leave it out: every run measures the device's limit")
        if not 1 <= self.concurrency <= MAX_CONCURRENCY:
            raise RequestError(
                f"a concurrency of {self.concurrency} is out of range", f"choose from 1 to {MAX_CONCURRENCY}"
            )
        if not MIN_CHUNK_BYTES <= self.chunk_bytes <= MAX_CHUNK_BYTES:
            raise RequestError(
                f"a chunk size of {size_argument(self.chunk_bytes)} is out of range",
                f"choose from {size_argument(MIN_CHUNK_BYTES)} to {size_argument(MAX_CHUNK_BYTES)}",
            )
        if not 1 <= self.repeats <= 1000:
            raise RequestError(f"{self.repeats} rounds are out of range", "choose from 1 to 1000")
        for name in (self.model, self.storage):
            try:
                name.encode()
            except UnicodeEncodeError:
                raise RequestError(f"{name!a} is no UTF-8 text", "rename it") from None
        if not 0 <= self.seed < 2**63:
            raise RequestError(f"a seed of {self.seed} is out of range", "choose from 0 to 2^63 - 1")
        if self.precision is not None and not 0 < self.precision <= 1:
            raise RequestError(
                f"a precision of {share_argument(self.precision)} is out of range",
                "choose more than 0 % and at most 100 %",
            )
        if self.budget_s is not None and self.precision is None:
            raise RequestError(
                "a budget says when to stop adding rounds, and without a precision none are added",
                "give --precision, too",
            )
        times_s = {"stall timeout": self.stall_timeout_s, "timeout": self.timeout_s, "budget": self.budget_s}
        for name, value in times_s.items():
            if value is not None and not 0 < value < math.inf:
                raise RequestError(f"a {name} of {value} s is out of range", "give a positive number of seconds")

    def optimizations(self, method: str) -> Optimizations | None:
        """The switches of a method of the TensorStore family under this plan; None for any other method."""
        switches = CELLS.get(method) or FORMATS.get(method)
        if switches is None:
            return None
        concurrency, chunking, compression = switches
        return Optimizations(
            self.concurrency if concurrency else None,
            self.chunk_bytes if chunking else None,
            self.codec if compression else None,
        )


#: Every option of a plan, in the order of the command line.
OPTIONS: Final[tuple[Option, ...]] = options_of(Plan)
#: Those that the setup has, in the order of its form.
FORM_OPTIONS: Final[tuple[Option, ...]] = tuple(
    sorted(
        (option for option in OPTIONS if option.declared.label),
        key=lambda option: FORM_SECTIONS.index(option.declared.section),
    )
)


def through_cache(plan: Plan, operation: Operation) -> bool:
    """Whether the rules let an operation end (or begin) in the page cache instead of on the device."""
    return plan.durability == "buffered" if operation == "save" else plan.cache == "warm"


def chunk_shape(tensor: TensorInfo, chunk_bytes: int | None) -> tuple[int, ...]:
    """The chunk of a tensor with chunking on (a size) or off (None)."""
    if chunk_bytes is None:
        return tile_shape(tensor.shape)
    return large_chunk_shape(tensor.shape, tensor.item_bytes, chunk_bytes)
