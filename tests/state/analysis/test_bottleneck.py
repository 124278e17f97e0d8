from typing import Any

import msgspec
import pytest

from state.analysis.bottleneck import BUSY_SHARE, MOST, STORAGE_SHARE, Bottleneck, bottleneck
from state.analysis.rows import MethodResult, OperationSummary
from state.plan import OPERATIONS, Operation, Plan
from state.run.records import Limits

#: A second moves 1 GB, encodes 50 MB, decodes 200 MB, and makes 2,000 files.
LIMITS = Limits(
    write_bytes_per_s=1e9,
    read_bytes_per_s=2e9,
    codec_encode_bytes_per_s=50e6,
    codec_decode_bytes_per_s=200e6,
    file_write_s=0.0005,
    file_read_s=0.0001,
)
MB_100 = 100_000_000


def row(time_s: float, *, cpu_s: float = 0.0, **values: Any) -> MethodResult:
    """A method of 100 MB whose save and load take the same time."""
    summary = OperationSummary(
        samples_s=(time_s,),
        median_s=time_s,
        low_s=None,
        high_s=None,
        rate_bytes_per_s=MB_100 / time_s,
        peak_rss_bytes=None,
        extra_rss_bytes=None,
        cpu_s=cpu_s,
        device_bytes=None,
        limit_fraction=None,
        speedup_vs_tensorstore=None,
    )
    made = MethodResult(
        method="m",
        concurrency=None,
        chunk_bytes=None,
        codec=None,
        status="done",
        error=None,
        verified=True,
        rounds_done=1,
        save=summary,
        load=summary,
        logical_bytes=MB_100,
        stored_bytes=MB_100,
        file_count=1,
        delete_s=None,
        spec=None,
        run_id="r",
    )
    return msgspec.structs.replace(made, **values)


def of(result: MethodResult, operation: Operation = "save", limits: Limits = LIMITS) -> Bottleneck:
    found = bottleneck(result, operation, limits, Plan(), cores=4)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("result", "operation", "cause", "words"),
    [
        (row(0.11), "save", "storage", "storage: 91 % of what it gives a plain writer"),
        (row(0.055), "load", "storage", "storage: 91 % of what it gives a plain reader"),
        (row(0.095), "save", "storage", "storage: 105 % of what it gives a plain writer"),
        (row(2.5, codec="gzip:1"), "save", "CPU", "CPU: encoding gzip:1 on one core explains 80 %"),
        (row(0.8, codec="gzip:1"), "load", "CPU", "CPU: decoding gzip:1 on one core explains 62 %"),
        (row(0.6, codec="gzip:1", concurrency=128), "save", "CPU", "CPU: encoding gzip:1 on 4 cores explains 83 %"),
        (row(1.0, cpu_s=0.95), "save", "CPU", "CPU: 0.950 s of processor time keep one core 95 % busy"),
        (row(1.0, cpu_s=3.8, concurrency=128), "save", "CPU", "CPU: 3.80 s of processor time keep 4 cores 95 % busy"),
        (row(7.0, file_count=11_415), "save", "metadata", "metadata: 11,415 files at 0.500 ms each explain 82 %"),
        (row(1.0, file_count=11_415), "load", "metadata", "metadata: 11,415 files at 0.100 ms each explain 100 %"),
        (
            row(2.0, file_count=11_415, cpu_s=4.0, concurrency=128),
            "save",
            "metadata",
            "metadata: 11,415 files at 0.500 ms each, one after the other, would take 2.9 times as long",
        ),
        (
            row(1.0, cpu_s=0.5),
            "save",
            "the method itself",
            "the method itself: of its time, storage 10 %, files 0 %, the processor 50 %",
        ),
    ],
)
def test_what_bounds_a_method_is_named_with_its_figures(
    result: MethodResult, operation: Operation, cause: str, words: str
) -> None:
    found = of(result, operation)
    assert (found.cause, found.sentence) == (cause, words)


