"""Places that lack something: it works there, or one sentence says what is missing."""

import os
import resource
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from tests.backends.runs import scratch_folders
from tests.stress.place import why_no_container

COMMAND = Path(sys.executable).with_name("ckpt-tui")
MIB = 1 << 20
#: What fails first in a narrow address space depends on the libraries and on the number of cores.
LACKS = ("out of memory", "no further thread or process may be started")


def measured(
    storage: Path,
    model: Path,
    *before: str,
    limit: tuple[int, int] | None = None,
    variables: Mapping[str, str | None] = MappingProxyType({}),
) -> subprocess.CompletedProcess[str]:
    """A run there, of a method that needs little and of one that needs threads and files.

    Args:
        storage: Where.
        model: Of what.
        before: A command that makes the place, and takes the command to be run in it.
        limit: A limit of the system, and what it is.
        variables: Variables of the environment; None for those that are not there.
    """
    environment = {name: value for name, value in {**os.environ, **variables}.items() if value is not None}
    return subprocess.run(
        [
            *(*before, str(COMMAND), "run", "--storage", str(storage), "--model", str(model), "--repeats", "1"),
            *("--methods", "pytorch,ts+concurrency", "--format", "markdown"),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env=environment,
        preexec_fn=None if limit is None else lambda: resource.setrlimit(limit[0], (limit[1], limit[1])),
    )


def assert_well(told: subprocess.CompletedProcess[str], storage: Path) -> None:
    assert told.returncode == 0, told.stderr
    assert "Traceback" not in told.stderr
    assert scratch_folders(storage) == []


@pytest.mark.parametrize(
    "variables",
    [
        {"HOME": None, "XDG_STATE_HOME": None, "XDG_DATA_HOME": None, "XDG_CONFIG_HOME": None, "XDG_CACHE_HOME": None},
        {"LC_ALL": "C", "LANG": None, "TERM": None, "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONOPTIMIZE": "2"},
        {"TMPDIR": "/nowhere"},
    ],
    ids=["no home", "no locale", "no assertions", "no folder for temporary files"],
)
def test_it_works_whatever_the_environment_lacks(
    variables: dict[str, str | None], small_model: Path, storage: Path
) -> None:
    assert_well(measured(storage, small_model, variables=variables), storage)


def test_a_current_folder_that_is_deleted_is_missed_only_by_who_names_it(
    small_model: Path, storage: Path, tmp_path: Path
) -> None:
    gone = 'mkdir {0} && cd {0} && rmdir {0} && exec "$@"'.format(tmp_path / "gone")
    assert_well(measured(storage, small_model, "sh", "-c", gone, "sh"), storage)
    told = measured(Path(), small_model, "sh", "-c", gone, "sh")
    assert told.returncode == 2
    assert told.stderr.startswith("ckpt-tui: the storage folder . ")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("what", "most", "words"),
    [
        (resource.RLIMIT_NOFILE, 24, ("too many files are open at once",)),
        (resource.RLIMIT_FSIZE, MIB, ("a file is larger than it may be here",)),
        (resource.RLIMIT_AS, 680 * MIB, LACKS),
        (resource.RLIMIT_AS, 900 * MIB, LACKS),
        (resource.RLIMIT_AS, 1100 * MIB, LACKS),
    ],
    ids=["open files", "size of a file", "address space", "address space for libraries", "address space for threads"],
)
def test_what_a_limit_forbids_is_told_as_that(
    what: int, most: int, words: tuple[str, ...], small_model: Path, storage: Path
) -> None:
    told = measured(storage, small_model, limit=(what, most))
    assert told.returncode in (1, 2)
    assert any(sentence in told.stdout + told.stderr for sentence in words)
    assert "Traceback" not in told.stderr
    assert scratch_folders(storage) == []


def test_a_system_without_proc_is_told_as_that(small_model: Path, storage: Path) -> None:
    without = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc && exec "$@"', "sh"]
    if subprocess.run([*without, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no mount namespace can be made here")
    told = measured(storage, small_model, *without)
    assert told.returncode == 1
    assert told.stderr.startswith("ckpt-tui: this system shows no /proc: mount it")
    assert told.stderr.count("\n") == 1


@pytest.mark.parametrize("memory_bytes", [0, 600_000_000], ids=["all memory", "600 MB"])
def test_a_container_has_enough_or_is_told_what_it_lacks(memory_bytes: int, small_model: Path, storage: Path) -> None:
    if why := why_no_container(memory_bytes):
        pytest.skip(why)
    place = [sys.executable, "-m", "tests.stress.place", "--memory", str(memory_bytes), str(storage)]
    told = measured(storage, small_model, *place)
    assert_well(told, storage)
