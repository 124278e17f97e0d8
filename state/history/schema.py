"""The history's tables, and how those of an older program become those of this one."""

import sqlite3
from typing import Final

#: Entry N makes version N + 1 of the tables out of version N. What was released is never changed, only added to.
MIGRATIONS: Final[tuple[tuple[str, ...], ...]] = (
    (
        """
        CREATE TABLE runs (
            run_id TEXT PRIMARY KEY,
            created_at TEXT NOT NULL,
            status TEXT NOT NULL,
            plan TEXT NOT NULL,
            environment TEXT NOT NULL,
            model TEXT NOT NULL,
            limits TEXT NOT NULL,
            refusal TEXT NOT NULL,
            advice TEXT NOT NULL
        )
        """,
        """
        CREATE TABLE trials (
            run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
            number INTEGER NOT NULL,
            status TEXT NOT NULL,
            record TEXT NOT NULL,
            PRIMARY KEY (run_id, number)
        )
        """,
        "CREATE INDEX trials_by_status ON trials (run_id, status)",
        "CREATE INDEX runs_by_time ON runs (created_at, run_id)",
    ),
    (
        "ALTER TABLE runs ADD COLUMN owner TEXT NOT NULL DEFAULT 'null'",
        "ALTER TABLE runs ADD COLUMN name TEXT",
        "ALTER TABLE runs ADD COLUMN baseline INTEGER NOT NULL DEFAULT 0",
        "CREATE UNIQUE INDEX runs_by_name ON runs (name)",
        "CREATE UNIQUE INDEX one_baseline ON runs (baseline) WHERE baseline = 1",
        """
        CREATE TABLE tags (
            run_id TEXT NOT NULL REFERENCES runs ON DELETE CASCADE,
            tag TEXT NOT NULL,
            PRIMARY KEY (run_id, tag)
        )
        """,
    ),
    ("ALTER TABLE runs ADD COLUMN limits_failure TEXT NOT NULL DEFAULT 'null'",),
    ("ALTER TABLE runs ADD COLUMN memory TEXT NOT NULL DEFAULT 'null'",),
)
VERSION: Final = len(MIGRATIONS)


def version_of(connection: sqlite3.Connection) -> int:
    """The version of a database's tables; 0 for an empty one."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    return int(version)


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to this program's version, in one transaction: all of it happens, or nothing.

    Raises:
        sqlite3.Error: If that cannot be done.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statements in MIGRATIONS[version_of(connection) :]:
            for statement in statements:
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
