"""Real workers, real trials, real deaths."""

import asyncio
import contextlib
import itertools
import os
import random
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import psutil
import pytest
import torch

from backends.methods import registry
from backends.process.launcher import Launcher
from backends.process.machine_info import new_request
from backends.storage import scratch
from state.analysis.results import method_results
from state.plan import LIMIT, SIX, Plan
from state.run.events import (
    CheckpointDeleted,
    Event,
    MachineMeasured,
    ModelBuilding,
    ModelReady,
    PhaseEntered,
    RoundAdded,
    RunFinished,
    RunInterrupted,
    RunRefused,
    RunRequested,
    Sampled,
    TrialFailed,
    TrialFinished,
    TrialStarted,
    WorkerReady,
)
from state.run.records import FINAL, LoadResult, SaveResult
from state.schedule import schedule
from tests.backends.runs import family, gone, measure, scratch_folders, statuses, wait_until

DONE = ("done", "done")


@pytest.fixture
def plan(small_model: Path, storage: Path) -> Plan:
    return Plan(model=str(small_model), storage=str(storage), repeats=1, methods=("pytorch", "ts+chunks"))


def with_methods(plan: Plan, *methods: str, stall_timeout_s: float = 120.0) -> Plan:
    return Plan(
        model=plan.model, storage=plan.storage, repeats=1, methods=methods, stall_timeout_s=stall_timeout_s, seed=1
    )


def assert_clean(plan: Plan) -> None:
    """No process and no scratch folder is left."""
    assert scratch_folders(Path(plan.storage)) == []
    assert wait_until(lambda: gone(family(os.getpid())[1:]))


def test_six_methods_are_measured_and_verified(plan: Plan) -> None:
    run, events = measure(with_methods(plan, *SIX))
    assert statuses(run) == dict.fromkeys(SIX, DONE)
    assert isinstance(events[0], RunRequested)
    assert events[-1] == RunFinished(cancelled=False)
    results = method_results(run)
    assert all(result.verified and result.load and result.load.cache == "cold" for result in results)
    assert all(result.delete_s is not None for result in results)
    assert run.model is not None
    for result in results:
        if result.codec is None:
            assert result.stored_bytes is not None
            assert result.stored_bytes >= run.model.logical_bytes
    assert_clean(plan)


def test_rounds_are_added_until_the_intervals_are_narrow_or_the_time_is_spent(plan: Plan) -> None:
    plan = msgspec.structs.replace(plan, methods=("pytorch",), precision=1.0)
    run, events = measure(plan)
    for kind in (ModelReady, MachineMeasured):
        assert sum(isinstance(event, kind) for event in events) == 1, "rounds that are added find everything in place"
    assert events.count(RoundAdded()) == run.plan.repeats - 1 >= 4  # fewer than five rounds may agree by chance
    assert {record.status for record in run.records} == {"done"}
    assert [event for event in events if isinstance(event, RunFinished)] == [RunFinished(cancelled=False)]
    once, events = measure(msgspec.structs.replace(plan, precision=0.001, budget_s=0.01))
    assert once.plan.repeats == 1
    assert RoundAdded() not in events
    assert_clean(plan)


def test_a_method_that_failed_is_not_tried_again_in_added_rounds(plan: Plan, faulty_methods: None) -> None:
    run, _ = measure(msgspec.structs.replace(plan, methods=("raises", "pytorch"), precision=1.0))
    assert run.plan.repeats >= 5
    assert [record.status for record in run.of("raises", "save")][1:] == ["cancelled"] * (run.plan.repeats - 1)
    assert run.measured("pytorch")


def test_an_added_round_can_be_stopped(plan: Plan) -> None:
    def stop(launcher: Launcher, event: Event) -> None:
        if event == RoundAdded():
            launcher.cancel()

    run, _ = measure(msgspec.structs.replace(plan, precision=0.01), act=stop)
    assert run.status == "cancelled"
    assert run.measured("pytorch")
    assert {record.status for record in run.records if record.trial.round == 2} == {"cancelled"}
    assert_clean(plan)


