"""What the doctor says of memory; the rest of it is in test_cli."""

import pytest

from state.analysis.memory_taken_back import FreshMemory
from tui.cli import doctor


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (
            FreshMemory(10**9, (0.2,) * 3, 8.0, 0.2),
            "✓ no free memory was seen to be taken back in that time (1.00 GB took 0.200 s per GB after 8 s",
        ),
        (FreshMemory(10**9, (0.2,) * 3, 8.0, 2.2), "! the machine's host takes free memory back (1.00 GB took 2.20 s"),
        (None, "! too little memory is available"),
    ],
)
def test_the_doctor_says_that_it_measures_memory_and_what_came_out(
    memory: FreshMemory | None, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "measure_fresh_memory", lambda: memory)
    doctor._memory()
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("  measuring for about ten seconds")
    assert second.startswith(words)