def test_bytes_that_a_codec_saved_are_not_held_against_the_device() -> None:
    small = row(0.1, codec="zstd:1", stored_bytes=MB_100 // 4)
    fast = msgspec.structs.replace(LIMITS, codec_encode_bytes_per_s=5e9)
    assert of(small, limits=fast).cause == "the method itself"
    assert of(row(0.1), limits=fast).cause == "storage"


def test_files_go_before_the_processor_time_that_they_take() -> None:
    assert of(row(7.0, file_count=11_415, cpu_s=6.5)).cause == "metadata"


def test_of_a_codec_and_many_files_the_one_that_explains_more_is_named() -> None:
    assert of(row(8.0, codec="gzip:1", file_count=11_415)).cause == "metadata"
    slow = msgspec.structs.replace(LIMITS, codec_encode_bytes_per_s=14e6)
    assert of(row(9.0, codec="gzip:9", file_count=11_415), limits=slow).cause == "CPU"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_nothing_is_said_where_too_little_is_known(operation: Operation) -> None:
    assert bottleneck(row(0.11), operation, Limits(), Plan(), cores=4) is None
    assert bottleneck(row(0.11), operation, LIMITS, Plan(), cores=None) is None
    assert bottleneck(row(1.0, save=None, load=None), operation, LIMITS, Plan(), cores=4) is None
    device_only = Limits(write_bytes_per_s=1e9, read_bytes_per_s=1e9)
    assert bottleneck(row(9.0, file_count=11_415), operation, device_only, Plan(), cores=4) is None, (
        "it may be the files"
    )
    near = bottleneck(row(0.11), operation, device_only, Plan(), cores=4)
    assert near is not None
    assert near.cause == "storage"


def test_the_thresholds_are_where_they_say() -> None:
    assert of(row(0.1 / STORAGE_SHARE * 0.999)).cause == "storage"
    assert of(row(0.1 / STORAGE_SHARE * 1.001)).cause == "the method itself"
    assert of(row(1.0, file_count=2001)).cause == "metadata"
    assert of(row(1.0, file_count=round(MOST * 2000) - 1)).cause == "the method itself"
    assert of(row(1.0, cpu_s=BUSY_SHARE)).cause == "CPU"
    assert of(row(1.0, cpu_s=BUSY_SHARE - 0.01)).cause == "the method itself"


@pytest.mark.parametrize(
    ("cpu_s", "spec", "cause", "words"),
    [
        (1.0, {"threads": 2}, "the method itself", "the processor 50 %"),
        (1.7, {"threads": 2}, "CPU", "keep 2 cores 85 % busy"),
        (1.7, {"threads": 64}, "the method itself", "the processor 42 %"),
        (1.0, {"threads": "many"}, "CPU", "keep one core 100 % busy"),
        (1.05, {}, "CPU", "keep one core 105 % busy"),
        (1.5, {}, "the method itself", "the processor 75 %"),
    ],
)
def test_processor_time_is_held_against_the_threads_that_a_method_has(
    cpu_s: float, spec: dict[str, object], cause: str, words: str
) -> None:
    found = of(row(1.0, cpu_s=cpu_s, spec=spec))
    assert found.cause == cause
    assert words in found.sentence


@pytest.mark.parametrize(("operation", "rule"), [("save", {"durability": "buffered"}), ("load", {"cache": "warm"})])
def test_where_the_rules_allow_the_page_cache_it_is_called_that(operation: Operation, rule: dict[str, str]) -> None:
    plan = msgspec.convert(rule, Plan)
    found = bottleneck(row(0.06), operation, LIMITS, plan, cores=4)
    assert found is not None
    assert found.cause == "page cache"
    assert found.sentence.startswith("page cache: ")
    other: Operation = "load" if operation == "save" else "save"
    found = bottleneck(row(0.06), other, LIMITS, plan, cores=4)
    assert found is not None
    assert found.cause == "storage"


def test_on_a_gpu_whose_transfers_are_no_cause_yet_nothing_is_claimed() -> None:
    assert bottleneck(row(0.11), "save", LIMITS, Plan(device="cuda"), cores=4) is None


def test_the_larger_of_codec_and_files_is_named() -> None:
    encoded = row(10.0, codec="gzip:1", file_count=8_000)
    slow_codec = msgspec.structs.replace(LIMITS, codec_encode_bytes_per_s=MB_100 / 9, file_write_s=0.00075)
    assert of(encoded, limits=slow_codec).cause == "CPU"
    slow_files = msgspec.structs.replace(LIMITS, codec_encode_bytes_per_s=MB_100 / 6, file_write_s=0.0011)
    assert of(encoded, limits=slow_files).cause == "metadata"
