"""When something goes wrong: a lost file, a flipped bit, a kill, a full disk."""

import random
import re
from pathlib import Path
from typing import Final

import pytest

from backends.storage.folder import files_below
from backends.tensors import StateDict, VerificationError, verify
from backends.testing import samples
from backends.testing.harness import Harness
from backends.testing.saver import Order, Saver

_FILE_LIMIT_BYTES: Final = 4096
_MORE_KILLS: Final = 50
#: Enough of a random tensor to be found in a file, and what a row of the smallest tile has.
_PATTERN_BYTES: Final = 32

# A library may finish in another thread what it began before a load failed, and complain when nobody listens any more.
ignore_stragglers = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning", "ignore::pytest.PytestUnhandledThreadExceptionWarning"
)


class FaultTests(Harness):
    """A load gives the whole model or raises, and a save that cannot write raises."""

    @ignore_stragglers
    def test_a_lost_file_is_noticed(self, disk: Path) -> None:
        """The largest, which holds tensors: some formats read a lost chunk as zeros."""
        state = self.state(samples.two_tensors())
        self.round_trip(state, disk)
        files = sorted(files_below(disk), key=lambda path: path.stat().st_size)
        hidden = files[-1].rename(disk.parent / "hidden")
        assert self.notices(state, disk), f"{files[-1].name}, the largest file, is lost, and a load gives the model"
        hidden.rename(files[-1])
        verify(self.load(disk), state, self.device)

    @ignore_stragglers
    def test_a_flipped_bit_is_noticed(self, disk: Path) -> None:
        state = self.state(samples.two_tensors())
        self.round_trip(state, disk)
        for what, copies in _places(state, disk):
            noticed = []
            for path, offset in copies:
                _flip(path, offset)
                noticed.append(self.notices(state, disk))
                _flip(path, offset)
            assert any(noticed), f"nobody sees a flipped bit of {what} in {[path.name for path, _ in copies]}"
        verify(self.load(disk), state, self.device)

    @ignore_stragglers
    def test_after_a_kill_at_any_moment_a_load_gives_the_whole_model_or_raises(self, disk: Path, saver: Saver) -> None:
        state, dice = self.state(samples.layers()), random.Random(self.target)
        assert self.notices(state, _made(disk / "empty"))
        whole = saver.do(Order(self.target, self.plan, str(_made(disk / "whole"))))
        assert whole.end == "returned", saver.log()
        verify(self.load(disk / "whole"), state, self.device)
        ends = set()
        moments_s = [whole.save_s * 1.1 * (number + dice.random()) / self.kills for number in range(self.kills)]
        # The kill of a save that takes milliseconds may come too late: then at once, until one does not.
        for number, kill_after_s in enumerate((*moments_s, *[0.0] * _MORE_KILLS)):
            if number >= self.kills and "killed" in ends:
                break
            folder = _made(disk / str(number))
            outcome = saver.do(Order(self.target, self.plan, str(folder), kill_after_s))
            assert outcome.end in ("killed", "returned"), saver.log()
            ends.add(outcome.end)
            try:
                loaded = self.load(folder)
            except Exception:
                assert outcome.end == "killed", "the save had returned"
                continue
            try:
                verify(loaded, state, self.device)
            except VerificationError as error:
                pytest.fail(f"killed after {kill_after_s:.3f} of {whole.save_s:.3f} s, a load does not raise: {error}")
        assert "killed" in ends, "every save had ended before it was killed, so nothing was shown"

    @ignore_stragglers
    def test_a_save_that_cannot_write_raises(self, disk: Path, saver: Saver) -> None:
        """As on a full disk: no file may become larger than a page. An asynchronous save says so at its end."""
        outcome = saver.do(Order(self.target, self.plan, str(disk), file_limit_bytes=_FILE_LIMIT_BYTES))
        assert outcome.end == "raised", f"a save that could not write {outcome.end}: {saver.log()}"
        assert self.notices(self.state(samples.layers()), disk)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _places(state: StateDict, folder: Path) -> list[tuple[str, list[tuple[Path, int]]]]:
    """Where the first, a middle and the last bytes of each tensor lie: whose they are; file and offset of each copy.

    Some formats leave copies that nobody reads any more. Where none is found as it is, they were compressed, and must
    be in the middle of the largest file.
    """
    contents = {path: path.read_bytes() for path in files_below(folder)}
    places: list[tuple[str, list[tuple[Path, int]]]] = []
    for name, tensor in state.items():
        content = samples.raw(tensor)
        last = len(content) - _PATTERN_BYTES
        for start in sorted({0, last // 2 // _PATTERN_BYTES * _PATTERN_BYTES, last}):
            pattern = re.escape(content[start : start + _PATTERN_BYTES])
            matches = [(path, match) for path, file in contents.items() for match in re.finditer(pattern, file)]
            if matches:
                places.append((f"{name!r}", [(path, match.start() + _PATTERN_BYTES // 2) for path, match in matches]))
    largest = max(contents, key=lambda path: len(contents[path]))
    return places or [("the largest file", [(largest, len(contents[largest]) // 2)])]


def _flip(path: Path, offset: int) -> None:
    """Turn one bit over."""
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 16]))
