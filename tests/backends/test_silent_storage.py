"""A mount whose server answers no more: nothing fails, everything that asks it waits."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import backends.storage.folder
from backends.process.launcher import Launcher
from backends.storage import scratch
from backends.storage.folder import check_storage
from state.errors import StorageError
from state.plan import Plan
from state.run.events import Event, RunFinished, RunRefused, ScratchLeft, TrialStarted
from tests.backends.runs import made_by_a_dead_process, measure, wait_until


class Mount:
    """A folder that a program shows, which can be told to be silent."""

    def __init__(self, source: Path, folder: Path) -> None:
        self.folder = folder
        self._server = subprocess.Popen(["bindfs", "-f", source, folder], stderr=subprocess.DEVNULL)
        if not wait_until(lambda: folder.is_mount() or self._server.poll() is not None) or self._server.poll():
            self.end()
            pytest.skip("nothing can be mounted with FUSE here")

    def be_silent(self) -> None:
        self._server.send_signal(signal.SIGSTOP)

    def end(self) -> None:
        self._server.kill()  # whoever waits for it gets an error then
        self._server.wait()
        subprocess.run(["umount", "-l", self.folder], capture_output=True, check=False)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    if shutil.which("bindfs") is None:
        pytest.skip("there is no bindfs here")
    for name in ("source", "mounted"):
        (tmp_path / name).mkdir()
    mount = Mount(tmp_path / "source", tmp_path / "mounted")
    yield mount
    mount.end()


def test_it_is_refused_in_time(mount: Mount, monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_storage(mount.folder) == mount.folder
    mount.be_silent()
    monkeypatch.setattr(backends.storage.folder, "ANSWER_S", 0.5)
    with pytest.raises(StorageError, match="does not answer"):
        check_storage(mount.folder)


def test_a_run_leaves_nothing_there(mount: Mount, small_model: Path) -> None:
    """Such a file system keeps a file that is deleted while somebody has it open, under another name."""
    plan = Plan(model=str(small_model), storage=str(mount.folder), methods=("pytorch", "safetensors"), repeats=1)
    _, events = measure(plan)
    assert events[-1] == RunFinished(cancelled=False)
    assert not any(isinstance(event, ScratchLeft) for event in events)
    assert list(mount.folder.iterdir()) == []


def test_what_a_dead_process_left_there_is_removed(mount: Mount) -> None:
    folder = made_by_a_dead_process(mount.folder)
    (folder / "file").touch()
    scratch.remove(folder)
    assert list(mount.folder.iterdir()) == []


def test_leftovers_elsewhere_are_found_although_one_place_is_silent(mount: Mount, storage: Path) -> None:
    there = [made_by_a_dead_process(mount.folder) for _ in range(3)]
    here = made_by_a_dead_process(storage)
    mount.be_silent()
    found = {orphan.folder: orphan.doubt for orphan in scratch.orphans(storage)}
    assert found.pop(here) == ""
    assert found.keys() == set(there)
    assert set(found.values()) == {"cannot be looked at (its storage does not answer)"}


def test_ctrl_c_twice_ends_a_run_whose_storage_is_silent(mount: Mount, small_model: Path) -> None:
    command = [sys.executable, "-m", "tui", "run", "--model", str(small_model), "--storage", str(mount.folder)]
    run = subprocess.Popen(
        [*command, "--methods", "pytorch", "--repeats", "99"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert run.stderr is not None
    told = iter(run.stderr.readline, "")
    assert next(line for line in told if line.startswith("[2/"))
    mount.be_silent()
    run.send_signal(signal.SIGINT)
    assert next(line for line in told if line.startswith("stopping: "))
    run.send_signal(signal.SIGINT)
    _, rest = run.communicate(timeout=30)
    assert run.returncode == 128 + signal.SIGINT
    assert re.search(r"ckpt-tui: the scratch folder of \S+ in \S+ is not deleted yet: ckpt-tui doctor finds it\n", rest)


def test_a_run_whose_storage_is_silent_in_the_middle_ends_with_what_was_measured(
    mount: Mount, small_model: Path
) -> None:
    plan = Plan(
        model=str(small_model),
        storage=str(mount.folder),
        methods=("pytorch", "safetensors", "ts+chunks"),
        repeats=1,
        stall_timeout_s=6.0,
    )

    def be_silent(launcher: Launcher, event: Event) -> None:
        if isinstance(event, TrialStarted) and event.trial == 4:
            mount.be_silent()

    run, events = measure(plan, act=be_silent)
    assert isinstance(events[-1], RunRefused)
    assert run.refusal is not None
    assert run.refusal.what == "the storage has not answered for 3 s"
    assert run.refusal.ours
    assert sum(record.status == "done" for record in run.records) == 4
