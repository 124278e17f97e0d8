"""Memory below the page cache."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from backends.storage import cache_below as module
from backends.storage.cache_below import cache_below
from state.run.environment import FileSystem


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "9p", "virtiofs", "lustre", "fuse.sshfs", "fuseblk", "fuse"])
def test_what_a_server_or_a_program_keeps_cannot_be_emptied(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _: FileSystem(kind))
    below = cache_below(tmp_path)
    assert below is not None
    assert kind in below.words
    assert not below.is_dropped


def device(sys: Path, number: int) -> Path:
    folder = sys / f"{os.major(number)}:{os.minor(number)}"
    folder.mkdir(parents=True)
    return folder


@pytest.mark.parametrize("way", ["itself", "below a mapper", "a partition"])
@pytest.mark.parametrize("dio", ["0", "1"])
def test_an_image_is_found_wherever_it_is_and_read_past_the_cache_it_is_none(
    way: str, dio: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _: FileSystem("ext4", source="nothing"))
    monkeypatch.setattr(module, "_is_on_a_disk", lambda image, _: image.is_file())
    sys = tmp_path / "sys"
    if way == "a partition":
        (tmp_path / "loop0" / "loop0p1").mkdir(parents=True)
        (tmp_path / "loop0" / "loop0p1" / "partition").write_text("1\n")
        sys.mkdir()
        number = tmp_path.stat().st_dev
        (sys / f"{os.major(number)}:{os.minor(number)}").symlink_to(tmp_path / "loop0" / "loop0p1")
        loop = tmp_path / "loop0" / "loop"
    else:
        found = device(sys, tmp_path.stat().st_dev)
        loop = (found if way == "itself" else found / "slaves" / "loop0") / "loop"
    loop.mkdir(parents=True)
    (loop / "dio").write_text(f"{dio}\n")
    image = tmp_path / "disk.img"
    image.touch()
    (loop / "backing_file").write_text(f"{image}\n")
    below = cache_below(tmp_path, sys)
    if dio == "1":
        assert below is None
    else:
        assert below is not None
        assert str(image) in below.words


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "ext4"])
@pytest.mark.parametrize("is_seen", [True, False])
def test_dropping_the_page_cache_empties_an_image_only_on_a_disk_and_if_it_is_seen(
    kind: str, is_seen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _: FileSystem(kind))
    image = tmp_path / "disk.img"
    if is_seen:
        image.touch()
    assert module._is_on_a_disk(image, tmp_path / "nothing here") == (is_seen and kind == "ext4")


@pytest.mark.parametrize(
    ("name", "words"),
    [("zram0", "no disk but memory"), ("ram3", "no disk but memory"), ("nbd1", "server may keep"), ("vda", "")],
)
@pytest.mark.parametrize("way", ["itself", "below a mapper"])
def test_a_device_that_is_memory_or_somebody_elses_is_none_that_can_be_emptied(
    name: str, words: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _: FileSystem("ext4", source="nothing"))
    (tmp_path / "block" / name).mkdir(parents=True)
    number = tmp_path.stat().st_dev
    link = tmp_path / "sys" / f"{os.major(number)}:{os.minor(number)}"
    if way == "below a mapper":
        (link / "slaves").mkdir(parents=True)
        link = link / "slaves" / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(tmp_path / "block" / name)
    below = cache_below(tmp_path, tmp_path / "sys")
    if not words:
        assert below is None
    else:
        assert below is not None
        assert words in below.words
        assert not below.is_dropped


def test_an_overlay_is_what_lies_under_its_upper_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    upper = tmp_path / "upper"
    overlay = FileSystem("overlay", "/", options=("rw", "lowerdir=/somewhere", f"upperdir={upper}"))
    lies = {upper: FileSystem("nfs4", str(upper))}
    monkeypatch.setattr(module, "filesystem_of", lambda path: lies.get(path, overlay))
    assert cache_below(tmp_path, tmp_path) is None, "an upper folder that cannot be seen from here"
    upper.mkdir()
    found = cache_below(tmp_path, tmp_path)
    assert found is not None
    assert "nfs4" in found.words
    lies.clear()
    assert cache_below(tmp_path, tmp_path) is None, "an upper folder that is seen on the overlay itself"


def test_a_disk_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "filesystem_of", lambda _: FileSystem("ext4"))
    device(tmp_path / "sys", tmp_path.stat().st_dev)
    assert cache_below(tmp_path, tmp_path / "sys") is None
    assert cache_below(tmp_path, tmp_path / "nothing here") is None


@pytest.fixture
def loop_mount(tmp_path: Path) -> Iterator[Path]:
    image, folder = tmp_path / "disk.img", tmp_path / "disk"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(16 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", image], check=False)
    if (
        os.geteuid()
        or made.returncode
        or subprocess.run(["mount", "-o", "loop", image, folder], check=False).returncode
    ):
        pytest.skip("no image can be mounted here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_real_image_is_seen(loop_mount: Path) -> None:
    below = cache_below(loop_mount)
    assert below is not None
    assert "disk.img" in below.words
