"""Plain characters where there are no others."""

import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from tests.tui.terminal import Terminal
from tui.plain_characters import plain

COMMAND = Path(sys.executable).with_name("ckpt-tui")


@settings(deadline=None)
@given(st.text())
def test_whatever_is_written_becomes_ascii(text: str) -> None:
    assert plain(text).isascii()
    assert plain(plain(text)) == plain(text)


@pytest.mark.parametrize("text", ["─│╭╮╰╯ ✓ ✗ █▓▒░", "0.97 s ±5 % · ≈80 %", "モデル", "naïve", "…", "±", "x²"])
def test_it_is_as_wide_as_it_was(text: str) -> None:
    assert cell_len(plain(text)) == cell_len(text)


def test_what_has_a_likeness_gets_it() -> None:
    assert plain("╭─ ✓ naïve … │ ■ 1–2 ×3") == "+- v naive ~ | # 1-2 x3"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "iso-8859-15", "cp437", "koi8-r"])
def test_results_come_in_every_encoding_without_question_marks(
    encoding: str, small_model: Path, storage: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", encoding)
    result = subprocess.run(
        [COMMAND, "run", "--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1"],
        capture_output=True,
        check=True,
    )
    assert "verified" in result.stdout.decode(encoding)
    assert b"?" not in result.stdout + result.stderr


def test_run_takes_the_option(small_model: Path, storage: Path) -> None:
    arguments = ("--model", small_model, "--storage", storage, "--methods", "pytorch", "--repeats", "1")
    result = subprocess.run([COMMAND, "run", "--ascii", *arguments], capture_output=True, check=True)
    assert (result.stdout + result.stderr).isascii()


def contains(words: str, text: str) -> bool:
    return words in text


@pytest.mark.parametrize("how", ["--ascii", "encoding"])
def test_every_screen_is_plain(how: str, storage: Path, small_model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if how == "encoding":
        monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    options = ("--ascii",) if how == "--ascii" else ()
    terminal = Terminal(COMMAND, *options, "--storage", str(storage), "--model", str(small_model), lines=40)
    terminal.wait_for(lambda text: "q Quit" in text)
    for key, words in (("?", "Help"), ("\x1b", "q Quit"), ("s", "Setup"), ("\x1b", "q Quit"), ("h", "History")):
        terminal.process.send(key)
        terminal.wait_for(partial(contains, words))
        terminal.settle(0.5)
        raw = terminal.raw.decode("latin-1")
        others = {character for character in raw if not character.isascii()}
        assert others <= (set() if how == "--ascii" else set("·±²×")), others
