"""The table of cases in docs/gate.md: a test for each row, and a row for each test."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from state.codecs import Codec
from state.export.files import write_export
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from state.run.environment import Environment, FileSystem
from state.run.records import Failure, Run
from tests.state.factories import MODEL, run_of
from tests.tui.cli.test_main import ckpt_tui

PAGE: Final = Path(__file__).parents[3] / "docs" / "gate.md"
ROW: Final = re.compile(r"\| (?P<case>.+) \| (?P<status>[012]) \| (?:`(?P<sentence>.+)` )?\|")
ROWS: Final = {match["case"]: match for line in PAGE.read_text().splitlines() if (match := ROW.fullmatch(line))}

STEADY: Final = (1.0, 1.02, 0.98, 1.01, 0.99)
WILD: Final = (1.0, 2.0, 4.0, 0.5, 1.5)
BOTH: Final = ("pytorch", "t5x")
HERE: Final = Environment("here", cpu="EPYC", cores=2, storage="/disk", filesystem=FileSystem("ext4", "/", "/dev/x"))
WRONG: Final = Failure("tensor 'w' came back with other bits")
FULL: Final = Failure("the storage is full")


def measured(
    *methods: str, factor: float = 1.0, rounds: int = 5, samples: Sequence[float] = STEADY, **settings: Any
) -> Run:
    """A run that took a multiple of some times; without methods it is of pytorch and t5x."""
    plan = Plan(methods=methods or BOTH, repeats=5, **settings)
    times = {(m, op): [factor * s for s in samples[:rounds]] for m in (*plan.methods, LIMIT) for op in OPERATIONS}
    return msgspec.structs.replace(run_of(plan, times), environment=HERE)


def limit_alone() -> Run:
    return msgspec.structs.replace(run_of(Plan(methods=BOTH), {(LIMIT, op): [1.0, 1.0, 1.0] for op in OPERATIONS}))


def broken(run: Run, method: str, operation: Operation, failure: Failure, *rounds: int) -> Run:
    """The run in which some rounds of a method failed, all of them if none is given."""
    records = tuple(
        msgspec.structs.replace(record, status="failed", result=None, failure=failure)
        if (record.trial.method, record.trial.operation) == (method, operation)
        and (not rounds or record.trial.round in rounds)
        else record
        for record in run.records
    )
    return msgspec.structs.replace(run, records=records)


def all_broken(run: Run) -> Run:
    for method in BOTH:
        for operation in OPERATIONS:
            run = broken(run, method, operation, FULL)
    return run


def without(run: Run, method: str, operation: Operation, rounds_left: int) -> Run:
    """The run that was cancelled before an operation had all of its rounds."""
    records = tuple(
        msgspec.structs.replace(record, status="cancelled", result=None)
        if (record.trial.method, record.trial.operation) == (method, operation) and record.trial.round > rounds_left
        else record
        for record in run.records
    )
    return msgspec.structs.replace(run, records=records, status="cancelled")


def refused() -> Run:
    return msgspec.structs.replace(measured(rounds=0), status="refused", refusal=Failure("there is no room"))


def there(**environment: Any) -> Run:
    return msgspec.structs.replace(measured(), environment=msgspec.structs.replace(HERE, **environment))


def of_model(factor: float = 1.0, **changes: Any) -> Run:
    return msgspec.structs.replace(measured(factor=factor), model=msgspec.structs.replace(MODEL, **changes))


BFLOAT16: Final = tuple(msgspec.structs.replace(tensor, dtype="bfloat16") for tensor in MODEL.tensors)

#: Case -> run A, run B, and options where they are not the usual ones.
CASES: Final[dict[str, tuple[Run, Run] | tuple[Run, Run, tuple[str, ...]]]] = {
    "nothing differs": (measured(), measured()),
    "faster": (measured(), measured(factor=0.5)),
    "slower by less than the limit": (measured(), measured(factor=1.05)),
    "slower by more than the limit": (measured(), measured(factor=1.2)),
    "slower at all, and the limit is 0%": (measured(), measured(factor=1.09), ("--fail-if-slower", "0%")),
    "slower, and the limit is absurdly high": (measured(), measured(factor=9), ("--fail-if-slower", "999999999%")),
    "too noisy to tell": (measured(), measured(samples=WILD)),
    "too noisy to tell, and faster in any case": (
        measured("pytorch", samples=WILD),
        measured("pytorch", samples=WILD, factor=0.1),
    ),
    "fewer than three rounds of one operation": (measured(), without(measured(), "t5x", "load", 2)),
    "fewer than three rounds of everything": (measured(), measured(rounds=2)),
    "a method is missing in B": (measured(), measured("pytorch")),
    "a method is new in B": (measured("pytorch"), measured()),
    "no method in common": (measured("pytorch"), measured("t5x")),
    "a load in B came back wrong": (measured(), broken(measured(), "pytorch", "load", WRONG, 2)),
    "every load in B came back wrong": (measured(), broken(measured(), "pytorch", "load", WRONG)),
    "a save in B failed": (measured(), broken(measured(), "t5x", "save", FULL, 3)),
    "everything failed in B": (measured(), all_broken(measured())),
    "what only B measured failed": (measured("pytorch"), broken(measured(), "t5x", "save", FULL, 3)),
    "a load in A came back wrong": (broken(measured(), "pytorch", "load", WRONG, 2), measured()),
    "loads in A came back wrong, and two are left": (broken(measured(), "pytorch", "load", WRONG, 1, 2, 3), measured()),
    "a method failed in A throughout": (
        broken(broken(measured(), "t5x", "save", FULL), "t5x", "load", FULL),
        measured(),
    ),
    "everything failed in A": (all_broken(measured()), measured()),
    "A was refused": (refused(), measured()),
    "B was refused": (measured(), refused()),
    "A measured the limit alone": (limit_alone(), measured()),
    "B measured the limit alone": (measured(), limit_alone()),
    "B was cancelled after three rounds": (measured(), msgspec.structs.replace(measured(rounds=3), status="cancelled")),
    "B was cancelled before a method's turn": (measured(), without(measured(), "t5x", "load", 0)),
    "B is still running": (measured(), msgspec.structs.replace(measured(), status="running")),
    "the same run twice": (measured(), measured()),
    "another machine": (measured(), there(hostname="there")),
    "another processor": (measured(), there(cpu="Xeon")),
    "other cores": (measured(), there(cores=8)),
    "another model": (measured(), of_model(name="other")),
    "other tensors": (measured(), of_model(tensors=MODEL.tensors * 2)),
    "another dtype": (measured(), of_model(tensors=BFLOAT16)),
    "with the optimizer": (measured(), measured(with_optimizer=True)),
    "another device": (measured(), measured(device="cuda")),
    "another codec": (measured(), measured(codec=Codec("zstd", 3))),
    "another chunk size": (measured(), measured(chunk_bytes=2**20)),
    "another concurrency": (measured(), measured(concurrency=16)),
    "another storage folder": (measured(), there(storage="/other")),
    "another file system": (measured(), there(filesystem=FileSystem("tmpfs", "/", "/dev/x"))),
    "another disk": (measured(), there(filesystem=FileSystem("ext4", "/", "/dev/y"))),
    "buffered against durable": (measured(), measured(durability="buffered")),
    "warm against cold": (measured(), measured(cache="warm")),
    "another machine and codec": (
        measured(),
        msgspec.structs.replace(
            measured(codec=Codec("zstd", 3)), environment=msgspec.structs.replace(HERE, hostname="there")
        ),
    ),
    "another machine, and across": (measured(), there(hostname="there"), ("--fail-if-slower", "10%", "--across")),
    "other tensors and slower, and across": (
        measured(),
        of_model(1.2, tensors=MODEL.tensors * 2),
        ("--fail-if-slower", "10%", "--across"),
    ),
    "buffered against durable, and across": (
        measured(),
        measured(durability="buffered"),
        ("--fail-if-slower", "10%", "--across"),
    ),
    "an older run that tells less of its machine": (
        msgspec.structs.replace(measured(), environment=Environment(), model=None),
        measured(),
    ),
    "the limit is no number": (measured(), measured(), ("--fail-if-slower", "nan%")),
    "the limit is negative": (measured(), measured(), ("--fail-if-slower", "-5%")),
    "the limit has no percent sign": (measured(), measured(), ("--fail-if-slower", "10")),
    "a report of a gate without a gate": (measured(), measured(), ("--format", "junit")),
    "another machine without a gate": (measured(), there(hostname="there"), ()),
}


def test_every_case_of_the_page_has_a_test_and_every_test_a_row() -> None:
    assert list(ROWS) == list(CASES)


@pytest.mark.parametrize("case", ROWS)
def test_the_gate(case: str, tmp_path: Path) -> None:
    before, after, *rest = CASES[case]
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    for path, run, run_id in zip(paths, (before, after), ("run-a", "run-b"), strict=True):
        write_export(msgspec.structs.replace(run, run_id="run-a" if case == "the same run twice" else run_id), path)
    options = rest[0] if rest else ("--fail-if-slower", "10%")
    told = ckpt_tui("compare", *paths, *options)
    assert told.returncode == int(ROWS[case]["status"]), told
    if ROWS[case]["sentence"]:
        assert f"ckpt-tui: {ROWS[case]['sentence']}" in told.stderr.splitlines()
    else:
        assert told.stderr == ""
