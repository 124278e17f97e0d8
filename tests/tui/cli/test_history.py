"""`ckpt-tui history` and `ckpt-tui export`, as a user starts them."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from state.export.files import EXPORTERS, write_export
from state.export.json import from_json
from state.history.schema import VERSION
from state.history.store import History
from state.paths import data_folder
from state.plan import Plan
from state.run.records import Run
from tests.backends.runs import wait_until
from tests.state.factories import run_of
from tests.tui.cli.test_main import COMMAND, assert_refused, ckpt_tui
from tests.tui.terminal import Terminal


def made(number: int, **plan: object) -> Run:
    """A finished run of the day that is its number."""
    wanted = msgspec.convert({"methods": ("tensorstore", "t5x"), "repeats": 2} | plan, Plan)
    times = {(m, op): [1.0, 2.0] for m in wanted.methods for op in ("save", "load")}
    run_id = f"2026010{number}-120000-{number:04x}"
    created_at = f"2026-01-0{number}T12:00:00+00:00"
    return msgspec.structs.replace(run_of(wanted, times), run_id=run_id, created_at=created_at)


@pytest.fixture
def runs() -> tuple[Run, ...]:
    """Three runs in the history."""
    runs = (made(1), made(2, model="gpt2", methods=("pytorch",)), made(3))
    with History() as history:
        for run in runs:
            history.keep(run)
    return runs


def ids(*arguments: str) -> list[str]:
    """The ids in a list, by their last character."""
    listed = json.loads(ckpt_tui("history", "--format", "json", *arguments).stdout)
    return [entry["run_id"][-1] for entry in listed]


def test_a_run_is_kept_and_can_be_left_out(small_model: Path, storage: Path) -> None:
    options = ("run", "--quiet", "--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    shown = ckpt_tui(*options)
    assert shown.returncode == 0, shown.stderr
    assert ckpt_tui(*options, "--no-history").returncode == 0
    (entry,) = json.loads(ckpt_tui("history", "--format", "json").stdout)
    assert (entry["status"], entry["done"], entry["methods"]) == ("finished", 4, ["pytorch"])
    again = ckpt_tui("history", "show", "last")
    assert again.stdout == shown.stdout, "it is shown as the run itself did"


def test_a_run_that_was_killed_is_kept_as_far_as_it_came(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    options = ("--model", small_model, "--storage", storage, "--methods", "pytorch,is-slow", "--seed", "3")
    process = subprocess.Popen([COMMAND, "run", *options], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stderr is not None
    assert any(line.startswith("[2/") for line in process.stderr), "this seed begins with pytorch"
    assert wait_until(lambda: any(storage.glob("*/*is-slow*")), 60)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with History() as history:
        (entry,) = history.runs()
        assert (entry.status, entry.done, entry.trials) == ("cancelled", 4, 18)
        assert history.get(entry.run_id).measured("pytorch")


def test_a_history_that_cannot_be_written_costs_no_run(small_model: Path, storage: Path) -> None:
    data_folder().parent.mkdir(parents=True)
    data_folder().touch()
    options = ("--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "2")
    result = ckpt_tui("run", "--quiet", *options)
    assert result.returncode == 0
    assert "verified" in result.stdout
    assert result.stderr.startswith("ckpt-tui: not kept: the history in ")
    assert result.stderr.count("\n") == 1
    assert_refused(ckpt_tui("history"), "cannot be used", "whether you may write there")


def test_the_list_is_newest_first_searchable_and_limited(runs: tuple[Run, ...]) -> None:
    assert ids() == ["3", "2", "1"]
    assert ids("--limit", "2") == ["3", "2"]
    assert ids("--search", "GPT2") == ["2"]
    assert ids("--search", "t5x ext4") == ["3", "1"]
    assert ids("--search", "nonesuch") == []
    ckpt_tui("history", "name", "last", "nightly")
    table = ckpt_tui("history").stdout
    lines = [line for line in table.splitlines() if "202601" in line]
    assert [line.split()[0] for line in lines] == [run.run_id for run in reversed(runs)]
    for part in ("nightly", "demo 1.00 MB", "8/12", "2 x2", "ext4 /disk", "here"):
        assert part in lines[0]
    assert "no run matches 'nonesuch'" in ckpt_tui("history", "--search", "nonesuch").stdout


@pytest.mark.parametrize("columns", [60, 80, 120, 200])
def test_in_a_terminal_the_table_has_its_width_and_ids_are_whole(columns: int, runs: tuple[Run, ...]) -> None:
    terminal = Terminal(COMMAND, "history", columns=columns)
    assert terminal.finish() == 0
    assert all(run.run_id in terminal.text for run in runs)
    assert "8/12" in terminal.text
    assert ("ext4 /disk" in terminal.text) == (columns == 200)


def test_an_empty_history_says_what_to_do() -> None:
    result = ckpt_tui("history")
    assert (result.returncode, result.stdout) == (0, "no runs yet: ckpt-tui run measures and keeps one\n")
    assert json.loads(ckpt_tui("history", "--format", "json").stdout) == []
    assert_refused(ckpt_tui("history", "show", "last"), "the history is empty", "ckpt-tui run")
    assert_refused(ckpt_tui("history", "baseline"), "no run is the baseline")


def test_a_run_is_shown_in_every_format(runs: tuple[Run, ...]) -> None:
    assert from_json(ckpt_tui("history", "show", "0001", "--format", "json").stdout.encode()) == runs[0]
    assert ckpt_tui("history", "show", "last~1", "--format", "csv").stdout.startswith("run_id,")
    assert ckpt_tui("history", "show", "last~1", "--format", "markdown").stdout.startswith("# Checkpoint run 20260102")
    assert "verified" in ckpt_tui("history", "show", "20260103").stdout


def test_runs_are_named_tagged_and_made_the_baseline(runs: tuple[Run, ...]) -> None:
    for arguments in (
        ("name", "0001", "before the move"),
        ("tag", "before the move", "nvme", "night"),
        ("untag", "before the move", "night"),
        ("baseline", "before the move"),
    ):
        result = ckpt_tui("history", *arguments)
        assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    entry = json.loads(ckpt_tui("history", "--format", "json").stdout)[-1]
    assert (entry["name"], entry["tags"], entry["baseline"]) == ("before the move", ["nvme"], True)
    assert ckpt_tui("history", "baseline").stdout == f"{runs[0].run_id}\n"
    assert ckpt_tui("history", "baseline", "--clear").returncode == 0
    assert_refused(ckpt_tui("history", "baseline"), "no run is the baseline")
    assert ckpt_tui("history", "name", "0001", "").returncode == 0
    assert_refused(ckpt_tui("history", "show", "before the move"), "there is no run 'before the move'")


def test_runs_are_deleted_only_by_who_means_it(runs: tuple[Run, ...]) -> None:
    assert_refused(ckpt_tui("history", "delete", "last"), "nobody can be asked", runs[2].run_id, "--yes")
    assert_refused(ckpt_tui("history", "delete", "0001", "nonesuch", "--yes"), "there is no run 'nonesuch'")
    assert ids() == ["3", "2", "1"]
    result = ckpt_tui("history", "delete", "0001", "last~2", "--yes")
    assert (result.returncode, result.stderr) == (0, f"deleted {runs[0].run_id}\n")
    for answer, left in (("n", ["3", "2"]), ("y", ["2"])):
        terminal = Terminal(COMMAND, "history", "delete", "last", columns=120)
        terminal.wait_for(lambda text: f"Delete {runs[2].run_id} for good? [y/N]" in text)
        terminal.process.send(f"{answer}\r")
        assert terminal.finish() == 0
        assert ids() == left


def test_what_was_exported_can_be_taken_in_once(runs: tuple[Run, ...], tmp_path: Path) -> None:
    paths = [tmp_path / f"run{suffix}" for suffix in EXPORTERS]
    result = ckpt_tui("export", "last", *paths)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("wrote ") == len(EXPORTERS)
    assert {row["run_id"] for row in csv.DictReader((tmp_path / "run.csv").open(newline=""))} == {runs[2].run_id}
    document = tmp_path / "run.json"
    assert from_json(document.read_bytes()) == runs[2]
    assert_refused(ckpt_tui("history", "import", document), "is in the history already", "--overwrite")
    assert ckpt_tui("history", "import", document, "--overwrite").returncode == 0
    assert ckpt_tui("history", "delete", "last", "--yes").returncode == 0
    taken = ckpt_tui("history", "import", document)
    assert (taken.returncode, taken.stderr) == (0, f"took in {runs[2].run_id} from {document}\n")
    assert ids() == ["3", "2", "1"]


def test_an_export_follows_the_rules_of_a_run(runs: tuple[Run, ...], tmp_path: Path) -> None:
    precious = tmp_path / "run.csv"
    precious.write_text("precious")
    for command in (("export",), ("history", "export")):
        assert_refused(ckpt_tui(*command, "last", precious), "exists already", "--overwrite")
        assert_refused(ckpt_tui(*command, "last", tmp_path / "run.xls"), "no suffix")
        assert_refused(ckpt_tui(*command, "last", "a.csv", "./a.csv", cwd=tmp_path), "is given twice")
        assert_refused(ckpt_tui(*command, "nonesuch", tmp_path / "new.csv"), "there is no run")
    assert precious.read_text() == "precious"
    assert not (tmp_path / "new.csv").exists()
    assert ckpt_tui("export", "last", precious, "--overwrite").returncode == 0
    assert precious.read_text().startswith("run_id,")


def test_what_holds_no_run_is_not_taken_in(runs: tuple[Run, ...], tmp_path: Path) -> None:
    write_export(made(4), tmp_path / "good.json")
    document = json.loads((tmp_path / "good.json").read_bytes())
    (tmp_path / "newer.json").write_text(json.dumps(document | {"schema_version": 9}))
    (tmp_path / "wrong.json").write_text(json.dumps(document | {"plan": document["plan"] | {"repeats": 0}}))
    (tmp_path / "text.json").write_text("Dear diary")
    (tmp_path / "binary.json").write_bytes(os.urandom(1000))
    (tmp_path / "folder.json").mkdir()
    for name, part in (
        ("newer", "newer ckpt-tui (schema 9"),
        ("wrong", "0 rounds are out of range"),
        ("text", "holds no run"),
        ("binary", "holds no run"),
        ("folder", "Is a directory"),
        ("absent", "No such file"),
    ):
        assert_refused(ckpt_tui("history", "import", tmp_path / f"{name}.json"), part, f"{name}.json")
    assert ids() == ["3", "2", "1"]
    assert ckpt_tui("history", "import", tmp_path / "good.json").returncode == 0
    assert ids() == ["4", "3", "2", "1"]


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("show", "2026"), "'2026' fits 3 runs (20260103-120000-0003"),
        (("show", "nonesuch"), "the newest are 20260103-120000-0003"),
        (("show",), "Missing argument 'RUN'"),
        (("name", "last", "baseline"), "means a run already"),
        (("tag", "last", "two words"), "'two words' is no tag"),
        (("tag", "last"), "Missing argument"),
        (("baseline", "last", "--clear"), "both last and --clear are given"),
        (("baseline", "nonesuch"), "there is no run 'nonesuch'"),
        (("nonesuch",), "nonesuch"),
        (("--limit", "0"), "0 is not in the range"),
    ],
)
def test_a_wrong_request_is_one_sentence_and_exit_status_2(
    arguments: tuple[str, ...], part: str, runs: tuple[Run, ...]
) -> None:
    assert_refused(ckpt_tui("history", *arguments), part)


def test_a_damaged_history_is_told_and_a_newer_one_is_refused(runs: tuple[Run, ...]) -> None:
    path = data_folder() / "history.db"
    with History() as history:
        history._connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    assert_refused(ckpt_tui("history"), "written by a newer ckpt-tui")
    path.write_bytes(b"not a database" * 1000)
    result = ckpt_tui("history")
    assert result.returncode == 0
    assert result.stderr.startswith(f"ckpt-tui: the history was damaged and now lies in {path.parent}/history.corrupt-")
    assert ckpt_tui("history").stderr == ""


def test_help_answers_without_importing_the_database() -> None:
    code = """
import sys
from tui.cli.main import main
sys.argv = ["ckpt-tui", "history", "--help"]
try:
    main()
except SystemExit as exit:
    assert exit.code == 0
print({"sqlite3", "rich", "textual", "asyncio", "psutil"} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "baseline" in result.stdout
    assert result.stdout.endswith("set()\n")
