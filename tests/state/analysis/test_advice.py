import msgspec
import pytest

from state.analysis.advice import advice, advise
from state.model import Model, TensorInfo
from state.needs import MemoryPlan
from state.plan import LIMIT, OPERATIONS, Operation, Plan
from state.run.environment import Environment, FileSystem
from state.run.records import Result
from tests.state.factories import load, run_of, save

GOOD = Environment(storage="/disk", filesystem=FileSystem("ext4", options=("rw",)), can_drop_caches=True)
LARGE = Model("m", "m", (TensorInfo("w", "int8", (10**8,), 10**8),))


def test_a_plain_disk_and_a_large_model_need_no_advice() -> None:
    assert advice(GOOD, Plan(), LARGE) == ()


@pytest.mark.parametrize(
    ("filesystem", "words"),
    [
        (FileSystem("tmpfs"), "measures memory"),
        (FileSystem("overlay"), "layered file system"),
        (FileSystem("nfs4"), "network file system"),
        (FileSystem("zfs"), "may compress"),
        (FileSystem("btrfs", options=("rw", "compress=zstd:1")), "may compress"),
        (FileSystem("btrfs", options=("compress-force=lzo",)), "may compress"),
    ],
)
def test_a_file_system_that_distorts_is_named(filesystem: FileSystem, words: str) -> None:
    (sentence,) = advice(msgspec.structs.replace(GOOD, filesystem=filesystem), Plan(), LARGE)
    assert words in sentence
    assert filesystem.type in sentence


def test_a_small_model_is_named_and_one_of_the_size_that_it_asks_for_is_not() -> None:
    def of(size_bytes: int) -> Model:
        return Model("m", "m", (TensorInfo("w", "int8", (size_bytes,), size_bytes),))

    (sentence,) = advice(GOOD, Plan(), of(29 * 10**6))
    assert "at least 30.0 MB" in sentence
    assert advice(GOOD, Plan(), of(30 * 10**6)) == ()


def test_everything_that_weakens_a_number_is_said() -> None:
    preloaded = msgspec.structs.replace(GOOD, variables={"LD_PRELOAD": "/usr/lib/libeatmydata.so"})
    assert "turns syncing off" in advice(preloaded, Plan(), LARGE)[0]
    assert "buffered" in advice(GOOD, Plan(durability="buffered"), LARGE)[0]
    assert "come from memory" in advice(GOOD, Plan(cache="warm"), LARGE)[0]
    assert "directory entries" in advice(msgspec.structs.replace(GOOD, can_drop_caches=False), Plan(), LARGE)[0]
    small = Model("m", "m", (TensorInfo("w", "int8", (10,), 10),))
    assert "fixed costs dominate" in advice(GOOD, Plan(), small)[0]


def test_what_the_trials_showed_is_said() -> None:
    assert advice(GOOD, Plan(), LARGE, [save(1.0), load(1.0)]) == ()
    busy: list[Result] = [save(1.0), msgspec.structs.replace(save(1.0), settled=False), load(1.0)]
    assert "not quiet before 1 of 3 trials" in advice(GOOD, Plan(), LARGE, busy)[0]
    undropped = msgspec.structs.replace(load(1.0), caches_dropped=False)
    assert "directory entries" in advice(GOOD, Plan(), LARGE, [undropped])[0]
    warm = msgspec.structs.replace(undropped, cache="warm")
    assert all("directory entries" not in sentence for sentence in advice(GOOD, Plan(cache="warm"), LARGE, [warm]))


def test_a_limit_that_a_method_leaves_far_behind_is_told() -> None:
    plan = Plan(methods=("pytorch",))
    times: dict[tuple[str, Operation], list[float]] = {("pytorch", op): [1.0] * 3 for op in OPERATIONS}
    noisy = run_of(plan, times | {(LIMIT, "save"): [4.0] * 3, (LIMIT, "load"): [1.4] * 3})
    (sentence,) = (sentence for sentence in noisy.advice if "plain file" in sentence)
    assert sentence.startswith("pytorch took 0.25 of the time that a plain file took to save")
    sound = run_of(plan, times | {(LIMIT, op): [0.9] * 3 for op in OPERATIONS})
    assert not any("plain file" in sentence for sentence in sound.advice)


def test_memory_that_was_not_at_hand_is_said_with_how_much() -> None:
    results: list[Result] = [
        msgspec.structs.replace(save(1.0), memory="at hand"),
        msgspec.structs.replace(load(1.0), memory="partly at hand", memory_missing_bytes=1_200_000_000),
    ]
    (sentence,) = advice(GOOD, Plan(), LARGE, results)
    assert sentence.startswith(
        "Not all memory that 1 of 2 trials filled was at hand when their clock started (up to 1.20 GB"
    )
    (sentence,) = advice(GOOD, Plan(memory="as-found"), LARGE)
    assert sentence.startswith("Memory is left as found")


@pytest.mark.parametrize(
    ("trial_bytes", "stage_s", "words"),
    [
        (199 * 10**6, 0.09, ""),
        (199 * 10**6, 0.11, "before the clock of 2 of 3 loads it took up to 0.110 s"),  # 0.5 s per GB: 0.1 s for all
        (199 * 10**6, None, ""),  # nothing was claimed
        (10**6, 0.04, ""),  # threads and noise
    ],
)
def test_memory_that_a_host_had_taken_back_is_told_by_the_time_of_its_return(
    trial_bytes: int, stage_s: float | None, words: str
) -> None:
    run = run_of(Plan(methods=("pytorch",)), {("pytorch", "save"): [1.0] * 3, ("pytorch", "load"): [1.0] * 3})
    run = msgspec.structs.replace(run, memory=MemoryPlan(10**6, trial_bytes, "loading with pytorch"))
    records = tuple(
        msgspec.structs.replace(
            record,
            result=msgspec.structs.replace(
                record.result,
                stages_s={} if stage_s is None else {"memory": stage_s if record.trial.round > 1 else 0.0001},
            ),
        )
        if record.result is not None
        else record
        for record in run.records
    )
    told = [s for s in advise(msgspec.structs.replace(run, records=records)).advice if "had taken free memory" in s]
    assert len(told) == bool(words)
    assert all(words in sentence for sentence in told)
