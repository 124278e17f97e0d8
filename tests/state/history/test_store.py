"""The history on a real disk, with real processes that are really killed."""

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from state.errors import HistoryError, RequestError
from state.history.schema import MIGRATIONS, VERSION
from state.history.store import History
from state.paths import data_folder
from state.plan import SIX, Plan
from state.run.records import Failure, Run, TrialRecord
from tests.state.factories import ENVIRONMENT, run_of, save

PLAN = Plan(methods=("tensorstore", "t5x"), repeats=2)
TIMES = {(m, op): [1.0, 2.0] for m in PLAN.methods for op in ("save", "load")}
RUN = run_of(PLAN, TIMES)


def numbered(number: int, plan: Plan = PLAN) -> Run:
    """A finished run of its own time."""
    run = run_of(plan, {(m, op): [1.0, 2.0] for m in plan.methods for op in ("save", "load")})
    run_id = f"2026010{number}-000000-{number:04x}"
    return msgspec.structs.replace(run, run_id=run_id, created_at=f"2026-01-0{number}T00:00:00+00:00")


def growing(run_id: str, done: int) -> Run:
    """A run of which this many trials have ended."""
    plan = Plan(methods=SIX, repeats=9)
    run = msgspec.structs.replace(run_of(plan, {}, finished=False), run_id=run_id)
    records = tuple(
        msgspec.structs.replace(record, status="done", result=save(number + 1.0)) if number < done else record
        for number, record in enumerate(run.records)
    )
    return msgspec.structs.replace(run, records=records)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "history.db"


@pytest.fixture
def history(path: Path) -> Iterator[History]:
    """A history of three runs."""
    with History(path) as history:
        for number in (2, 1, 3):
            history.keep(numbered(number))
        yield history


# Keeping -----------------------------------------------------------------------------------------------------------


def test_what_is_kept_comes_back_as_it_was(path: Path) -> None:
    failed = msgspec.structs.replace(RUN.records[0], status="failed", result=None, failure=Failure("bad", "x", "log"))
    run = msgspec.structs.replace(
        RUN, records=(failed, *RUN.records[1:]), refusal=Failure("no"), advice=("Take care.",)
    )
    with History(path) as history:
        history.keep(run)
        assert history.get(run.run_id) == run
    with History(path) as history:
        assert history.get(run.run_id) == run


def test_it_lies_in_the_users_data_folder() -> None:
    with History() as history:
        assert history.path == data_folder() / "history.db"
        assert history.path.exists()


def test_only_what_changed_is_written(path: Path) -> None:
    with History(path) as history:
        written: list[str] = []
        history._connection.set_trace_callback(written.append)
        history.keep(growing("run", 3))
        run = history._kept
        assert run is not None
        written.clear()
        records = list(run.records)
        records[3] = TrialRecord(records[3].trial, "done", save(9.0))
        history.keep(msgspec.structs.replace(run, records=tuple(records)))
        trials = [statement for statement in written if "INTO trials" in statement]
        heads = [statement for statement in written if "UPDATE runs" in statement]
        assert len(trials) == 1
        assert len(heads) == 1
        assert "environment" not in heads[0]
        assert history.get("run").records == tuple(records)


def test_a_run_that_was_deleted_while_it_went_on_is_written_as_a_whole(path: Path) -> None:
    with History(path) as history, sqlite3.connect(path) as other:
        history.keep(growing("run", 1))
        other.execute("PRAGMA foreign_keys = ON")
        other.execute("DELETE FROM runs")
        other.commit()
        history.keep(growing("run", 2))
        assert history.get("run") == growing("run", 2)


WRITER = """
import signal, sys
from pathlib import Path
from state.history.store import History
from tests.state.history.test_store import growing
history = History(Path(sys.argv[1]))
run_id, last = sys.argv[2], int(sys.argv[3])
print("open", flush=True)
for done in range(1, last + 1):
    history.keep(growing(run_id, done))
    print(done, flush=True)
if last < 108:
    signal.pause()
"""


