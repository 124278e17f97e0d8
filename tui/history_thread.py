"""The history behind an event loop: it is read and written in threads, and nothing that runs waits for it."""

import asyncio
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from state.paths import history_file
from state.run.events import Event, RunFinished, RunInterrupted, RunRefused, TrialFailed, TrialFinished
from state.run.records import Run

if TYPE_CHECKING:
    from state.history.store import History

_Answer = TypeVar("_Answer")


class Keeper:
    """Keeps runs as they go on, and answers questions about those that were kept.

    Args:
        tell: Called with a sentence that people should read; with each only once.
    """

    def __init__(self, tell: Callable[[str], None]) -> None:
        self._tell = tell
        self._path = history_file()
        self._told: set[str] = set()
        self._history: History | None = None
        self._turn = threading.Lock()  # a thread goes on when whoever waits for it is cancelled
        self._waiting: Run | None = None
        self._writing: asyncio.Task[None] | None = None

    def note(self, event: Event, run: Run) -> None:
        """Have a run written if this event ended something in it. Its trials go on meanwhile.

        A state that comes while another is being written waits, and is left out if a later one comes.
        """
        ends = isinstance(event, TrialFinished | TrialFailed | RunFinished | RunRefused | RunInterrupted)
        if not ends or not run.has_outcome:
            return
        self._waiting = run
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        while self._waiting is not None:
            run, self._waiting = self._waiting, None
            await self._keep(run)

    async def _keep(self, run: Run) -> None:
        try:
            await self.ask(lambda history: history.keep(run))
        except Exception as error:  # a run must not fail for that, whatever it is
            self._say(f"not kept: {error}")

    async def ask(self, question: "Callable[[History], _Answer]") -> _Answer:
        """The answer to a question, or the outcome of a change, in a thread.

        Raises:
            CkptTuiError: What the history says, also if it cannot be opened.
        """
        answer, notice = await asyncio.to_thread(self._answer, question)
        if notice:
            self._say(notice)
        return answer

    def _answer(self, question: "Callable[[History], _Answer]") -> tuple[_Answer, str]:
        from state.history.store import History  # with SQLite, which nobody needs before the first result

        with self._turn:
            if self._history is None:
                self._history = History(self._path)
            return question(self._history), self._history.notice

    def _say(self, sentence: str) -> None:
        if sentence not in self._told:
            self._told.add(sentence)
            self._tell(sentence)

    async def close(self) -> None:
        """Write what waits, and let go of the history."""
        if self._writing is not None:
            await self._writing
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        with self._turn:
            if self._history is not None:
                self._history.close()
                self._history = None
