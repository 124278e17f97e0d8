"""A place as containers are: little memory, one core, no home, nothing to write to but the storage.

``python -m tests.stress.place STORAGE -- COMMAND`` runs a command in namespaces of its own, with a root that is
read-only but for the storage, 64 MB of shared memory, no home and one core; with `--memory` also in a memory group.
"""

import contextlib
import errno
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import click

_GROUPS: Final = Path("/sys/fs/cgroup")
_ENTER: Final = """
set -eu
mount --make-rprivate /
mount --bind "$STORAGE" "$STORAGE"
mount -o remount,bind,ro /
mount -t tmpfs -o size=64M shm /dev/shm
mount -t proc proc /proc
cd /
exec env -u HOME -u XDG_STATE_HOME -u XDG_DATA_HOME -u XDG_CONFIG_HOME -u XDG_CACHE_HOME taskset -c 0 "$@"
"""


@contextlib.contextmanager
def memory_group(limit_bytes: int) -> Iterator[Path]:
    """A control group with a limit of memory, of the version that this system has.

    Raises:
        OSError: If none can be made here.
    """
    first = (_GROUPS / "memory").is_dir()
    group = (_GROUPS / "memory" if first else _GROUPS) / f"ckpt-tui-{os.getpid()}"
    group.mkdir()
    try:
        (group / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(limit_bytes))
        yield group
    finally:
        while not _is_removed(group):
            time.sleep(0.05)  # whoever was in it takes a moment to be gone


def _is_removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        return False
    return True


def container(storage: Path) -> list[str]:
    """What takes a command there, in front of it. Needs root."""
    return [
        *("env", f"STORAGE={storage}", "unshare", "--user", "--map-root-user", "--mount", "--pid"),
        *("--fork", "--cgroup", "--ipc", "--kill-child"),
        *("sh", "-c", _ENTER, "sh"),
    ]


def why_no_container(memory_bytes: int) -> str:
    """Why none can be made here; empty if one can."""
    try:
        with (
            memory_group(memory_bytes) if memory_bytes else contextlib.nullcontext(),
            tempfile.TemporaryDirectory() as it,
        ):
            made = subprocess.run([*container(Path(it)), "true"], capture_output=True, text=True, check=False)
    except OSError as error:
        return f"no memory group can be made here: {error}"
    return made.stderr.strip() if made.returncode else ""


@click.command(context_settings={"ignore_unknown_options": True})
@click.option("--memory", "memory_bytes", type=int, default=0, help="Of the group, in bytes; 0 for no group.")
@click.argument("storage", type=click.Path(path_type=Path, exists=True, resolve_path=True))
@click.argument("command", nargs=-1, required=True, type=click.UNPROCESSED)
def main(memory_bytes: int, storage: Path, command: tuple[str, ...]) -> None:
    """Run a command there."""
    with contextlib.ExitStack() as stack:
        group = stack.enter_context(memory_group(memory_bytes)) if memory_bytes else None

        def enter() -> None:
            if group is not None:
                (group / "cgroup.procs").write_text(str(os.getpid()))

        status = subprocess.run([*container(storage), *command], check=False, preexec_fn=enter).returncode
    sys.exit(status)


if __name__ == "__main__":
    main()