def test_rounds_follow_the_schedule_and_the_phases_their_order(plan: Plan) -> None:
    plan = Plan(model=plan.model, storage=plan.storage, repeats=2, methods=("pytorch", "t5x"))
    run, events = measure(plan)
    started = [event.trial for event in events if isinstance(event, TrialStarted)]
    assert started == list(range(12))  # two methods and the limit
    assert {record.status for record in run.records} == {"done"}
    for number, record in enumerate(run.records):
        phases = [event.phase for event in events if isinstance(event, PhaseEntered) and event.trial == number]
        clock = ["measure", "sync"] if record.trial.operation == "save" else ["evict", "measure"]
        assert phases == ["warm-up", "settle", *clock, "verify"]
    assert sum(isinstance(event, CheckpointDeleted) for event in events) == 6


def test_durable_saves_wait_for_the_device_and_buffered_ones_do_not(plan: Plan) -> None:
    durable, _ = measure(plan)
    buffered, _ = measure(
        Plan(model=plan.model, storage=plan.storage, repeats=1, methods=plan.methods, durability="buffered")
    )
    for run, is_durable in ((durable, True), (buffered, False)):
        for method in plan.methods:
            result = run.of(method, "save")[0].result
            assert isinstance(result, SaveResult)
            assert (result.durable_s is not None) is is_durable


def test_warm_loads_are_badged_warm(plan: Plan) -> None:
    run, _ = measure(Plan(model=plan.model, storage=plan.storage, repeats=1, methods=plan.methods, cache="warm"))
    results = [run.of(method, "load")[0].result for method in plan.methods]
    assert [isinstance(result, LoadResult) and result.cache for result in results] == ["warm", "warm"]


def test_a_second_run_on_the_same_model_reuses_its_tensors(plan: Plan) -> None:
    run, events = measure(plan, plan)
    ready = [event for event in events if isinstance(event, ModelReady)]
    assert len(ready) == 2
    assert ready[1].build_s == 0
    assert ready[0].model == ready[1].model
    assert statuses(run) == dict.fromkeys(plan.methods, DONE)


