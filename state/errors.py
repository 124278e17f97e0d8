"""Errors that people meet. Each says in one sentence what happened and what to do about it."""


class CkptTuiError(Exception):
    """Base of every error that is meant for a person.

    Args:
        what: What happened, without a full stop.
        do: What to do now, in the imperative, without a full stop.
    """

    def __init__(self, what: str, do: str) -> None:
        super().__init__(what, do)
        self.what = what
        self.do = do

    def __str__(self) -> str:
        return f"{self.what}: {self.do}."


class RequestError(CkptTuiError):
    """The request was wrong: an unknown name, a value out of range, a contradiction."""


class UnitError(RequestError):
    """A size or a number with a unit could not be read."""


class ModelError(RequestError):
    """The model cannot be found, read, or built as asked for."""


class StorageError(RequestError):
    """The storage folder cannot take the checkpoints."""


class ExportError(RequestError):
    """A result file cannot be written as asked for."""


class HistoryError(CkptTuiError):
    """The history of runs cannot be read or written."""


class SettingsError(RequestError):
    """The user's settings cannot be used."""


class OutputError(CkptTuiError):
    """Standard output cannot be written."""


class UnavailableError(RequestError):
    """A method, device or library that was asked for is not there."""


class WorkerError(CkptTuiError):
    """The worker process could not be started or kept dying."""
