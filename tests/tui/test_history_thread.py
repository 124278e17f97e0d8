"""The history behind an event loop."""

import asyncio
import threading
from pathlib import Path

import pytest

from state.errors import HistoryError, RequestError
from state.history.store import History
from state.paths import history_file
from state.run.events import RunFinished, Sampled, TrialFinished
from state.run.records import Run
from tests.state.factories import save
from tests.state.history.test_store import growing
from tui.history_thread import Keeper

ENDED = TrialFinished(0, save(1.0))


async def test_only_what_ended_is_written_and_only_if_anything_came_out() -> None:
    keeper = Keeper(pytest.fail)
    keeper.note(Sampled(0, 1, 1.0, 1, 1.0), growing("run", 1))
    keeper.note(RunFinished(cancelled=True), growing("run", 0))
    await keeper.close()
    assert not history_file().exists()


async def test_states_that_come_faster_than_they_are_written_are_left_out_but_never_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[Run] = []
    begun, may_go_on = threading.Event(), threading.Event()

    def keep(history: History, run: Run) -> None:
        begun.set()
        assert may_go_on.wait(60)
        written.append(run)

    monkeypatch.setattr(History, "keep", keep)
    keeper = Keeper(pytest.fail)
    keeper.note(ENDED, growing("run", 1))
    assert await asyncio.to_thread(begun.wait, 60)
    for done in range(2, 50):
        keeper.note(ENDED, growing("run", done))
    may_go_on.set()
    await keeper.close()
    assert written == [growing("run", 1), growing("run", 49)]


async def test_what_goes_wrong_is_told_once_and_the_next_state_is_tried_again() -> None:
    history_file().parent.parent.mkdir(parents=True)
    history_file().parent.touch()
    told: list[str] = []
    keeper = Keeper(told.append)
    for done in range(1, 4):
        keeper.note(ENDED, growing("run", done))
        with pytest.raises(HistoryError):
            await keeper.ask(lambda history: history.runs())
    assert len(told) == 1
    assert told[0].startswith("not kept: the history in ")
    history_file().parent.unlink()
    keeper.note(ENDED, growing("run", 4))
    await keeper.close()
    with History() as history:
        assert history.get("run") == growing("run", 4), "this process is still there to go on with it"


async def test_a_question_gets_its_answer_while_a_run_is_being_written() -> None:
    keeper = Keeper(pytest.fail)
    for done in range(1, 30):
        keeper.note(ENDED, growing("run", done))
        entries = await keeper.ask(lambda history: history.runs())
        assert len(entries) <= 1
    with pytest.raises(RequestError, match="there is no run"):
        await keeper.ask(lambda history: history.find("nonesuch"))
    await keeper.close()
    with History() as history:
        (entry,) = history.runs()
        assert entry.done == 29


async def test_it_stays_with_the_folder_in_which_it_began(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    keeper, here = Keeper(pytest.fail), history_file()
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "elsewhere"))
    keeper.note(ENDED, growing("run", 1))
    await keeper.close()
    assert here.exists()
    assert not (tmp_path / "elsewhere").exists()
