"""The tables, and how their rows become records."""

import sqlite3
from datetime import UTC, datetime, timedelta

from ._records import ApiKey, Sandbox, User

VERSION = 1

# Times are microseconds since 1970, so that they compare and sort exactly. `seq` breaks the tie
# between rows of one instant; an index on (owner, created_at) holds it too, as every index of
# SQLite ends with the row's key. AUTOINCREMENT never gives a number twice.
SCHEMA = """
CREATE TABLE users (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    email TEXT,
    is_active INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE TABLE api_keys (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    key_hash BLOB NOT NULL UNIQUE,
    key_prefix TEXT NOT NULL,
    name TEXT,
    is_active INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    last_used_at INTEGER
);
CREATE INDEX api_keys_by_user ON api_keys (user_id, created_at);
CREATE TABLE sandboxes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name TEXT NOT NULL,
    image TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    running_since INTEGER NOT NULL,
    paused_at INTEGER,
    UNIQUE (user_id, name)
);
CREATE INDEX sandboxes_by_user ON sandboxes (user_id, created_at);
CREATE TABLE spent_names (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;
CREATE TABLE clock (seconds_advanced REAL NOT NULL);
INSERT INTO clock VALUES (0);
PRAGMA user_version = 1;
"""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Write a time as the database keeps it."""
    return (moment - _EPOCH) // _MICROSECOND


def micros_or_none(moment: datetime | None) -> int | None:
    """Write a time that may be missing."""
    return None if moment is None else micros(moment)


def _moment(micros: int) -> datetime:
    return _EPOCH + micros * _MICROSECOND


def _moment_or_none(micros: int | None) -> datetime | None:
    return None if micros is None else _moment(micros)


def user_of(row: sqlite3.Row) -> User:
    """Read a user back."""
    return User(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        is_active=None if row["is_active"] is None else bool(row["is_active"]),
        created_at=_moment(row["created_at"]),
        updated_at=_moment(row["updated_at"]),
    )


def key_of(row: sqlite3.Row) -> ApiKey:
    """Read a key back."""
    return ApiKey(
        id=row["id"],
        user_id=row["user_id"],
        key_prefix=row["key_prefix"],
        name=row["name"],
        is_active=bool(row["is_active"]),
        created_at=_moment(row["created_at"]),
        expires_at=_moment_or_none(row["expires_at"]),
        last_used_at=_moment_or_none(row["last_used_at"]),
    )


def sandbox_of(row: sqlite3.Row) -> Sandbox:
    """Read a sandbox back."""
    return Sandbox(
        id=row["id"],
        user_id=row["user_id"],
        name=row["name"],
        image=row["image"],
        created_at=_moment(row["created_at"]),
        running_since=_moment(row["running_since"]),
        paused_at=_moment_or_none(row["paused_at"]),
    )
