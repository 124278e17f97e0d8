"""When a child is given up, and when not."""

import os
import time
from collections.abc import Iterator

import pytest

from backends.process import children
from backends.process.children import ChildKilledError, Patience, follow, fork
from state.units import GIB, MIB


@pytest.fixture
def nothing_to_read() -> Iterator[int]:
    read_fd, write_fd = os.pipe()
    yield read_fd
    os.close(read_fd)
    os.close(write_fd)


def test_a_child_that_waits_for_a_disk_that_works_is_left_alone(
    nothing_to_read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def unwritten_bytes() -> int:
        """Falls ten times, then stays."""
        looks.append(max(GIB - 32 * MIB * len(looks), GIB - 320 * MIB))
        return looks[-1]

    monkeypatch.setattr(children, "_CHECK_S", 0.1)
    monkeypatch.setattr(children, "unwritten_bytes", unwritten_bytes)
    pid, read_fd = fork(lambda emit: time.sleep(60), close_fds=())
    with pytest.raises(ChildKilledError, match="hung: no byte moved"):
        follow(pid, read_fd, Patience(stall_s=0.35), lambda event: None, nothing_to_read, lambda: None)
    assert len(looks) > 12, "it was killed while the disk worked"


def test_dirty_pages_of_others_that_flicker_are_no_progress(
    nothing_to_read: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[int] = []

    def unwritten_bytes() -> int:
        looks.append(GIB + (len(looks) % 2) * 64 * MIB)
        return looks[-1]

    monkeypatch.setattr(children, "_CHECK_S", 0.1)
    monkeypatch.setattr(children, "unwritten_bytes", unwritten_bytes)
    pid, read_fd = fork(lambda emit: time.sleep(60), close_fds=())
    with pytest.raises(ChildKilledError, match="hung: no byte moved"):
        follow(pid, read_fd, Patience(stall_s=0.5), lambda event: None, nothing_to_read, lambda: None)
    assert len(looks) < 40
