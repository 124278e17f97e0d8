"""What a machine gives besides its storage device, measured on a real disk and with the real codecs."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

from backends.measuring import machine_limits
from backends.measuring.machine_limits import FILE_BYTES, PIECE_BYTES, codec_rates, file_costs, measure_machine, pieces
from backends.storage import pagecache
from backends.tensors import StateDict
from state.codecs import Codec
from state.plan import Plan
from state.run.events import MachineMeasured, TrialStarted
from state.run.records import Limits
from tests.backends.runs import measure, statuses
from tests.backends.samples import folder_on_disk


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with folder_on_disk(tmp_path) as folder:
        yield folder


@pytest.fixture(scope="module")
def tensors() -> StateDict:
    generator = torch.Generator().manual_seed(0)
    return {
        "weight": (torch.randn(1000, 3000, generator=generator) * 0.02).bfloat16(),
        "empty": torch.zeros(0, 3),
        "bias": torch.zeros(300),
    }


@pytest.mark.parametrize("plan", [Plan(), Plan(codec=Codec("blosc-lz4", 5), cache="warm", durability="buffered")])
def test_everything_that_a_cpu_has_is_measured_and_nothing_is_left_on_the_disk(
    disk: Path, tensors: StateDict, plan: Plan
) -> None:
    limits = measure_machine(tensors, plan, disk)
    measured = {name for name, value in msgspec.structs.asdict(limits).items() if value is not None}
    assert measured == {
        *("memory_copy_bytes_per_s", "gzip_bytes_per_s", "zstd_bytes_per_s"),
        *("codec_encode_bytes_per_s", "codec_decode_bytes_per_s", "file_write_s", "file_read_s"),
    }
    assert all(getattr(limits, name) > 0 for name in measured)
    assert (limits.codec_encode_bytes_per_s == limits.gzip_bytes_per_s) == (plan.codec == Codec("gzip", 1))
    assert list(disk.iterdir()) == []


def test_the_sample_is_spread_over_the_bytes_of_all_tensors(tensors: StateDict) -> None:
    small, large = tensors["bias"], tensors["weight"]
    third = (small.nbytes + large.nbytes) // 3
    taken = pieces({"small": small, "large": large}, 8)
    assert [array.nbytes for array in taken] == [small.nbytes, PIECE_BYTES, third], "each stays within its tensor"
    assert pieces({"w": torch.arange(4 * PIECE_BYTES, dtype=torch.uint8)}, 2)[1][0] == 2 * PIECE_BYTES % 256
    assert pieces({"only": torch.zeros(0)}, 8) == []
    assert codec_rates([], Codec()) == (None, None)


def test_what_compresses_well_is_encoded_faster() -> None:
    noise = np.random.default_rng(0).integers(0, 256, PIECE_BYTES, np.uint8)
    dense, _ = codec_rates([noise], Codec("gzip", 9))
    sparse, _ = codec_rates([np.zeros(PIECE_BYTES, np.uint8)], Codec("gzip", 9))
    assert dense is not None
    assert sparse is not None
    assert sparse > dense


def test_a_small_file_is_made_as_tensorstore_makes_one(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(machine_limits, "_MOST_FILES", 3)
    monkeypatch.setattr(
        machine_limits, "full_sync", lambda fd: calls.append(Path(f"/proc/self/fd/{fd}").readlink().name)
    )
    evict = pagecache.evict

    def look(folder: Path) -> None:
        evict(folder)
        sizes = [path.stat().st_size for path in folder.iterdir()]
        seen.append((len(sizes), sum(sizes)))

    monkeypatch.setattr(pagecache, "evict", look)
    write_s, read_s = file_costs(disk / "files", durable=True, cache="cold")
    assert write_s > 0
    assert read_s > 0
    assert len(calls) >= 4
    assert calls == [name for n in range(len(calls) // 2) for name in (f"{n - 1 if n else 'warm-up'}.__lock", "files")]
    (counted,) = seen
    assert counted == (len(calls) // 2, len(calls) // 2 * FILE_BYTES)
    calls.clear()
    file_costs(disk / "files", durable=False, cache="warm")
    assert calls == []
    assert len(seen) == 1, "warm files are read as they are"


def test_a_run_measures_its_machine_before_the_first_trial(small_model: Path, disk: Path) -> None:
    run, events = measure(Plan(model=str(small_model), storage=str(disk), repeats=1, methods=("pytorch",)))
    kinds = [type(event) for event in events if isinstance(event, MachineMeasured | TrialStarted)]
    assert kinds[0] is MachineMeasured
    assert kinds.count(MachineMeasured) == 1
    assert run.limits.codec_encode_bytes_per_s is not None


def test_a_machine_that_cannot_be_measured_costs_the_run_nothing_but_a_sentence(
    small_model: Path, disk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Every Python imports this module of its own accord when it starts, the worker too.
    (tmp_path / "sitecustomize.py").write_text(
        "import os, fcntl\nreal = fcntl.lockf\ndef lockf(*arguments): raise OSError(37, 'no locks here')\n"
        "fcntl.lockf = lockf\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    run, seen = measure(Plan(model=str(small_model), storage=str(disk), repeats=1, methods=("pytorch",)))
    (measured,) = [event for event in seen if isinstance(event, MachineMeasured)]
    assert measured.failure is not None
    assert "no locks here" in measured.failure.what
    assert run.limits == Limits()
    assert any("no locks here" in sentence for sentence in run.advice)
    assert statuses(run) == {"pytorch": ("done", "done")}
