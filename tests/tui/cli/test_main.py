"""The installed command, as a user starts it."""

import csv
import io
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from PIL import Image

from state.export.files import EXPORTERS
from state.plan import SIX
from tests.backends.runs import family, gone, scratch_folders, wait_until

COMMAND = Path(sys.executable).with_name("ckpt-tui")


def ckpt_tui(*arguments: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, cwd=cwd, stdin=subprocess.DEVNULL, check=False
    )


def assert_refused(result: subprocess.CompletedProcess[str], *parts: str) -> None:
    """One sentence on standard error, nothing on standard output, exit status 2."""
    assert result.returncode == 2, result
    assert result.stdout == ""
    assert re.fullmatch(r"ckpt-tui: [^\n]+\.\n", result.stderr), result.stderr
    assert "Traceback" not in result.stderr
    for part in parts:
        assert part in result.stderr


def test_a_run_writes_every_format_and_says_what_it_did(small_model: Path, storage: Path, tmp_path: Path) -> None:
    exports = [tmp_path / f"run{suffix}" for suffix in EXPORTERS]
    options = [word for path in exports for word in ("--export", str(path))]
    arguments = ("run", "--model", str(small_model), "--storage", str(storage), "--repeats", "2", "--dtype", "float16")
    result = ckpt_tui(*arguments, *options)
    assert result.returncode == 0, result.stderr
    for method in SIX:
        assert re.search(rf"^ {re.escape(method)} .* verified", result.stdout, re.MULTILINE)
    assert "x1.00 (+0 %)" in result.stdout
    assert "gzip leaves" in result.stdout
    trials = (len(SIX) + 1) * 2 * 2  # the limit is measured in each round, too
    assert result.stderr.count("[") == trials
    document = json.loads((tmp_path / "run.json").read_text())
    assert [row["method"] for row in document["results"]] == list(SIX)
    assert all(row["verified"] and len(row["save"]["samples_s"]) == 2 for row in document["results"])
    assert {tensor["dtype"] for tensor in document["model"]["tensors"]} == {"float16", "int64"}
    rows = list(csv.DictReader((tmp_path / "run.csv").open(newline="")))
    assert [(row["method"], row["operation"]) for row in rows] == [(m, op) for m in SIX for op in ("save", "load")]
    assert len(list(csv.DictReader((tmp_path / "run.samples.csv").open(newline="")))) == trials
    assert Image.open(tmp_path / "run.png").size[0] > 1000
    assert scratch_folders(storage) == []


