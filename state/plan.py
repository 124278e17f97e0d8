"""What to measure: the plan of one run, and its schedule."""

import difflib
import math
import random
from collections.abc import Iterable, Mapping
from typing import Final, Literal, get_args

import msgspec

from state.chunks import large_chunk_shape, tile_shape
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
    Codec,
    Optimizations,
)
from state.units import parse_duration, share_argument, size_argument

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


#: Trials are looked at that often.
WATCH_S: Final = 2.0


def parse_timeout(text: str) -> float:
    """Read a time after which a trial is stopped, in seconds.

    Raises:
        RequestError: If it is none, or shorter than the time between two looks.
    """
    time_s = parse_duration(text)
    if time_s < WATCH_S:
        raise RequestError(f"trials are looked at every {WATCH_S:g} s only", "give at least that")
    return time_s


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

    model: str = "demo"
    size_bytes: int | None = None
    dtype: Dtype = "auto"
    with_optimizer: bool = False
    device: str = "cpu"
    methods: tuple[str, ...] = SIX
    concurrency: int = DEFAULT_CONCURRENCY
    chunk_bytes: int = DEFAULT_CHUNK_BYTES
    codec: Codec = Codec()
    storage: str = "."
    repeats: int = 3
    cache: Cache = "cold"
    durability: Durability = "durable"
    memory: Memory = "at-hand"
    seed: int = 0
    stall_timeout_s: float = 120.0
    timeout_s: float | None = None
    precision: float | None = None
    budget_s: float | None = None

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


def expand_methods(text: str, available: Iterable[str], groups: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Read a comma-separated list of names and groups.

    Args:
        text: What the user wrote.
        available: Every method that exists, in the order in which people see them.
        groups: Name of a group -> its methods.

    Returns:
        Names in the order written, each once.

    Raises:
        RequestError: If a name is unknown, or nothing of a group can run here.
    """
    known = tuple(available)
    chosen: dict[str, None] = {}
    for name in filter(None, (part.strip() for part in text.split(","))):
        if name not in groups and name not in known:
            near = difflib.get_close_matches(name, (*groups, *known), n=3)
            do = f"did you mean {' or '.join(near)}" if near else f"choose from {', '.join((*groups, *known))}"
            raise RequestError(f"there is no method {name!r}", f"{do}? See ckpt-tui methods" if near else do)
        if not groups.get(name, known):
            raise RequestError(f"no method of {name} can run here", "see ckpt-tui methods for what to install")
        chosen |= dict.fromkeys(groups.get(name, (name,)))
    return tuple(chosen)


def through_cache(plan: Plan, operation: Operation) -> bool:
    """Whether the rules let an operation end (or begin) in the page cache instead of on the device."""
    return plan.durability == "buffered" if operation == "save" else plan.cache == "warm"


class Trial(msgspec.Struct, frozen=True):
    """One entry of the schedule: the operation of a method, or of the limit, in a round."""

    round: int
    method: str
    operation: Operation


def schedule(plan: Plan) -> tuple[Trial, ...]:
    """All trials of a run in order: rounds of shuffled methods, each saved and then loaded.

    Shuffling spreads slow drifts of the machine over the methods; saving and loading stay together, so that one
    checkpoint at a time lies on the disk. The device's limit takes its turn somewhere among them in every round, so
    that it drifts as they do. The order follows from the plan's seed alone.
    """
    trials: list[Trial] = []
    for number in range(1, plan.repeats + 1):
        order = list(plan.methods)
        dice = random.Random(f"{plan.seed}/{number}")
        dice.shuffle(order)
        order.insert(dice.randint(0, len(order)), LIMIT)
        for method in order:
            trials += [Trial(number, method, operation) for operation in OPERATIONS]
    return tuple(trials)


def chunk_shape(tensor: TensorInfo, chunk_bytes: int | None) -> tuple[int, ...]:
    """The chunk of a tensor with chunking on (a size) or off (None)."""
    if chunk_bytes is None:
        return tile_shape(tensor.shape)
    return large_chunk_shape(tensor.shape, tensor.item_bytes, chunk_bytes)


def one_more_round(plan: Plan) -> Plan:
    """The plan with another round; the schedule of the rounds before stays as it is."""
    return msgspec.structs.replace(plan, repeats=plan.repeats + 1)
