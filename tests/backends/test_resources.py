"""What control groups leave this process."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.resources import Limits, limits, memory_bytes, usable_cores
from backends.storage.folder import available_memory_bytes
from tests.stress.place import memory_group

V2 = {"limit": "memory.max", "used": "memory.current", "cache": "inactive_file"}
V1 = {"limit": "memory.limit_in_bytes", "used": "memory.usage_in_bytes", "cache": "total_inactive_file"}
UNLIMITED = {"memory.max": "max", "memory.limit_in_bytes": str(2**63 - 4096)}


def tell(proc: Path, groups: str, *mounts: str) -> Path:
    proc.mkdir()
    (proc / "cgroup").write_text(groups)
    (proc / "mountinfo").write_text("".join(f"30 23 0:26 {mount}\n" for mount in mounts))
    return proc


def give(folder: Path, names: dict[str, str], limit: int | None, used: int, cache: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names["limit"]).write_text(f"{limit}\n" if limit is not None else UNLIMITED[names["limit"]])
    (folder / names["used"]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file 1\n{names['cache']} {cache}\n")


def test_the_tightest_group_above_counts(tmp_path: Path) -> None:
    top = tmp_path / "fs"
    give(top / "user" / "job", V2, None, 300, 100)
    give(top / "user", V2, 1000, 600, 200)
    give(top, V2, 5000, 600, 0)
    (top / "user" / "job" / "cpu.max").write_text("max 100000\n")
    (top / "user" / "cpu.max").write_text("150000 100000\n")
    proc = tell(tmp_path / "proc", "0::/user/job\n", f"/ {top} rw - cgroup2 cgroup2 rw,nsdelegate")
    assert limits(proc) == Limits(1000, 600, 1.5)
    give(top / "user", V2, 100, 600, 0)
    assert limits(proc) == Limits(100, 0, 1.5)


def test_the_first_version_has_a_tree_for_each_controller(tmp_path: Path) -> None:
    memory, cpu = tmp_path / "a memory", tmp_path / "cpu"
    give(memory / "job", V1, 600, 500, 50)
    give(memory, V1, None, 10**9, 0)
    (cpu / "other").mkdir(parents=True)
    (cpu / "other" / "cpu.cfs_quota_us").write_text("50000")
    (cpu / "other" / "cpu.cfs_period_us").write_text("100000")
    (cpu / "cpu.cfs_quota_us").write_text("-1")
    (cpu / "cpu.cfs_period_us").write_text("100000")
    proc = tell(
        tmp_path / "proc",
        "4:memory:/job\n2:cpu,cpuacct:/other\n0::/\n",
        f"/ {str(memory).replace(' ', chr(92) + '040')} rw shared:9 - cgroup cgroup rw,memory",
        f"/ {cpu} rw - cgroup cgroup rw,cpu,cpuacct",
        f"/ {tmp_path / 'nothing here'} rw - cgroup2 cgroup2 rw",
    )
    assert limits(proc) == Limits(600, 150, 0.5)


@pytest.mark.parametrize("root", ["/docker/abc", "/"], ids=["the mount shows our group", "the path is the host's"])
def test_a_container_without_a_namespace_of_its_own_sees_its_limits(root: str, tmp_path: Path) -> None:
    give(tmp_path / "memory", V1, 600_000_000, 100, 0)
    group = "/docker/abc" if root != "/" else "/docker/elsewhere"
    proc = tell(tmp_path / "proc", f"4:memory:{group}\n", f"{root} {tmp_path / 'memory'} ro - cgroup cgroup rw,memory")
    assert limits(proc).memory_bytes == 600_000_000


@pytest.mark.parametrize("groups", [None, "", "nonsense\n", "4:memory:/job\n"])
def test_where_nothing_is_told_there_is_no_limit(groups: str | None, tmp_path: Path) -> None:
    proc = tmp_path / "proc" if groups is None else tell(tmp_path / "proc", groups, "nonsense")
    assert limits(proc) == Limits(None, None, None)


@pytest.fixture
def group_of_600_mb() -> Iterator[Path]:
    """A real group, of the version that this machine has."""
    with contextlib.ExitStack() as stack:
        try:
            group = stack.enter_context(memory_group(600_000_000))
        except OSError as error:
            pytest.skip(f"no control group can be made here: {error}")
        yield group


def test_a_real_group_limits_what_is_told(group_of_600_mb: Path) -> None:
    code = (
        "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid()));"
        "from backends.process.machine_info import memory_bytes;"
        "from backends.storage.folder import available_memory_bytes;"
        "print(memory_bytes(), available_memory_bytes())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, group_of_600_mb / "cgroup.procs"], capture_output=True, text=True, check=True
    )
    whole_bytes, left_bytes = map(int, told.stdout.split())
    assert 599_000_000 < whole_bytes <= 600_000_000
    assert 0 < left_bytes <= whole_bytes


def test_this_process_has_something() -> None:
    assert usable_cores() >= 1
    assert 0 < available_memory_bytes() <= memory_bytes()
