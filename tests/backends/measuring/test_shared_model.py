"""The model's memory between processes, with real forks: one fills it, and then nobody changes it."""

import contextlib
import errno
import mmap
import os
import resource
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from backends.measuring import shared_model as arena_module
from backends.measuring.shared_model import Arena
from backends.methods.tensorstore.family import DTYPES
from backends.testing.samples import in_an_arena
from state.model import Model
from state.units import MIB
from tests.backends.samples import bits, info, random_tensor

STATUS = Path("/proc/self/status")
linux = pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="elsewhere there are no seals")


def model(*shapes: tuple[int, ...], dtype: str = "float32") -> Model:
    return Model(
        "m", "", tuple(info(f"t{number}", dtype, shape) for number, shape in enumerate(shapes)), {"tied": "t0"}
    )


def in_a_child(work: Callable[[], object]) -> str:
    """Do something in a process of its own; what it raised, or nothing."""
    read_fd, write_fd = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except BaseException as error:
            os.write(write_fd, repr(error).encode())
        finally:
            os._exit(0)
    os.close(write_fd)
    os.waitpid(pid, 0)
    with os.fdopen(read_fd, "rb") as pipe:
        return pipe.read().decode()


@pytest.fixture(params=["memfd", "temporary file"])
def arena(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Arena]:
    """Filled by a child and sealed as far as can be, on a system with and on one without memfd."""
    if request.param != "memfd":
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with contextlib.closing(Arena(model((3, 5), (2000,)))) as arena:
        assert not in_a_child(lambda: [view.fill_(7) for view in arena.shared_views().values()])
        arena.seal()
        yield arena


def test_what_one_child_fills_another_reads_and_changes_for_itself_alone(arena: Arena) -> None:
    def change() -> None:
        views = arena.views(resident=True)
        assert all((view == 7).all() for view in views.values())
        for view in views.values():
            view.zero_()
        assert not any(view.any() for view in views.values())
        memory = arena.logical_memory()
        memory[:] = bytes(len(memory))

    before = arena.views()
    assert not in_a_child(change)
    for views in (before, arena.views(), arena.views(resident=True)):
        assert torch.equal(views["t0"], torch.full((3, 5), 7.0))
        assert torch.equal(views["t1"], torch.full((2000,), 7.0))


@linux
def test_once_sealed_the_kernel_refuses_every_change() -> None:
    with contextlib.closing(Arena(model((3, 5)))) as arena:
        assert not in_a_child(lambda: arena.shared_views()["t0"].fill_(7))
        arena.seal()

        def each_descriptor() -> None:
            (entry,) = (
                entry
                for entry in list(Path("/proc/self/fd").iterdir())
                if entry.is_symlink() and str(entry.readlink()).startswith("/memfd:")
            )
            changes: tuple[Callable[[], object], ...] = (
                lambda: os.pwrite(int(entry.name), b"x", 0),
                lambda: entry.open("r+b", buffering=0).write(b"x"),
                lambda: os.ftruncate(int(entry.name), 0),
                lambda: mmap.mmap(int(entry.name), mmap.PAGESIZE),
            )
            for change in changes:
                with pytest.raises(PermissionError):
                    change()

        assert not in_a_child(each_descriptor)
        assert "PermissionError" in in_a_child(arena.shared_views)
        assert (arena.views()["t0"] == 7).all()


@linux
def test_sealing_waits_for_a_process_to_be_gone_and_fails_if_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    with contextlib.closing(Arena(model((3, 5)))) as arena:
        ready_fd, write_fd = os.pipe()
        pid = os.fork()
        if pid == 0:
            views = arena.shared_views()
            os.write(write_fd, b"x")
            time.sleep(0.3)
            views.clear()
            os._exit(0)
        os.read(ready_fd, 1)
        monkeypatch.setattr(arena_module, "_SEAL_S", 0.0)
        with pytest.raises(OSError, match="busy") as caught:
            arena.seal()
        assert caught.value.errno == errno.EBUSY
        monkeypatch.setattr(arena_module, "_SEAL_S", 20.0)
        arena.seal()
        os.waitpid(pid, 0)
        os.close(ready_fd)
        os.close(write_fd)


@pytest.mark.parametrize("dtype", sorted(DTYPES))
def test_tensors_start_on_a_page_do_not_overlap_and_have_storages_of_their_own(dtype: str) -> None:
    shapes = ((), (1,), (4096,), (4097,), (0, 5), (13, 17), (3, 0, 2))
    values = {f"t{number}": random_tensor(dtype, shape, number) for number, shape in enumerate(shapes)}
    with in_an_arena(values | {"tied": values["t0"]}) as arena:
        state = arena.state_dict()
    assert bits(state) == bits(values | {"tied": values["t0"]})
    assert state["tied"] is state["t0"]
    for view in state.values():
        assert view.nbytes == 0 or view.data_ptr() % mmap.PAGESIZE == 0
        assert view.untyped_storage().nbytes() == view.nbytes, "torch.save would save the neighbours too"


@pytest.mark.skipif(not STATUS.exists(), reason="only Linux tells how much memory of which kind a process has mapped")
@pytest.mark.parametrize("how", ["by the kernel", "by reading"])
def test_resident_views_map_every_page_copy_none_and_give_it_back(how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def mapped_bytes(kind: str) -> int:
        (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{kind}:"))
        return int(line.split()[1]) * 1024

    if how == "by reading":
        monkeypatch.setattr(arena_module, "_POPULATE_READ", -1)
    start_bytes, own_bytes = mapped_bytes("RssShmem"), mapped_bytes("RssAnon")
    with contextlib.closing(Arena(model((8 * MIB,)))) as arena:
        views = arena.views()
        assert mapped_bytes("RssShmem") - start_bytes < MIB
        views = arena.views(resident=True)
        assert mapped_bytes("RssShmem") - start_bytes >= 32 * MIB
        assert mapped_bytes("RssAnon") - own_bytes < 16 * MIB
        views["t0"].zero_()
        assert mapped_bytes("RssAnon") - own_bytes >= 32 * MIB, "what is written to is a copy"
        views.clear()
    assert mapped_bytes("RssShmem") - start_bytes < MIB


def test_an_arena_that_the_system_does_not_give_leaves_no_descriptor() -> None:
    def ask() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (mmap.PAGESIZE, resource.RLIM_INFINITY))
        os.close(free := os.dup(0))
        with pytest.raises(OSError, match="too large"):
            Arena(model((3 * mmap.PAGESIZE,)))
        assert os.dup(0) == free

    assert not in_a_child(ask)
