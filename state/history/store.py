"""The history: every run that was measured, in an SQLite database in the user's data folder.

A run is a row with its head as JSON, and a row per trial. What changed is written when a trial ends, in one
transaction, so that a program that is killed loses at most the trial that it was writing.
"""

import contextlib
import re
import sqlite3
from collections.abc import Collection, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from state.errors import HistoryError, RequestError
from state.history.database import open_database
from state.history.entry import RunEntry, entry_of, is_measured
from state.model import Model
from state.needs import MemoryPlan
from state.paths import history_file
from state.plan import Plan
from state.process_identity import Owner
from state.run.environment import Environment
from state.run.records import Failure, Limits, Run, TrialRecord

#: Fields of a run that have a column of the same name with JSON in it.
_JSON: Final[dict[str, Any]] = {
    "plan": Plan,
    "environment": Environment,
    "model": Model | None,
    "memory": MemoryPlan | None,
    "limits": Limits,
    "limits_failure": Failure | None,
    "refusal": Failure | None,
    "advice": tuple[str, ...],
}
_HEAD: Final = ("created_at", "status", *_JSON)
_NEWEST_FIRST: Final = "ORDER BY created_at DESC, run_id DESC"
_LAST: Final = re.compile(r"last(?:~([0-9]{1,9}))?")
_BASELINE: Final = "baseline"
_TAG: Final = re.compile(r"[^\s,-][^\s,]{0,29}")
_MAX_NAME: Final = 60


