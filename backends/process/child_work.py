"""Work that the worker has done in children: who does it, and how an answer comes back."""

from collections.abc import Callable
from typing import Protocol, TypeVar

from backends.process.children import Emit, Patience
from state.run.events import Event, RunRefused, WorkerEvent
from state.run.records import Failure

_Answer = TypeVar("_Answer", bound=WorkerEvent)


class RefusedError(Exception):
    """The run cannot start."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.what)
        self.failure = failure


class Host(Protocol):
    """What a run needs of the worker."""

    def emit(self, event: Event) -> None:
        """Tell the launcher."""

    def do(
        self,
        work: Callable[[Emit], None],
        patience: Patience,
        on_event: Callable[[WorkerEvent], None],
        on_start: Callable[[int], None] = ...,
    ) -> Failure | None:
        """Do a piece of work in a child; why it did not come to its end."""


def ask_child(
    host: Host,
    work: Callable[[Emit], None],
    patience: Patience,
    answers: tuple[type[_Answer], ...],
    on_event: Callable[[WorkerEvent], None],
    on_start: Callable[[int], None] = lambda pid: None,
) -> tuple[_Answer | None, Failure | None]:
    """Have a child do a piece of work that ends in an answer.

    Args:
        host: The worker.
        work: What the child does.
        patience: How long it may take.
        answers: The kinds of event that are an answer.
        on_event: Called with each of the child's events, the answer among them.
        on_start: Called with the child's process number.

    Returns:
        The answer if there is one; and why the child did not come to its end, if it did not.

    Raises:
        RefusedError: If the child says that the run cannot go on.
    """
    found: list[_Answer] = []

    def take(event: WorkerEvent) -> None:
        if isinstance(event, RunRefused):
            raise RefusedError(event.failure)
        if isinstance(event, answers):
            found.append(event)
        on_event(event)

    failure = host.do(work, patience, take, on_start)
    if not found and failure is None:
        failure = Failure("it ended without a result", "see the log")
    return found[-1] if found else None, failure
