"""The history's file: opened, made, or moved aside where it is damaged."""

import contextlib
import datetime
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from state.errors import HistoryError
from state.history.schema import VERSION, migrate, version_of

#: How long to wait for another process that writes.
_BUSY_S: Final = 20.0


class _DamagedError(Exception):
    """The file is no sound database."""


def open_database(path: Path) -> tuple[sqlite3.Connection, str]:
    """Open the file, or make it. Returns the connection, and what people should be told about it; mostly empty.

    A damaged file is moved aside, and a new one begun.

    Raises:
        HistoryError: If a newer program has written it.
        OSError: If the system does not let us.
        sqlite3.Error: If the database does not.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _alone_in(path.parent):
        try:
            return _open(path), ""
        except _DamagedError:
            aside = _move_aside(path)
            notice = f"the history was damaged and now lies in {aside}; a new one has begun"
            return _open(path), notice


def _open(path: Path) -> sqlite3.Connection:
    # Transactions are begun and ended here, not by the module; threads take turns by themselves.
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        if version_of(connection) > VERSION:
            raise HistoryError(
                f"the history in {path} was written by a newer ckpt-tui (its tables are of version "
                f"{version_of(connection)}, this program knows {VERSION})",
                "use the newer program, or move the file away",
            )
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise _DamagedError
        connection.execute("PRAGMA foreign_keys = ON")
        # No fsync with each transaction, which would disturb the disk that is being measured. What a killed
        # program wrote is there all the same; only a power cut may cost the last transactions, and no more.
        connection.execute("PRAGMA synchronous = NORMAL")
        if version_of(connection) < VERSION:
            connection.execute("PRAGMA journal_mode = WAL")
            migrate(connection)
    except sqlite3.DatabaseError as error:
        connection.close()
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise _DamagedError from error
        raise
    except BaseException:
        connection.close()
        raise
    return connection


@contextlib.contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """One process at a time: two that find a damaged file must not both move it, nor the sound one that follows."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _move_aside(path: Path) -> Path:
    """Rename a damaged database and the files beside it. Returns where it lies now."""
    stem = f"{path.stem}.corrupt-{datetime.datetime.now():%Y%m%d-%H%M%S}"
    number = 1
    while (aside := path.with_name(f"{stem}{f'-{number}' if number > 1 else ''}{path.suffix}")).exists():
        number += 1
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
    return aside