def test_a_model_that_changed_on_the_disk_is_read_again(plan: Plan, tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    path = tmp_path / "changing.safetensors"
    safetensors.torch.save_file({"w": torch.zeros(1000)}, path)
    changing = Plan(model=str(path), storage=plan.storage, repeats=1, methods=("pytorch",))

    def change(launcher: Launcher, event: Event) -> None:
        if isinstance(event, RunFinished):
            safetensors.torch.save_file({"w": torch.ones(2000)}, path)

    run, _ = measure(changing, changing, act=change)
    assert run.model is not None
    assert run.model.logical_bytes == 8000


def test_a_model_folder_with_a_link_to_nowhere_is_measured(plan: Plan, small_model: Path, tmp_path: Path) -> None:
    (folder := tmp_path / "model").mkdir()
    shutil.copy(small_model, folder / "model.safetensors")
    (folder / "README.md").symlink_to("nowhere")
    run, _ = measure(Plan(model=str(folder), storage=plan.storage, repeats=1, methods=("pytorch",)))
    assert statuses(run) == {"pytorch": DONE}


def test_the_worker_has_one_thread_before_and_after_a_run(plan: Plan) -> None:
    counts: list[int] = []

    def count(launcher: Launcher, event: Event) -> None:
        if isinstance(event, WorkerReady | ModelReady | TrialStarted) and launcher.pid is not None:
            counts.append(psutil.Process(launcher.pid).num_threads())

    measure(with_methods(plan, "pytorch", "t5x"), act=count)
    assert len(counts) >= 6
    assert set(counts) == {1}


def test_the_worker_has_one_thread_after_it_used_idle_time_to_import_more() -> None:
    async def go() -> tuple[float, int]:
        launcher = Launcher()
        try:
            await launcher.start()
            await launcher.next_event()
            assert launcher.pid is not None
            worker = psutil.Process(launcher.pid)
            ready_s, last_s, now_s = worker.cpu_times().user, -1.0, 0.0
            while now_s != last_s:
                await asyncio.sleep(0.5)
                last_s, now_s = now_s, worker.cpu_times().user
            return now_s - ready_s, worker.num_threads()
        finally:
            await launcher.close()

    imported_s, threads = asyncio.run(go())
    assert imported_s > 0.2
    assert threads == 1


def test_trials_are_sampled_from_outside(plan: Plan, faulty_methods: None) -> None:
    seen: list[Sampled] = []

    def watch(launcher: Launcher, event: Event) -> None:
        if isinstance(event, Sampled):
            seen.append(event)
            if len(seen) == 3:
                launcher.cancel()

    run, _ = measure(with_methods(plan, "is-slow"), act=watch)
    assert run.status == "cancelled"
    assert all(sample.rss_bytes > 10**7 and sample.elapsed_s > 0 for sample in seen)
    assert [sample.elapsed_s for sample in seen] == sorted(sample.elapsed_s for sample in seen)


@pytest.mark.parametrize(
    ("method", "what"),
    [
        ("segfaults", "crashed (SIGSEGV)"),
        ("is-killed", "killed (SIGKILL)"),
        ("exits", "exit status 3"),
        ("raises", "RuntimeError: the flux capacitor is empty"),
        ("babbles", "sent what is no message"),
        ("starves", "out of memory"),
        ("forgets-a-bit", "came back different: tensor 'embed.weight' has other bits, first at byte 0"),
        ("cannot-be-imported", "cannot be imported from ckpt-faulty"),
    ],
)
def test_a_trial_that_goes_wrong_is_a_row_with_a_reason_and_the_others_go_on(
    plan: Plan, faulty_methods: None, method: str, what: str
) -> None:
    run, _ = measure(with_methods(plan, "pytorch", method, "ts+chunks"))
    assert run.status == "finished"
    states = statuses(run)
    assert states.pop(method)[1] == "failed"
    assert states == {"pytorch": DONE, "ts+chunks": DONE}
    failure = next(record.failure for record in run.records if record.failure is not None)
    result = next(result for result in method_results(run) if result.method == method)
    assert what in failure.what
    assert failure.do
    assert result.status == "failed"
    assert not result.verified
    assert_clean(plan)


def test_a_hang_is_noticed_and_killed(plan: Plan, faulty_methods: None) -> None:
    run, _ = measure(with_methods(plan, "hangs", "pytorch", stall_timeout_s=3))
    assert statuses(run) == {"hangs": ("failed", "failed"), "pytorch": DONE}
    failure = run.of("hangs", "save")[0].failure
    assert failure is not None
    assert failure.what == "hung: no byte moved and no processor time used for 3 s"
    assert_clean(plan)


def test_a_trial_that_takes_longer_than_allowed_is_killed(plan: Plan, faulty_methods: None) -> None:
    plan = Plan(model=plan.model, storage=plan.storage, repeats=1, methods=("is-slow", "pytorch"), timeout_s=3)
    run, _ = measure(plan)
    assert statuses(run) == {"is-slow": ("failed", "failed"), "pytorch": DONE}
    failure = run.of("is-slow", "save")[0].failure
    assert failure is not None
    assert (failure.what, failure.do) == ("not finished after 3 s", "allow more with --timeout")
    assert_clean(plan)


def test_a_method_that_deletes_the_marker_costs_no_result_and_leaves_nothing(plan: Plan, faulty_methods: None) -> None:
    run, events = measure(with_methods(plan, "loses-marker", "pytorch"))
    assert statuses(run) == {"loses-marker": DONE, "pytorch": DONE}
    assert events[-1] == RunFinished(cancelled=False)
    assert_clean(plan)


def test_what_a_trial_started_dies_with_it(plan: Plan, faulty_methods: None) -> None:
    run, _ = measure(with_methods(plan, "leaves-child", "pytorch"))
    failure = run.of("leaves-child", "save")[0].failure
    assert failure is not None
    pid = int(failure.what.rpartition(" ")[2])
    assert wait_until(lambda: not psutil.pid_exists(pid) or gone([psutil.Process(pid)]))
    assert statuses(run)["pytorch"] == DONE


def test_a_worker_that_dies_is_replaced_and_only_its_trial_is_lost(plan: Plan, faulty_methods: None) -> None:
    run, events = measure(with_methods(plan, "pytorch", "kills-worker", "ts+chunks"))
    assert statuses(run) == {"pytorch": DONE, "kills-worker": ("failed", "failed"), "ts+chunks": DONE}
    interrupted = [event for event in events if isinstance(event, RunInterrupted)]
    assert len(interrupted) == 1
    assert "SIGKILL" in interrupted[0].failure.what
    assert_clean(plan)


def test_a_load_without_its_checkpoint_says_so_after_the_worker_died_between_them(
    plan: Plan, faulty_methods: None
) -> None:
    run, _ = measure(with_methods(plan, "kills-worker"))
    failure = run.of("kills-worker", "load")[0].failure
    assert failure is not None
    assert failure.what == "there is no checkpoint to load"


@pytest.mark.parametrize("victim", ["trial", "worker"])
@pytest.mark.parametrize("seed", range(4))
def test_kills_at_random_moments_lose_one_trial_at_most(plan: Plan, victim: str, seed: int) -> None:
    rng = random.Random(f"{victim}/{seed}")
    methods = ("tensorstore", "pytorch", "t5x")
    countdown = rng.randrange(1, 25)
    trial_pid: int | None = None
    killed: int | None = None

    def kill(launcher: Launcher, event: Event) -> None:
        nonlocal countdown, trial_pid, killed
        if isinstance(event, TrialStarted):
            trial_pid = event.pid
        if not isinstance(event, PhaseEntered | TrialStarted | Sampled):
            return
        countdown -= 1
        if countdown <= 0 and killed is None:  # a trial may be over by the time that its event is here
            pid = trial_pid if victim == "trial" else launcher.pid
            if pid is not None and psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)
                killed = pid

    run, _ = measure(with_methods(plan, *methods), act=kill)
    assert killed is not None
    assert run.status == "finished"
    assert {record.status for record in run.records} <= FINAL
    failed_methods = {record.trial.method for record in run.records if record.status != "done"}
    assert len(failed_methods) <= 1
    assert all(r.failure and r.failure.what for r in run.records if r.status == "failed")
    assert_clean(plan)


