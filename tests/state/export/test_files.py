import csv
import io
import json
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from PIL import Image

from state.errors import ExportError, RequestError
from state.export import files
from state.export.csv import to_csv, to_samples_csv
from state.export.figure import render_figure
from state.export.files import check_export, write_export
from state.export.json import from_json, to_json
from state.export.markdown import to_markdown
from state.plan import Plan
from state.run.records import Failure, Run
from tests.state.factories import run_of, with_advice, with_stalls

PLAN = Plan(methods=("tensorstore", "t5x", "pytorch"), repeats=2)
TIMES = {(m, op): [1.0, 2.0] for m in ("tensorstore", "t5x") for op in ("save", "load")}


@pytest.fixture
def run() -> Run:
    """Two methods measured, one failed with a nasty reason."""
    run = with_advice(run_of(PLAN, TIMES, finished=False), "Take care.")
    failure = Failure('a "quoted", | piped\nreason', "mend it")
    records = tuple(
        msgspec.structs.replace(record, status="failed", failure=failure)
        if record.trial.method == "pytorch"
        else record
        for record in run.records
    )
    return msgspec.structs.replace(run, records=records, status="finished")


def test_json_has_the_documented_fields(run: Run) -> None:
    document = json.loads(to_json(run))
    assert document["schema_version"] == 1
    assert {"run_id", "created_at", "plan", "environment", "limits", "results"} <= document.keys()
    assert {"write_bytes_per_s", "read_bytes_per_s"} <= document["limits"].keys()
    row = document["results"][1]
    assert {
        *("method", "concurrency", "chunk_bytes", "codec", "status", "error", "verified", "save", "load"),
        *("logical_bytes", "stored_bytes", "file_count"),
    } <= row.keys()
    for operation in ("save", "load"):
        assert {
            *("samples_s", "median_s", "low_s", "high_s", "returned_median_s", "cache", "peak_rss_bytes", "cpu_s"),
            *("limit_fraction", "speedup_vs_tensorstore", "estimated"),
        } <= row[operation].keys()
    assert document["results"][2]["error"] == 'a "quoted", | piped\nreason'
    assert len(document["trials"]) == 12 + 4, "the limit takes its turn in each of the two rounds"


def test_csv_has_a_row_per_method_and_operation_with_the_same_names(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(run).decode(), newline="")))
    assert [(row["method"], row["operation"]) for row in rows] == [
        (method, operation) for method in PLAN.methods for operation in ("save", "load")
    ]
    results = {row["method"]: row for row in json.loads(to_json(run))["results"]}
    for row in rows:
        summary = results[row["method"]][row["operation"]]
        assert row["verified"] == str(results[row["method"]]["verified"]).lower()
        if summary is None:
            assert row["median_s"] == ""
            continue
        assert float(row["median_s"]) == summary["median_s"]
        assert [float(sample) for sample in row["samples_s"].split()] == summary["samples_s"]
    assert rows[-1]["error"] == 'a "quoted", | piped\nreason'


def test_samples_csv_has_a_row_per_trial(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(to_samples_csv(run).decode(), newline="")))
    assert Counter(row["method"] for row in rows) == dict.fromkeys((*PLAN.methods, "limit"), 4)
    assert [int(row["trial"]) for row in rows] == list(range(16))
    measured = [row for row in rows if row["status"] == "done"]
    assert len(measured) == 8
    assert all(float(row["time_s"]) == float(row["durable_s"] or row["loaded_s"]) for row in measured)
    assert {row["codec"] for row in rows if row["method"] == "t5x"} == {"gzip:1"}
    assert all(float(row["measure_stage_s"]) > 0 for row in measured)


def test_markdown_is_a_table_that_no_cell_breaks(run: Run) -> None:
    text = to_markdown(run).decode()
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(PLAN.methods)
    assert len({line.replace(r"\|", "").count("|") for line in table}) == 1
    assert "> Take care." in text