class History:
    """The database of runs. A context manager; one thread at a time may use it.

    Args:
        path: The file; by default the one in the user's data folder. It and its folder are made where they are missing.

    Attributes:
        path: The file.
        notice: What people should be told about the opening, in a sentence without a full stop; mostly empty.

    Raises:
        HistoryError: If the file cannot be used, or a newer program has written it. It is left alone then.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path if path is not None else history_file()
        self._kept: Run | None = None
        with self._told():
            self._connection, self.notice = open_database(self.path)

    def __enter__(self) -> Self:
        """The history itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._connection.close()

    # Writing -------------------------------------------------------------------------------------------------------

    def keep(self, run: Run) -> None:
        """Write what has changed of a run since it was last kept here; all of it the first time.

        Raises:
            HistoryError: If it cannot be written; what was there before is untouched.
        """
        before = self._kept if self._kept is not None and self._kept.run_id == run.run_id else None
        with self._transaction():
            self._write(run, before, Owner.this_process(run.run_id))
        self._kept = run

    def add(self, run: Run, *, overwrite: bool = False) -> None:
        """Take in a run from elsewhere. Whoever measured it, here it does not go on any more.

        Raises:
            RequestError: If there is a run of this id and it must not be overwritten; its name and tags stay.
            HistoryError: If it cannot be written.
        """
        with self._transaction():
            if self._has(run.run_id) and not overwrite:
                raise RequestError(
                    f"the run {run.run_id} is in the history already", "leave it out, or replace it with --overwrite"
                )
            self._write(run.stopped() if run.status == "running" else run, None, None)

    def _write(self, run: Run, before: Run | None, owner: Owner | None) -> None:
        exists = self._has(run.run_id)
        if not exists:  # deleted meanwhile, or never there
            before = None
        values = {
            name: _encode(getattr(run, name)) if name in _JSON else getattr(run, name)
            for name in _HEAD
            if before is None or getattr(run, name) is not getattr(before, name)
        }
        values |= {"owner": _encode(owner), "run_id": run.run_id}
        if exists:
            changes = ", ".join(f"{name} = :{name}" for name in values)
            self._connection.execute(f"UPDATE runs SET {changes} WHERE run_id = :run_id", values)
        else:
            places = ", ".join(f":{name}" for name in values)
            self._connection.execute(f"INSERT INTO runs ({', '.join(values)}) VALUES ({places})", values)
        if before is None:
            self._connection.execute("DELETE FROM trials WHERE run_id = ?", (run.run_id,))
        self._connection.executemany(
            "INSERT OR REPLACE INTO trials (run_id, number, status, record) VALUES (?, ?, ?, ?)",
            (
                (run.run_id, number, record.status, _encode(record))
                for number, record in enumerate(run.records)
                if before is None or record is not _record(before, number)
            ),
        )

    def name(self, run_id: str, text: str) -> None:
        """Call a run by a name that no other has; an empty one takes its name away.

        Raises:
            RequestError: If there is no such run, the name is another's, or it is none.
            HistoryError: If it cannot be written.
        """
        text = text.strip()
        with self._transaction():
            self._require(run_id)
            if text:
                self._check_name(run_id, text)
            self._connection.execute("UPDATE runs SET name = ? WHERE run_id = ?", (text or None, run_id))

    def _check_name(self, run_id: str, text: str) -> None:
        if len(text) > _MAX_NAME or not text.isprintable() or text.startswith("-"):
            raise RequestError(
                f"{text[: _MAX_NAME + 1]!a} is no name for a run",
                f"write up to {_MAX_NAME} printable characters, the first of them no dash",
            )
        if _LAST.fullmatch(text) or text == _BASELINE:
            raise RequestError(f"{text!r} means a run already, whatever it is called", "choose another name")
        query = "SELECT run_id FROM runs WHERE (name = ? OR run_id = ?) AND run_id != ?"
        if others := self._ids(query, text, text, run_id):
            raise RequestError(f"{text!r} is the run {others[0]}", "choose another name, or rename that one first")

    def tag(self, run_id: str, *tags: str) -> None:
        """Give a run tags; those that it has already are fine.

        Raises:
            RequestError: If there is no such run, or a tag is none.
            HistoryError: If it cannot be written.
        """
        for tag in tags:
            if not _TAG.fullmatch(tag) or not tag.isprintable():
                raise RequestError(
                    f"{tag[:40]!a} is no tag", "write up to 30 characters without spaces and commas, the first no dash"
                )
        with self._transaction():
            self._require(run_id)
            rows = [(run_id, tag) for tag in tags]
            self._connection.executemany("INSERT OR IGNORE INTO tags (run_id, tag) VALUES (?, ?)", rows)

    def untag(self, run_id: str, *tags: str) -> None:
        """Take tags away from a run; those that it does not have are fine.

        Raises:
            RequestError: If there is no such run.
            HistoryError: If it cannot be written.
        """
        with self._transaction():
            self._require(run_id)
            rows = [(run_id, tag) for tag in tags]
            self._connection.executemany("DELETE FROM tags WHERE run_id = ? AND tag = ?", rows)

    def set_baseline(self, run_id: str | None) -> None:
        """Make one run the baseline, or none.

        Raises:
            RequestError: If there is no such run.
            HistoryError: If it cannot be written.
        """
        with self._transaction():
            if run_id is not None:
                self._require(run_id)
            self._connection.execute("UPDATE runs SET baseline = 0 WHERE baseline = 1")
            self._connection.execute("UPDATE runs SET baseline = 1 WHERE run_id = ?", (run_id,))

    def delete(self, run_ids: Collection[str]) -> None:
        """Delete runs with everything about them: all of them, or none.

        Raises:
            RequestError: If there is no such run, or one still goes on.
            HistoryError: If it cannot be written.
        """
        with self._transaction():
            for run_id in run_ids:
                self._require(run_id)
                query = "SELECT status, owner FROM runs WHERE run_id = ?"
                if is_measured(*self._connection.execute(query, (run_id,)).fetchone()):
                    raise RequestError(f"the run {run_id} still goes on", "stop it first")
            self._connection.executemany("DELETE FROM runs WHERE run_id = ?", [(run_id,) for run_id in run_ids])

    # Reading -------------------------------------------------------------------------------------------------------

    def get(self, run_id: str) -> Run:
        """A run with all its trials; one whose program was killed is cancelled.

        Raises:
            RequestError: If there is no such run.
            HistoryError: If it cannot be read.
        """
        with self._transaction("DEFERRED"):
            self._require(run_id)
            query = f"SELECT owner, {', '.join(_HEAD)} FROM runs WHERE run_id = ?"
            owner, *values = self._connection.execute(query, (run_id,)).fetchone()
            head = dict(zip(_HEAD, values, strict=True))
            head |= {name: msgspec.json.decode(head[name], type=kind) for name, kind in _JSON.items()}
            rows = self._connection.execute("SELECT record FROM trials WHERE run_id = ? ORDER BY number", (run_id,))
            records = tuple(msgspec.json.decode(record, type=TrialRecord) for (record,) in rows)
        run = Run(run_id=run_id, records=records, **head)
        return run.stopped() if run.status == "running" and not is_measured(run.status, owner) else run

    def runs(self, search: str = "", limit: int | None = None) -> tuple[RunEntry, ...]:
        """The runs, newest first.

        Args:
            search: Words that must all occur in a run's id, name, tags, model, storage, methods, machine or state.
            limit: How many at most; None for all.

        Raises:
            HistoryError: If they cannot be read.
        """
        words = search.lower().split()
        found: list[RunEntry] = []
        with self._transaction("DEFERRED"):
            rows = self._connection.execute(
                f"""
                SELECT run_id, created_at, status, owner, name, baseline, plan, environment, model,
                    (SELECT group_concat(tag, ' ') FROM (SELECT tag FROM tags WHERE run_id = runs.run_id ORDER BY tag)),
                    (SELECT count(*) FROM trials WHERE run_id = runs.run_id),
                    (SELECT count(*) FROM trials WHERE run_id = runs.run_id AND status = 'done'),
                    (SELECT count(*) FROM trials WHERE run_id = runs.run_id AND status = 'failed')
                FROM runs {_NEWEST_FIRST}
                """
            )
            for row in rows:
                if limit is not None and len(found) >= limit:
                    break
                entry = entry_of(*row)
                if entry.matches(words):
                    found.append(entry)
        return tuple(found)

    def find(self, reference: str) -> Run:
        """The run that people mean, see `resolve`.

        Raises:
            RequestError: If it is none, or more than one.
            HistoryError: If it cannot be read.
        """
        return self.get(self.resolve(reference))

    def resolve(self, reference: str) -> str:
        """The id of the run that people mean.

        Args:
            reference: An id, a beginning or an ending that only one id has, a name, ``last``, ``last~N`` (N before
                the last) or ``baseline``.

        Raises:
            RequestError: If it is none, or more than one.
            HistoryError: If it cannot be read.
        """
        with self._transaction("DEFERRED"):
            if match := _LAST.fullmatch(reference):
                found = self._ids(f"SELECT run_id FROM runs {_NEWEST_FIRST} LIMIT 1 OFFSET ?", int(match[1] or 0))
            elif reference == _BASELINE:
                found = self._ids("SELECT run_id FROM runs WHERE baseline = 1")
                if not found:
                    raise RequestError("no run is the baseline", "choose one with ckpt-tui history baseline RUN")
            else:
                # What cannot be printed, such as half of a character, is in no id and no name.
                known = reference if reference.isprintable() else ""
                exact = "run_id = ?1 OR name = ?1 ORDER BY run_id != ?1 LIMIT 1"
                found = self._ids(f"SELECT run_id FROM runs WHERE {exact}", known)
                if not found and known:
                    part = "substr(run_id, 1, length(?1)) = ?1 OR substr(run_id, -length(?1)) = ?1"
                    found = self._ids(f"SELECT run_id FROM runs WHERE {part} {_NEWEST_FIRST}", known)
            if len(found) == 1:
                return found[0]
            newest = self._ids(f"SELECT run_id FROM runs {_NEWEST_FIRST} LIMIT 3")
        if found:
            raise RequestError(f"{reference!r} fits {len(found)} runs ({_listed(found)})", "write more of the id")
        if not newest:
            raise RequestError(f"there is no run {reference!r}, the history is empty", "measure with ckpt-tui run")
        raise RequestError(
            f"there is no run {reference!r} in the history",
            f"see ckpt-tui history; the newest {'is' if len(newest) == 1 else 'are'} {_listed(newest)}",
        )

    def stamp(self) -> tuple[int, int]:
        """Something that differs whenever anybody has written since; it costs next to nothing.

        Raises:
            HistoryError: If the file cannot be read.
        """
        with self._told():
            (by_others,) = self._connection.execute("PRAGMA data_version").fetchone()
        return by_others, self._connection.total_changes

    # ---------------------------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[None]:
        """All that the body does, or nothing; readers see one state.

        Raises:
            HistoryError: If the database does not let us.
        """
        with self._told():
            self._connection.execute(f"BEGIN {kind}")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk may have ended it already
                    self._connection.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise HistoryError(f"the history in {self.path} cannot be used ({error})", _WHAT_TO_DO) from error
        except OSError as error:
            what = f"the history in {self.path} cannot be used ({error.strerror})"
            raise HistoryError(what, _WHAT_TO_DO) from error
        except msgspec.MsgspecError as error:
            what = f"a run in {self.path} cannot be read ({error})"
            raise HistoryError(what, "use the program that wrote it, or delete the run") from error

    def _ids(self, query: str, *values: object) -> list[str]:
        return [run_id for (run_id,) in self._connection.execute(query, values)]

    def _has(self, run_id: str) -> bool:
        return bool(self._ids("SELECT run_id FROM runs WHERE run_id = ?", run_id))

    def _require(self, run_id: str) -> None:
        if not self._has(run_id):
            raise RequestError(f"the run {run_id!a} is not in the history", "see ckpt-tui history")


_WHAT_TO_DO: Final = "see whether its disk is full and whether you may write there"


def _encode(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _listed(run_ids: Collection[str]) -> str:
    shown = list(run_ids)[:5]
    return ", ".join(shown) + (", …" if len(run_ids) > len(shown) else "")


def _record(run: Run, number: int) -> TrialRecord | None:
    """A record of a run; None if its round has been added since."""
    return run.records[number] if number < len(run.records) else None