def test_a_worker_killed_while_a_child_builds_the_model_leaves_no_child(plan: Plan) -> None:
    children: list[psutil.Process] = []

    def kill(launcher: Launcher, event: Event) -> None:
        if isinstance(event, ModelBuilding) and not children and launcher.pid is not None:
            worker = psutil.Process(launcher.pid)
            assert wait_until(lambda: bool(worker.children()))
            children.extend(worker.children())
            os.kill(worker.pid, signal.SIGKILL)

    run, _ = measure(
        Plan(model="demo", size_bytes=100_000_000, storage=plan.storage, repeats=1, methods=("pytorch",)), act=kill
    )
    assert children
    assert wait_until(lambda: gone(children))
    assert run.status == "finished"
    assert statuses(run) == {"pytorch": DONE}
    assert_clean(plan)


def test_a_cancel_that_comes_after_the_run_does_not_hurt_the_next(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backends.process.launcher._CANCEL_S", 0.3)

    async def go() -> list[Event]:
        launcher = Launcher()
        try:
            assert [event async for event in launcher.run(new_request(plan))]
            launcher.cancel()
            return [event async for event in launcher.run(new_request(with_methods(plan, *SIX)))]
        finally:
            await launcher.close()

    seen = asyncio.run(go())
    assert seen[-1] == RunFinished(cancelled=False)
    assert not any(isinstance(event, RunInterrupted) for event in seen)


def test_a_worker_that_never_starts_is_given_up(plan: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run, events = measure(plan)
    assert run.status == "refused"
    assert isinstance(events[-1], RunRefused)
    assert "keeps dying" in events[-1].failure.what
    assert "broken on purpose" in events[-1].failure.log
    assert_clean(plan)


@pytest.mark.parametrize("moment", [WorkerReady, ModelReady, TrialStarted, Sampled, RunRequested])
def test_a_cancel_at_any_moment_ends_the_run_at_once_and_leaves_nothing(
    plan: Plan, faulty_methods: None, moment: type[Event]
) -> None:
    def cancel(launcher: Launcher, event: Event) -> None:
        if isinstance(event, moment):
            launcher.cancel()

    plan = with_methods(plan, "is-slow", "pytorch")
    run, events = measure(plan, act=cancel)
    assert events[-1] == RunFinished(cancelled=True)
    # Whatever is short may be over before its first sample.
    assert {r.status for r in run.records if r.trial.method == "is-slow"} == {"cancelled"}
    assert_clean(plan)


def test_a_cancel_while_the_worker_is_being_started_is_heard(plan: Plan) -> None:
    def cancel(launcher: Launcher, event: Event) -> None:
        if isinstance(event, RunRequested):
            asyncio.get_running_loop().call_soon(launcher.cancel)

    run, events = measure(plan, act=cancel)
    assert events[1:] == [RunFinished(cancelled=True)]
    assert {record.status for record in run.records} == {"cancelled"}
    assert_clean(plan)


def test_a_worker_that_died_between_two_runs_is_replaced_and_nothing_is_measured_twice(plan: Plan) -> None:
    def kill(launcher: Launcher, event: Event) -> None:
        if isinstance(event, RunFinished) and launcher.pid is not None:
            psutil.Process(launcher.pid).kill()

    run, events = measure(plan, plan, act=kill)
    assert statuses(run) == dict.fromkeys(plan.methods, DONE)
    assert [event.trial for event in events if isinstance(event, TrialStarted)] == [*range(6)] * 2


def test_after_a_cancel_the_same_worker_takes_the_next_run(plan: Plan, faulty_methods: None) -> None:
    pids: list[int | None] = []

    def cancel(launcher: Launcher, event: Event) -> None:
        if isinstance(event, TrialStarted):
            pids.append(launcher.pid)
            if len(pids) == 1:
                launcher.cancel()

    run, _ = measure(with_methods(plan, "is-slow"), with_methods(plan, "pytorch"), act=cancel)
    assert statuses(run) == {"pytorch": DONE}
    assert len(set(pids)) == 1


@pytest.mark.parametrize("delay_s", [0.1, 1.0, 2.5, 4.0])
def test_when_the_parent_is_killed_everything_else_goes_too(plan: Plan, faulty_methods: None, delay_s: float) -> None:
    options = ("--methods", "pytorch,is-slow", "--seed", "3")
    parent = subprocess.Popen(
        [*(sys.executable, "-m", "tui", "run", "--model", plan.model, "--storage", plan.storage), *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            parent.wait(delay_s)
        below = family(parent.pid)[1:]
    finally:
        parent.kill()
        parent.wait()
    assert wait_until(lambda: gone(below))
    assert wait_until(lambda: scratch_folders(Path(plan.storage)) == [])


def test_what_is_left_when_parent_and_worker_die_together_is_found_as_an_orphan(
    plan: Plan, faulty_methods: None
) -> None:
    def kill_all(launcher: Launcher, event: Event) -> None:
        if isinstance(event, TrialStarted):
            for process in reversed(family(os.getpid())[1:]):
                process.kill()
            os._exit(0)

    pid = os.fork()
    if pid == 0:
        measure(with_methods(plan, "is-slow"), act=kill_all)
        os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
    (left,) = scratch_folders(Path(plan.storage))
    assert wait_until(lambda: len(scratch.orphans()) == 1)
    (orphan,) = scratch.orphans()
    assert orphan.folder == left
    scratch.remove(left)
    assert scratch.orphans(Path(plan.storage)) == ()


class Disk:
    """A file system of 48 MB, mounted from a file."""

    def __init__(self, place: Path) -> None:
        self.folder = place / "disk"
        self._images = (place / f"disk-{number}.img" for number in itertools.count())
        self.folder.mkdir()

    def mount(self) -> None:
        """Mount it, new and empty; who still has the last one open goes on with its image."""
        self.unmount()
        image = next(self._images)
        with image.open("wb") as file:
            file.truncate(48 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-F", image], check=True)
        subprocess.run(["mount", "-o", "loop,errors=remount-ro", image, self.folder], check=True)
        image.unlink()

    def unmount(self) -> None:
        """Take it away, whoever uses it."""
        if self.folder.is_mount():
            subprocess.run(["umount", "-l", self.folder], check=True)

    @property
    def false_error(self) -> Path:
        """Where the kernel is told to believe that this file system is damaged."""
        source = subprocess.run(["findmnt", "-no", "SOURCE", self.folder], capture_output=True, text=True, check=True)
        return Path("/sys/fs/ext4", Path(source.stdout.strip()).name, "trigger_fs_error")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("only root with mkfs.ext4 can mount a file system of a limited size")
    disk = Disk(tmp_path)
    try:
        disk.mount()
    except subprocess.CalledProcessError as error:
        pytest.skip(f"mounting is not permitted here: {error}")
    yield disk
    disk.unmount()


@pytest.fixture
def small_disk(disk: Disk) -> Path:
    return disk.folder


def ours() -> tuple[str, ...]:
    """Every method that can run here."""
    return tuple(name for name, entry in registry.entries().items() if entry.unavailable is None)


def test_a_disk_that_fills_up_during_a_save_is_a_row_with_a_reason(
    plan: Plan, faulty_methods: None, small_disk: Path
) -> None:
    plan = Plan(model=plan.model, storage=str(small_disk), repeats=1, methods=("pytorch", "fills-disk", "ts+chunks"))
    run, _ = measure(plan)
    assert statuses(run) == {"pytorch": DONE, "fills-disk": ("failed", "failed"), "ts+chunks": DONE}
    failure = run.of("fills-disk", "save")[0].failure
    assert failure is not None
    assert failure.what == "the storage is full"
    assert_clean(plan)


def fill(disk: Path, hog: Path, leave_bytes: int) -> None:
    """Take what is free on a disk, but for a rest, while somebody else is writing there, too."""
    with hog.open("wb") as file:
        while (size_bytes := shutil.disk_usage(disk).free - leave_bytes) > 0:
            with contextlib.suppress(OSError):  # the other one was quicker
                os.posix_fallocate(file.fileno(), 0, size_bytes)
                return


def test_a_disk_that_gets_full_in_the_middle_of_a_save_is_told_as_that_by_every_method(
    plan: Plan, small_disk: Path
) -> None:
    methods = ours()
    plan = Plan(model=plan.model, storage=str(small_disk), repeats=1, methods=methods)
    trials, hog = schedule(plan), small_disk / "hog"

    def crowd(launcher: Launcher, event: Event) -> None:
        if isinstance(event, TrialStarted) and trials[event.trial].operation == "save":
            fill(small_disk, hog, leave_bytes=300 << 10)
        elif isinstance(event, TrialFailed | TrialFinished):
            hog.unlink(missing_ok=True)

    run, _ = measure(plan, act=crowd)
    saves = {r.trial.method: r.failure.what for r in run.records if r.failure and r.trial.operation == "save"}
    assert saves.keys() == {*methods, LIMIT}
    assert set(saves.values()) == {"the storage is full"}, saves
    assert_clean(plan)


@pytest.mark.parametrize(
    ("is_gone", "what"),
    [(True, "the storage is not there any more"), (False, "the storage has become read-only")],
    ids=["vanishes", "becomes read-only"],
)
def test_a_storage_that_goes_away_in_the_middle_of_any_save_ends_the_run_with_its_sentence(
    is_gone: bool, what: str, plan: Plan, disk: Disk
) -> None:
    if not is_gone and not disk.false_error.exists():
        pytest.skip("this kernel has no way to report a false error of ext4")
    plans = [Plan(model=plan.model, storage=str(disk.folder), repeats=1, methods=(name,), seed=2) for name in ours()]
    trials = schedule(plans[0])
    assert trials[0].method == LIMIT, "choose another seed: something has to be measured before"

    def lose(launcher: Launcher, event: Event) -> None:
        if isinstance(event, RunRequested):
            disk.mount()
        elif isinstance(event, PhaseEntered) and event.phase == "measure":
            trial = trials[event.trial]
            if trial.method != LIMIT and trial.operation == "save":
                disk.unmount() if is_gone else disk.false_error.write_text("lost")

    run, events = measure(*plans, act=lose)
    assert [event.failure.what for event in events if isinstance(event, RunRefused)] == [what] * len(plans)
    failures = {event.failure.what for event in events if isinstance(event, TrialFailed)}
    assert failures <= {what, "the storage fails (Input/output error)", "there is no checkpoint to load"}
    assert sum(isinstance(event, TrialFinished) for event in events) >= 2 * len(plans), "the limit's results are kept"
    assert run.status == "refused"
    assert wait_until(lambda: gone(family(os.getpid())[1:]))


def test_a_disk_that_is_too_small_is_refused_with_figures(plan: Plan, small_disk: Path) -> None:
    free_bytes = shutil.disk_usage(small_disk).free
    with (small_disk / "hog").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free_bytes - (1 << 20))
    run, _ = measure(Plan(model=plan.model, storage=str(small_disk), repeats=1, methods=("pytorch",)))
    assert run.status == "refused"
    assert run.refusal is not None
    assert re.search(r"has [\d.]+ [kM]?B free and the run needs up to 1\.\d+ MB", run.refusal.what)


def test_the_next_event_of_an_idle_worker_is_that_it_has_imported_its_libraries() -> None:
    async def go() -> object:
        launcher = Launcher()
        try:
            await launcher.start()
            return await launcher.next_event()
        finally:
            await launcher.close()

    assert isinstance(asyncio.run(go()), WorkerReady)


def test_an_empty_log_is_removed_and_a_failure_s_log_is_kept(plan: Plan, faulty_methods: None) -> None:
    logs: list[Path] = []

    def note(launcher: Launcher, event: Event) -> None:
        logs.append(launcher.log)

    measure(plan, act=note)
    assert not logs[-1].exists()
    run, _ = measure(with_methods(plan, "segfaults"), act=note)
    assert "Segmentation fault" in logs[-1].read_text()
    failure = run.of("segfaults", "save")[0].failure
    assert failure is not None
    assert "Segmentation fault" in failure.log


def test_logs_of_workers_long_dead_are_forgotten(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    log = Launcher().log
    dead = 2**22 + 1  # more than the kernel gives
    names = [f"worker-{dead}.log", f"worker-{dead + 1}.log", "worker-1.log", "notes.log", "worker-x.log"]
    for name in names:
        log.with_name(name).write_text("why it died")
    for name in ("worker-1.log", "notes.log", f"worker-{dead}.log"):
        os.utime(log.with_name(name), (0, 0))
    Launcher()
    assert sorted(path.name for path in log.parent.iterdir()) == sorted([log.name, *names[1:]])


def test_where_no_method_can_run_each_says_why_and_neither_model_nor_limit_is_made(
    plan: Plan, faulty_methods: None
) -> None:
    run, seen = measure(msgspec.structs.replace(plan, methods=("cannot-be-imported", "no-such-method")))
    assert statuses(run) == dict.fromkeys(run.plan.methods, ("failed", "failed"))
    assert {record.status for record in run.of(LIMIT, "save")} == {"cancelled"}
    assert not any(isinstance(event, ModelReady | TrialStarted) for event in seen)


def test_a_method_that_is_refused_has_no_part_in_the_memory_plan(plan: Plan, tmp_path: Path) -> None:
    torch.save({"w": torch.ones(300, dtype=torch.complex32)}, tmp_path / "w.pt")
    methods = ("pytorch", "dcp-safetensors")  # the second would take two more models, and holds no such dtype
    run, _ = measure(msgspec.structs.replace(plan, model=str(tmp_path / "w.pt"), methods=methods))
    assert statuses(run) == {"pytorch": DONE, "dcp-safetensors": ("failed", "failed")}
    assert run.memory is not None
    assert run.memory.copies == 2