def test_results_go_to_standard_output_and_nothing_else_does(small_model: Path, storage: Path) -> None:
    options = ("run", "--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    as_json = ckpt_tui(*options, "--format", "json", "--quiet")
    assert json.loads(as_json.stdout)["results"][0]["verified"] is True
    assert as_json.stderr == ""
    as_csv = ckpt_tui(*options, "--format", "csv")
    assert [row["operation"] for row in csv.DictReader(io.StringIO(as_csv.stdout))] == ["save", "load"]
    assert ckpt_tui(*options, "--format", "markdown").stdout.startswith("# Checkpoint run ")


def test_a_failed_method_exits_with_1_and_the_others_are_reported(
    small_model: Path, storage: Path, faulty_methods: None
) -> None:
    result = ckpt_tui(
        *("run", "--model", small_model, "--storage", storage, "--methods", "raises,pytorch", "--repeats", "1")
    )
    assert result.returncode == 1
    assert re.search(r"^ raises .*failed: RuntimeError: the flux capacitor is empty", result.stdout, re.MULTILINE)
    assert re.search(r"^ pytorch .*verified", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--methods", "pytroch"), ("'pytroch'", "did you mean pytorch or ")),
        (("--methods", "xyzzy"), ("'xyzzy'", "choose from six, cells, pytorch-family, ")),
        (("--methods", ","), ("no method is selected",)),
        (("--codec", "lzma"), ("lzma", "gzip, zstd, blosc-lz4, blosc-zstd")),
        (("--codec", "gzip:10"), ("level '10'", "1 to 9")),
        (("--size", "0"), ("not positive",)),
        (("--size", "-5MB"), ("'-5MB' is not positive",)),
        (("--seed", "-1"), ("a seed of -1 is out of range",)),
        (("--size", "lots"), ("'lots' is not a size",)),
        (("--chunk-size", "1"), ("64KiB to 1GiB",)),
        (("--concurrency", "0"), ("1 to 4096",)),
        (("--repeats", "0"), ("1 to 1000",)),
        (("--repeats", "many"), ("'many' is no whole number",)),
        (("--cache", "tepid"), ("tepid",)),
        (("--stall-timeout", "nan"), ("'nan' is no time",)),
        (("--stall-timeout", "0.5"), ("trials are looked at every 2 s only: give at least that",)),
        (("--timeout", "1s"), ("trials are looked at every 2 s only: give at least that",)),
        (("--timeout", "-1"), ("'-1' is no time",)),
        (("--repeats", "٣"), ("is no whole number",)),
        (("--repeats", "1_0"), ("is no whole number",)),
        (("--concurrency", "२"), ("is no whole number",)),
        (("--seed", "1.5"), ("is no whole number",)),
        (("--storage", ""), ("the storage has no name",)),
        (("--export", "results.xls"), ("results.xls", ".csv")),
        (("--export", "no/such/folder/run.csv"), ("does not exist",)),
        (("--export", f"{sys.executable}/run.csv"), ("is a file, and run.csv needs a folder",)),
        (("--export", "a.csv", "--export", "./a.csv"), ("a.csv is given twice", "give each file once")),
        (("--storage", "no/such/folder"), ("no/such/folder does not exist",)),
        (("--storage", sys.executable), ("is not a folder",)),
        (("--storage", "~nobody-of-this-name/x"), ("names a user who is not here",)),
        (("--model", os.fsdecode(b"\xff.pt")), ("is no UTF-8 text",)),
        (("--export", f"{'x' * 300}.csv"), ("is no name for a file here",)),
        (("--export", "loop.csv", "--storage", "."), ("loop.csv",)),
        (("--no-such-option",), ("--no-such-option",)),
    ],
)
def test_a_wrong_option_is_one_sentence_and_exit_status_2(
    options: tuple[str, ...], parts: tuple[str, ...], tmp_path: Path
) -> None:
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    assert_refused(ckpt_tui("run", *options, cwd=tmp_path), *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["loop.csv"]


def test_an_unknown_command_is_one_sentence_and_exit_status_2() -> None:
    assert_refused(ckpt_tui("measure"), "measure")


class RunsCode:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_wrong_model_is_one_sentence_and_exit_status_2(small_model: Path, storage: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    truncated = tmp_path / "truncated.safetensors"
    truncated.write_bytes(small_model.read_bytes()[:1000])
    flipped = tmp_path / "flipped.safetensors"
    content = bytearray(small_model.read_bytes())
    content[9] ^= 4
    flipped.write_bytes(content)
    executed, malicious = tmp_path / "executed", tmp_path / "malicious.pt"
    torch.save({"weight": torch.zeros(1), "payload": RunsCode(executed)}, malicious)
    garbage = tmp_path / "garbage.pt"
    garbage.write_bytes(b"garbage" * 100)
    plain_pickle = tmp_path / "plain.bin"
    plain_pickle.write_bytes(pickle.dumps(RunsCode(executed)))
    for model, part in (
        ("no-such-model", "there is no model 'no-such-model'"),
        (empty, "no weights in the folder"),
        (truncated, "no sound safetensors file"),
        (flipped, "no sound safetensors file"),
        (malicious, "nothing of it was run"),
        (plain_pickle, "nothing of it was run"),
        (garbage, "is no file that torch.save wrote"),
        (tmp_path / "absent.safetensors", "there is no file or folder"),
    ):
        result = ckpt_tui("run", "--quiet", "--model", model, "--storage", storage)
        assert_refused(result, part, str(model))
    assert not executed.exists()
    assert list(storage.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--device", "cuda:7"), "no device 'cuda:7'"),
        (("--device", "tpu"), "choose cpu, cuda or cuda:N"),
        (("--size", "1MB"), "cannot be made 1.00 MB large"),
        (("--size", "500TB"), "cannot be made"),
        (("--model", "llama-3.1-8b", "--size", "500TB"), "or another model"),
    ],
)
def test_what_only_the_worker_can_know_is_refused_the_same_way(
    options: tuple[str, ...], part: str, storage: Path
) -> None:
    assert_refused(ckpt_tui("run", "--quiet", "--storage", storage, *options), part)
    assert list(storage.iterdir()) == []


def test_a_model_too_large_for_memory_is_refused_with_figures(storage: Path) -> None:
    if psutil.virtual_memory().available > 60e9:
        pytest.skip("this machine has room for two copies of the largest preset")
    result = ckpt_tui("run", "--quiet", "--storage", storage, "--model", "llama-3.1-8b", "--methods", "pytorch")
    assert_refused(result)
    assert re.search(
        r"[\d.]+ GB (free|of memory are available) and the run needs (up to|about) [\d.]+ GB", result.stderr
    )


def test_an_export_never_overwrites_unless_told_to(small_model: Path, storage: Path, tmp_path: Path) -> None:
    precious = tmp_path / "run.csv"
    precious.write_text("precious")
    options = ("run", "--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    assert_refused(ckpt_tui(*options, "--export", precious), "exists already", "--overwrite")
    assert precious.read_text() == "precious"
    assert ckpt_tui(*options, "--export", precious, "--overwrite").returncode == 0
    assert precious.read_text().startswith("run_id,")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_at_once_and_what_was_finished_is_reported(
    number: signal.Signals, small_model: Path, storage: Path, tmp_path: Path, faulty_methods: None
) -> None:
    export = tmp_path / "run.csv"
    process = subprocess.Popen(
        [
            *(COMMAND, "run", "--model", small_model, "--storage", storage, "--methods", "pytorch,is-slow"),
            *("--seed", "3", "--repeats", "1", "--export", export),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert any("pytorch load" in line for line in process.stderr)  # this seed begins with pytorch
    below = family(process.pid)[1:]
    time.sleep(0.3)
    process.send_signal(number)
    output, errors = process.communicate(timeout=15)
    assert process.returncode == 128 + number
    assert f"stopped by {number.name}" in errors
    assert re.search(r"^ pytorch .*verified", output, re.MULTILINE)
    assert re.search(r"^ is-slow .*cancelled", output, re.MULTILINE)
    assert len(list(csv.DictReader(export.open(newline="")))) == 4
    assert wait_until(lambda: gone(below))
    assert scratch_folders(storage) == []


def test_a_reader_that_goes_away_is_no_traceback_and_costs_no_file(
    small_model: Path, storage: Path, tmp_path: Path
) -> None:
    export = tmp_path / "run.csv"
    process = subprocess.Popen(
        [
            *(COMMAND, "run", "--quiet", "--model", small_model, "--storage", storage, "--methods", "pytorch"),
            *("--repeats", "1", "--export", export),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait() in (1, 128 + signal.SIGPIPE)
    assert len(list(csv.DictReader(export.open(newline="")))) == 2


def test_a_full_standard_output_is_one_sentence_and_costs_no_file(
    small_model: Path, storage: Path, tmp_path: Path
) -> None:
    export = tmp_path / "run.csv"
    arguments = ("--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [COMMAND, "run", "--quiet", *arguments, "--export", export],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr.startswith("ckpt-tui: standard output cannot be written")
    assert result.stderr.count("\n") == 1
    assert len(list(csv.DictReader(export.open(newline="")))) == 2


@pytest.mark.parametrize("closed", [">&-", "<&- >&-"])
def test_a_closed_standard_output_is_one_sentence_and_costs_no_file(
    closed: str, small_model: Path, storage: Path, tmp_path: Path
) -> None:
    export = tmp_path / "run.csv"
    arguments = ("--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    result = subprocess.run(
        ["/bin/sh", "-c", f'exec "$@" {closed}', "sh", COMMAND, "run", "--quiet", *arguments, "--export", export],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == "ckpt-tui: standard output is closed: use --export FILE.\n"
    assert len(list(csv.DictReader(export.open(newline="")))) == 2


def test_an_output_that_knows_ascii_only_gets_the_results_all_the_same(
    small_model: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert ckpt_tui("methods").returncode == 0
    arguments = ("--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    result = ckpt_tui("run", "--quiet", *arguments)
    assert result.returncode == 0
    assert "verified" in result.stdout
    assert result.stderr == ""


def test_a_fault_of_the_program_is_no_wrong_request(
    small_model: Path, storage: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    result = ckpt_tui("run", "--quiet", "--model", small_model, "--storage", storage, "--methods", "pytorch")
    assert result.returncode == 1
    assert result.stderr.startswith("ckpt-tui: the worker keeps dying: see ")
    assert result.stderr.count("\n") == 1


def test_methods_lists_every_method_with_its_switches() -> None:
    lines = ckpt_tui("methods").stdout.splitlines()
    assert re.search(r"t5x +● ● ● +128 at a time, chunks of 64MiB, gzip:1", "\n".join(lines))
    assert re.search(r"tensorstore +· · · +one at a time, 64x64 tiles, uncompressed", "\n".join(lines))
    assert sum("●" in line or "· · ·" in line for line in lines) >= 8


def test_methods_explains_one_as_a_page_or_as_json() -> None:
    text = ckpt_tui("methods", "pytorch-mmap").stdout
    assert text.startswith("pytorch-mmap: torch.load(mmap=True)")
    assert "\nFIDELITY\n" in text
    assert "loads lazily: yes" in text
    known = json.loads(ckpt_tui("methods", "--format", "json").stdout)
    assert {(row["name"], row["family"], row["unavailable"]) for row in known} > {("direct", "PyTorch", None)}
    refused = ckpt_tui("methods", "nonesuch")
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


def test_methods_lists_those_of_a_group_and_guesses_what_is_misspelt() -> None:
    lines = ckpt_tui("methods", "jax-family").stdout.splitlines()
    assert [line.split()[0] for line in lines if re.match(r" +(jax|orbax|pytorch|t5x)", line)] == [
        *("jax", "orbax", "orbax-async"),
    ]
    refused = ckpt_tui("methods", "dirct")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "there is no method 'dirct': did you mean direct" in refused.stderr


def test_a_run_of_nothing_that_is_installed_is_refused_before_anything_starts(storage: Path) -> None:
    hidden = "import sys; sys.modules['orbax'] = None; from tui.cli.main import main; main()"
    command = [sys.executable, "-c", hidden, "run", "--storage", str(storage), "--methods", "orbax,orbax-async"]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("ckpt-tui: orbax needs the package orbax.checkpoint: pip install")
    assert refused.stderr.count("\n") == 1


def test_methods_says_why_one_cannot_be_used(faulty_methods: None) -> None:
    shown = ckpt_tui("methods", "cannot-be-imported")
    assert shown.returncode == 0
    assert re.search(r"\nCANNOT RUN HERE\n +cannot-be-imported cannot be (.|\n)*NoSuchClass", shown.stdout)


def test_models_lists_every_preset() -> None:
    output = ckpt_tui("models").stdout
    for name in ("demo", "open-llama-3b", "llama-3.2-1b", "llama-3.1-8b", "qwen2.5-7b", "mistral-7b", "gpt2"):
        assert re.search(rf"^ {re.escape(name)} ", output, re.MULTILINE)
    assert re.search(r"open-llama-3b +3,426 M +float16 +6.85 GB", output)


def test_doctor_finds_what_a_killed_run_left_and_removes_it_only_when_told(
    small_model: Path, storage: Path, faulty_methods: None, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [COMMAND, "run", "--model", small_model, "--storage", storage, "--methods", "is-slow"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert wait_until(lambda: any(storage.glob("*/1-is-slow")))
    for member in reversed(family(process.pid)):
        member.kill()
    process.wait()
    (left,) = scratch_folders(storage)
    bystander = storage / "ckpt-tui-scratch-of-somebody-else"
    bystander.mkdir()
    shown = ckpt_tui("doctor", "--storage", tmp_path)  # the pointer finds it from anywhere
    assert shown.returncode == 1
    assert str(left) in shown.stdout
    assert left.exists()
    removed = ckpt_tui("doctor", "--storage", storage, "--yes")
    assert removed.returncode == 0, removed.stdout
    assert f"removed {left}" in removed.stdout
    assert not left.exists()
    assert bystander.exists()


def test_help_answers_without_importing_anything_heavy() -> None:
    code = """
import sys
from tui.cli.main import main
sys.argv = ["ckpt-tui", "run", "--help"]
try:
    main()
except SystemExit as exit:
    assert exit.code == 0
heavy = {"torch", "jax", "tensorstore", "transformers", "safetensors", "numpy", "matplotlib", "textual", "plotext"}
heavy |= {"rich", "asyncio"}
print(heavy & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--chunk-size" in result.stdout
    assert result.stdout.endswith("set()\n")


def test_the_process_that_people_see_never_imports_a_tensor_library(small_model: Path, storage: Path) -> None:
    code = f"""
import sys
from tui.cli.main import main
sys.argv = ["ckpt-tui", "run", "--model", {str(small_model)!r}, "--storage", {str(storage)!r}, "--repeats", "1",
            "--export", {str(storage / "run.png")!r}]
try:
    main()
except SystemExit as exit:
    assert exit.code == 0
print({{"torch", "jax", "tensorstore", "transformers", "safetensors"}} & set(sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.endswith("set()\n")
