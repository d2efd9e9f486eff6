"""The database schema, its migrations, and the conversion between rows and data classes."""

import sqlite3
from datetime import UTC, datetime, timedelta

from sandbox_fakeproxy.clock import Instant

from .model import ApiKey, FailureMode, Intent, Sandbox, User

VERSION = 3

# Times are microseconds since 1970, so that they compare and sort exactly. `seq` orders rows with
# the same time; an index on (owner, created_at) contains it too, as every index in SQLite ends with
# the row's key. AUTOINCREMENT never reuses a number.
_TABLES = """
CREATE TABLE users (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    email TEXT,
    is_active INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
);
CREATE INDEX users_by_age ON users (created_at);
CREATE INDEX active_users_by_age ON users (created_at) WHERE is_active;
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
    fate TEXT NOT NULL,
    is_paused INTEGER NOT NULL,
    since INTEGER NOT NULL,
    fate_before TEXT,
    is_paused_before INTEGER,
    since_before INTEGER,
    had_service INTEGER NOT NULL,
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
"""
_ADD_KEPT_FILES = """
CREATE TABLE kept_files (
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    sandbox_id TEXT NOT NULL,
    PRIMARY KEY (namespace, name)
) WITHOUT ROWID;
PRAGMA user_version = 3;
"""
SCHEMA = _TABLES + _ADD_KEPT_FILES
# Version 1 had no failure modes. It stored when a sandbox last started and, while paused, the time
# of the pause.
_RENAME_V1_TABLES = """
DROP INDEX api_keys_by_user;
DROP INDEX sandboxes_by_user;
DROP TABLE IF EXISTS spent_names;
ALTER TABLE users RENAME TO users_1;
ALTER TABLE api_keys RENAME TO api_keys_1;
ALTER TABLE sandboxes RENAME TO sandboxes_1;
ALTER TABLE clock RENAME TO clock_1;
"""
_COPY_V1_ROWS = """
INSERT INTO users SELECT * FROM users_1;
INSERT INTO api_keys SELECT * FROM api_keys_1;
INSERT INTO sandboxes SELECT seq, id, user_id, name, image, created_at,
    'running', paused_at IS NOT NULL, coalesce(paused_at, running_since),
    CASE WHEN paused_at IS NOT NULL OR running_since > created_at THEN 'running' END,
    CASE WHEN paused_at IS NOT NULL OR running_since > created_at THEN paused_at IS NULL END,
    CASE WHEN paused_at IS NOT NULL THEN running_since
         WHEN running_since > created_at THEN created_at END,
    paused_at IS NOT NULL OR running_since > created_at
    FROM sandboxes_1;
UPDATE clock SET seconds_advanced = (SELECT seconds_advanced FROM clock_1);
DROP TABLE api_keys_1;
DROP TABLE sandboxes_1;
DROP TABLE users_1;
DROP TABLE clock_1;
"""
# From version: the script that upgrades to this one.
MIGRATIONS = {1: _RENAME_V1_TABLES + SCHEMA + _COPY_V1_ROWS, 2: _ADD_KEPT_FILES}

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_micros(moment: datetime) -> int:
    """Convert a time to microseconds since 1970."""
    return Instant.of(moment).micros


def to_micros_or_none(moment: datetime | None) -> int | None:
    """Convert a time that may be missing to microseconds since 1970."""
    return None if moment is None else to_micros(moment)


def _from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def from_micros_or_none(micros: int | None) -> datetime | None:
    """Convert microseconds since 1970, which may be missing, to a time."""
    return None if micros is None else _from_micros(micros)


def user_from_row(row: sqlite3.Row) -> User:
    """Convert a row of `users`."""
    return User(
        id=row["id"],
        username=row["username"],
        email=row["email"],
        is_active=None if row["is_active"] is None else bool(row["is_active"]),
        created_at=_from_micros(row["created_at"]),
        updated_at=_from_micros(row["updated_at"]),
    )


def key_from_row(row: sqlite3.Row) -> ApiKey:
    """Convert a row of `api_keys`."""
    return ApiKey(
        id=row["id"],
        user_id=row["user_id"],
        key_prefix=row["key_prefix"],
        name=row["name"],
        is_active=bool(row["is_active"]),
        created_at=_from_micros(row["created_at"]),
        expires_at=None if row["expires_at"] is None else Instant(row["expires_at"]),
        last_used_at=from_micros_or_none(row["last_used_at"]),
    )


def sandbox_from_row(row: sqlite3.Row) -> Sandbox:
    """Convert a row of `sandboxes`."""
    return Sandbox(
        id=row["id"],
        user_id=row["user_id"],
        name=row["name"],
        image=row["image"],
        created_at=_from_micros(row["created_at"]),
        desired=Intent(
            FailureMode(row["fate"]), bool(row["is_paused"]), _from_micros(row["since"])
        ),
        observed=_observed_from_row(row),
        had_service=bool(row["had_service"]),
    )


def mutable_columns(sandbox: Sandbox) -> tuple[str | int | None, ...]:
    """Return the mutable fields of a sandbox in the order of their columns."""
    observed = (None, None, None) if sandbox.observed is None else _intent_columns(sandbox.observed)
    return (*_intent_columns(sandbox.desired), *observed, sandbox.had_service)


def _intent_columns(intent: Intent) -> tuple[str, bool, int]:
    return intent.failure_mode.value, intent.is_paused, to_micros(intent.since)


def _observed_from_row(row: sqlite3.Row) -> Intent | None:
    if row["fate_before"] is None:
        return None
    return Intent(
        FailureMode(row["fate_before"]),
        bool(row["is_paused_before"]),
        _from_micros(row["since_before"]),
    )