def writer(path: Path, run_id: str, last: int = 108) -> subprocess.Popen[str]:
    """A program that keeps a run trial after trial; before the end of the run it waits to be killed."""
    command = [sys.executable, "-c", WRITER, str(path), run_id, str(last)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_kill_9_loses_at_most_the_trial_that_was_being_written(path: Path) -> None:
    chance = random.Random(0)
    path.parent.mkdir()
    for number in range(50):
        process = writer(path, f"run-{number}")
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        time.sleep(chance.random() * 0.15)
        process.kill()
        acknowledged = [int(line) for line in process.stdout.read().splitlines()]
        process.wait()
        with sqlite3.connect(path) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        connection.close()
        with History(path) as history:
            assert history.notice == ""
            if not acknowledged and not history.runs(f"run-{number}"):
                continue
            run = history.get(f"run-{number}")
            done = sum(record.status == "done" for record in run.records)
            assert done - (acknowledged[-1] if acknowledged else 0) in (0, 1)
            assert run.records[:done] == growing("x", done).records[:done]
    with History(path) as history:
        assert len(history.runs()) > 30, "most were killed while they wrote"


def test_two_processes_that_write_at_once_both_succeed(path: Path) -> None:
    path.parent.mkdir()
    processes = [writer(path, f"run-{number}") for number in range(2)]
    for process in processes:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert output.splitlines()[-1] == "108"
    with History(path) as history:
        assert [entry.done for entry in history.runs()] == [108, 108]


def test_a_run_whose_program_was_killed_is_cancelled_and_one_that_goes_on_cannot_be_deleted(path: Path) -> None:
    path.parent.mkdir()
    process = writer(path, "run", last=3)
    assert process.stdout is not None
    while process.stdout.readline() != "3\n":
        pass
    with History(path) as history:
        (entry,) = history.runs()
        assert (entry.status, history.get("run").status) == ("running", "running")
        with pytest.raises(RequestError, match="still goes on"):
            history.delete(["run"])
        process.kill()
        process.wait()
        (entry,) = history.runs()
        assert entry.status == "cancelled"
        assert {record.status for record in history.get("run").records} == {"done", "cancelled"}
        history.delete(["run"])
        assert history.runs() == ()
        assert history._connection.execute("SELECT count(*) FROM trials").fetchone() == (0,)


def test_a_folder_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(HistoryError, match="cannot be used"):
        History(tmp_path / "file" / "history.db")
    (tmp_path / "history.db").mkdir()
    with pytest.raises(HistoryError, match="cannot be used"):
        History(tmp_path / "history.db")


# Older, newer and damaged files ------------------------------------------------------------------------------------


def made_by_version_1(path: Path, run: Run) -> None:
    """A database as version 1 of the tables had it."""
    path.parent.mkdir(exist_ok=True)
    connection = sqlite3.connect(path)
    for statement in MIGRATIONS[0]:
        connection.execute(statement)
    plan = msgspec.to_builtins(run.plan)
    del plan["stall_timeout_s"]  # a field that came later
    head = [plan, *(msgspec.to_builtins(getattr(run, name)) for name in ("environment", "model", "limits", "refusal"))]
    cells = [msgspec.json.encode(value).decode() for value in (*head, run.advice)]
    connection.execute(
        "INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (run.run_id, run.created_at, run.status, *cells)
    )
    connection.executemany(
        "INSERT INTO trials VALUES (?, ?, ?, ?)",
        [(run.run_id, n, r.status, msgspec.json.encode(r).decode()) for n, r in enumerate(run.records)],
    )
    connection.execute("PRAGMA user_version = 1")
    connection.commit()
    connection.close()


def test_an_older_database_is_brought_up_to_date_with_all_its_runs(path: Path) -> None:
    made_by_version_1(path, RUN)
    with History(path) as history:
        assert history.notice == ""
        assert history.get(RUN.run_id) == RUN
        history.name(RUN.run_id, "old one")
        history.tag(RUN.run_id, "ancient")
        history.set_baseline(RUN.run_id)
        (entry,) = history.runs()
        assert (entry.name, entry.tags, entry.baseline, entry.done) == ("old one", ("ancient",), True, 8)
        assert history._connection.execute("PRAGMA user_version").fetchone() == (VERSION,)


def test_a_run_that_version_1_left_running_is_cancelled(path: Path) -> None:
    made_by_version_1(path, growing("run", 3))
    with History(path) as history:
        assert history.get("run").status == "cancelled"


def test_a_migration_that_fails_leaves_the_old_tables(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_by_version_1(path, RUN)
    with monkeypatch.context() as patch:
        patch.setattr("state.history.schema.MIGRATIONS", (*MIGRATIONS[:-1], (*MIGRATIONS[-1], "CREATE nonsense")))
        with pytest.raises(HistoryError, match="cannot be used"):
            History(path)
    with History(path) as history:
        assert history.get(RUN.run_id) == RUN


def test_a_newer_database_is_refused_and_left_alone(path: Path) -> None:
    with History(path) as history:
        history.keep(RUN)
        history._connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(
        HistoryError, match=rf"newer ckpt-tui .*version {VERSION + 1}, this program knows {VERSION}.*: use the newer"
    ):
        History(path)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def garbage(content: bytes) -> bytes:
    return random.Random(1).randbytes(len(content))


def truncated(content: bytes) -> bytes:
    return content[: len(content) // 2 + 100]


def stub(content: bytes) -> bytes:
    return content[:50]


def holed(content: bytes) -> bytes:
    return content[:4096] + bytes(len(content) - 8192) + content[-4096:]


def text(content: bytes) -> bytes:
    return b"Dear diary, " * 1000


@pytest.mark.parametrize("damage", [garbage, truncated, stub, holed, text])
def test_a_damaged_database_is_moved_aside_and_a_new_one_begins(damage: object, path: Path) -> None:
    assert callable(damage)
    with History(path) as history:
        for number in range(1, 9):
            history.keep(numbered(number))
    content = damage(path.read_bytes())
    path.write_bytes(content)
    path.with_name("history.db-wal").write_bytes(b"of the damaged one")
    with History(path) as history:
        (aside,) = path.parent.glob("history.corrupt-????????-??????.db")
        assert history.notice == f"the history was damaged and now lies in {aside}; a new one has begun"
        assert aside.read_bytes() == content
        assert history.runs() == ()
        history.keep(RUN)
    with History(path) as history:
        assert history.notice == ""
        assert history.get(RUN.run_id) == RUN


def test_files_that_were_moved_aside_are_never_overwritten(path: Path) -> None:
    path.parent.mkdir()
    for number in range(3):
        path.write_bytes(b"not a database, number %d" % number * 100)
        History(path).close()
    assert len({file.read_bytes() for file in path.parent.glob("history.corrupt-*.db")}) == 3


def test_an_empty_file_is_an_empty_history(path: Path) -> None:
    path.parent.mkdir()
    path.touch()
    with History(path) as history:
        assert history.notice == ""
        assert history.runs() == ()


OPENER = """
import sys
from pathlib import Path
from state.history.store import History
print("ready", flush=True)
sys.stdin.read(1)
with History(Path(sys.argv[1])) as history:
    print(bool(history.notice))
"""


def test_of_many_processes_that_find_a_damaged_file_one_moves_it(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"not a database" * 1000)
    command = [sys.executable, "-c", OPENER, str(path)]
    processes = [subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for _ in range(6)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:  # none waits for another's answer
        assert process.stdin is not None
        process.stdin.write("open\n")
        process.stdin.flush()
    answers = [process.communicate()[0].strip() for process in processes]
    assert sorted(answers) == ["False"] * 5 + ["True"]
    assert len(list(path.parent.glob("history.corrupt-*"))) == 1


# Looking, naming, tagging, deleting --------------------------------------------------------------------------------


def test_runs_are_listed_newest_first_with_what_a_list_shows(history: History) -> None:
    entries = history.runs()
    assert [entry.run_id[:8] for entry in entries] == ["20260103", "20260102", "20260101"]
    entry = entries[0]
    assert (entry.model, entry.model_bytes, entry.storage, entry.filesystem) == ("demo", 1_000_000, "/disk", "ext4")
    assert (entry.methods, entry.rounds, entry.hostname) == (PLAN.methods, 2, "here")
    assert (entry.status, entry.trials, entry.done, entry.failed) == ("finished", 12, 8, 0)  # the limit was not
    assert [entry.run_id[:8] for entry in history.runs(limit=2)] == ["20260103", "20260102"]


def test_a_search_finds_words_wherever_they_stand(history: History) -> None:
    history.name("20260101-000000-0001", "Before the move")
    history.tag("20260102-000000-0002", "nvme", "night")
    other = msgspec.structs.replace(
        numbered(4, Plan(model="gpt2", methods=("pytorch",), repeats=1)),
        environment=msgspec.structs.replace(ENVIRONMENT, hostname="elsewhere", storage="/mnt/fast"),
    )
    history.keep(other)

    def found(search: str, limit: int | None = None) -> list[int]:
        return [int(entry.run_id[-4:]) for entry in history.runs(search, limit)]

    assert found("MOVE before") == [1]
    assert found("nvme") == [2]
    assert found("gpt2") == found("elsewhere") == found("/mnt/fast pytorch") == [4]
    assert found("t5x") == [3, 2, 1]
    assert found("t5x", 2) == [3, 2]
    assert found("0003") == [3]
    assert found("nowhere") == []
    assert found("%") == []


def test_a_reference_is_an_id_a_part_of_one_a_name_or_a_place(history: History) -> None:
    history.name("20260102-000000-0002", "night run")
    history.set_baseline("20260101-000000-0001")
    for reference, number in (
        ("20260103-000000-0003", 3),
        ("20260103", 3),
        ("0002", 2),
        ("night run", 2),
        ("last", 3),
        ("last~0", 3),
        ("last~2", 1),
        ("baseline", 1),
    ):
        assert history.find(reference).run_id == numbered(number).run_id


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        ("2026", r"'2026' fits 3 runs \(20260103-000000-0003, .*0001\): write more"),
        ("nonesuch", "there is no run 'nonesuch' in the history: see ckpt-tui history; the newest are 20260103-"),
        ("", "there is no run ''"),
        ("last~3", "there is no run 'last~3'"),
        ("baseline", "no run is the baseline"),
        ("%", "there is no run"),
        ("\udcff", "there is no run"),
    ],
)
def test_a_reference_that_is_none_names_the_candidates(history: History, reference: str, words: str) -> None:
    with pytest.raises(RequestError, match=words):
        history.find(reference)


def test_in_an_empty_history_every_reference_says_what_to_do(path: Path) -> None:
    with History(path) as history, pytest.raises(RequestError, match="the history is empty: measure with"):
        history.find("last")


def test_a_name_is_unique_and_can_be_taken_away(history: History) -> None:
    first, second = numbered(1).run_id, numbered(2).run_id
    history.name(first, "  nightly ")
    history.name(first, "nightly")
    with pytest.raises(RequestError, match=f"'nightly' is the run {first}"):
        history.name(second, "nightly")
    history.name(first, "")
    history.name(second, "nightly")
    assert [entry.name for entry in history.runs()] == ["", "nightly", ""]
    assert history.runs()[1].title == "nightly"
    assert history.runs()[0].title == numbered(3).run_id


@pytest.mark.parametrize("text", ["last", "last~1", "baseline", "x" * 61, "two\nlines", "\x1b[31m", "-x", "\udcff"])
def test_a_name_that_would_mislead_is_refused(history: History, text: str) -> None:
    with pytest.raises(RequestError):
        history.name(numbered(1).run_id, text)
    with pytest.raises(RequestError, match=f"is the run {numbered(2).run_id}"):
        history.name(numbered(1).run_id, numbered(2).run_id)


def test_tags_come_and_go(history: History) -> None:
    run_id = numbered(1).run_id
    history.tag(run_id, "b", "a", "a")
    history.tag(run_id, "a", "c")
    history.untag(run_id, "b", "never there")
    assert history.runs()[-1].tags == ("a", "c")
    for tag in ("", "two words", "a,b", "-x", "x" * 31, "\x07"):
        with pytest.raises(RequestError, match="is no tag"):
            history.tag(run_id, "d", tag)
    assert history.runs()[-1].tags == ("a", "c")


def test_there_is_one_baseline_at_most(history: History) -> None:
    for number in (1, 2):
        history.set_baseline(numbered(number).run_id)
        assert [entry.run_id for entry in history.runs() if entry.baseline] == [numbered(number).run_id]
    history.set_baseline(None)
    assert not any(entry.baseline for entry in history.runs())


def test_all_of_several_are_deleted_or_none(history: History) -> None:
    history.tag(numbered(1).run_id, "x")
    with pytest.raises(RequestError, match="'nonesuch' is not in the history"):
        history.delete([numbered(1).run_id, "nonesuch"])
    assert len(history.runs()) == 3
    history.delete([numbered(1).run_id, numbered(2).run_id])
    assert [entry.run_id for entry in history.runs()] == [numbered(3).run_id]
    for table in ("trials", "tags"):
        owners = history._connection.execute(f"SELECT DISTINCT run_id FROM {table}").fetchall()
        assert owners in ([(numbered(3).run_id,)], [])


def test_nothing_can_be_done_with_a_run_that_is_not_there(history: History) -> None:
    for act in (
        lambda: history.get("nonesuch"),
        lambda: history.name("nonesuch", "x"),
        lambda: history.tag("nonesuch", "x"),
        lambda: history.untag("nonesuch", "x"),
        lambda: history.set_baseline("nonesuch"),
    ):
        with pytest.raises(RequestError, match="'nonesuch' is not in the history"):
            act()


def test_a_run_from_elsewhere_is_added_once_and_does_not_go_on_here(history: History) -> None:
    run = growing("from-elsewhere", 3)
    history.add(run)
    assert history.get("from-elsewhere") == run.stopped()
    history.name("from-elsewhere", "theirs")
    with pytest.raises(RequestError, match="is in the history already: leave it out, or replace it with --overwrite"):
        history.add(run)
    shorter = msgspec.structs.replace(RUN, run_id="from-elsewhere")
    history.add(shorter, overwrite=True)
    assert history.get("from-elsewhere") == shorter
    assert history.find("theirs") == shorter


def test_the_stamp_changes_with_every_write_of_anybody(history: History, path: Path) -> None:
    stamps = [history.stamp()]
    assert history.stamp() == stamps[0]
    history.tag(numbered(1).run_id, "mine")
    stamps.append(history.stamp())
    with History(path) as other:
        other.tag(numbered(1).run_id, "theirs")
    stamps.append(history.stamp())
    assert len(set(stamps)) == 3


def test_a_folder_in_which_nobody_may_write_is_told() -> None:
    with pytest.raises(HistoryError, match="whether you may write there"):
        History(Path("/proc/history.db"))