def test_the_figure_has_four_panels_and_every_method(run: Run) -> None:
    svg = render_figure(run, "svg").decode()
    ElementTree.fromstring(svg)
    comments = svg  # matplotlib writes each text as a comment beside its glyphs
    for words in ("Save time, s", "Load time, s", "Size on disk", "Times as fast as tensorstore", *PLAN.methods):
        assert words in comments
    assert "Take care." in comments
    image = Image.open(io.BytesIO(render_figure(run, "png")))
    assert image.size[0] > 1500
    assert image.size[1] > 600


def test_a_run_without_any_result_can_be_exported_too(tmp_path: Path) -> None:
    empty = msgspec.structs.replace(run_of(PLAN, {}), model=None)
    for suffix in files.EXPORTERS:
        write_export(empty, tmp_path / f"run{suffix}")
        assert (tmp_path / f"run{suffix}").stat().st_size > 0


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("run.xls", "no suffix that says"),
        ("run", "no suffix that says"),
        ("missing/run.csv", "does not exist"),
        ("there.csv", "exists already"),
        ("folder.csv", "is a folder"),
    ],
)
def test_a_file_that_could_not_be_written_is_refused_before_the_run(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "there.csv").touch()
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(ExportError, match=words):
        check_export(tmp_path / name)


def test_a_file_is_replaced_only_when_told_and_only_as_a_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "run.csv"
    path.write_text("precious")
    with pytest.raises(ExportError):
        write_export(run, path)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError(28, "No space left")))
        with pytest.raises(ExportError, match="No space left"):
            write_export(run, path, overwrite=True)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    write_export(run, path, overwrite=True)
    assert path.read_bytes() == to_csv(run)


def test_a_document_is_read_back_as_the_run_that_was_written(run: Run) -> None:
    refused = msgspec.structs.replace(run, refusal=Failure("no room", "free some", ours=True), status="refused")
    unfinished = run_of(PLAN, TIMES, finished=False)
    for written in (run, refused, unfinished, msgspec.structs.replace(run, model=None)):
        assert from_json(to_json(written)) == written


def changed(run: Run, **fields: object) -> bytes:
    return json.dumps(json.loads(to_json(run)) | fields).encode()


def test_a_document_of_an_older_program_is_read_without_its_newer_fields(run: Run) -> None:
    document = json.loads(to_json(run))
    for field in ("status", "refusal", "model", "limits", "advice", "results"):
        del document[field]
    del document["plan"]["seed"], document["environment"]["can_drop_caches"], document["trials"][0]["run_id"]
    read = from_json(json.dumps(document).encode())
    assert (read.status, read.model, read.plan.seed) == ("finished", None, 0)
    assert len(read.records) == len(run.records)


def test_a_document_that_holds_no_run_says_why(run: Run) -> None:
    timeless = json.loads(to_json(run))["trials"]
    timeless[0]["result"]["durable_s"] = 0
    for data, words in (
        (b"", "holds no run"),
        (b"\xff\xfe", "holds no run"),
        (b"[1, 2]", "holds no run"),
        (to_csv(run), "holds no run"),
        (to_json(run)[:-100], "holds no run"),
        (changed(run, schema_version=2), "newer ckpt-tui .schema 2, this program reads up to 1.: use the newer"),
        (changed(run, trials="none"), "holds no run"),
        (changed(run, run_id="../../etc/passwd"), "is no id of a run"),
        (changed(run, trials=timeless), "no possible time"),
    ):
        with pytest.raises(ExportError, match=words):
            from_json(data)
    with pytest.raises(RequestError, match="0 rounds are out of range"):
        from_json(changed(run, plan=json.loads(to_json(run))["plan"] | {"repeats": 0}))


def test_markdown_says_how_long_training_stands_still_only_if_a_method_is_asynchronous(run: Run) -> None:
    assert "stall s" not in to_markdown(run).decode()
    assert "| 100 B / 100 B |" in to_markdown(run).decode(), "memory of save and load"
    table = [line.split(" | ") for line in to_markdown(with_stalls(run, "t5x", 0.05)).decode().splitlines()]
    column = next(cells.index("stall s") for cells in table if "stall s" in cells)
    stalls = {cells[0].removeprefix("| "): cells[column] for cells in table if len(cells) > column}
    assert (stalls["t5x"], stalls["tensorstore"]) == ("0.0500", "")
