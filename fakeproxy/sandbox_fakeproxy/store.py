"""Users, keys and sandboxes in SQLite: in memory for tests, in a file for `serve --data`.

The schema has the constraints, as in the deployed proxy's database. Calls are synchronous and
short, and the app makes them from one event loop. So the code of a handler between two awaits is
atomic, which keeps concurrent creates and deletes correct.
"""

import sqlite3
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from .clock import Instant
from .errors import AlreadyExists, StoreUnusable
from .model import ApiKey, Sandbox, User
from .schema import (
    MIGRATIONS,
    SCHEMA,
    VERSION,
    from_micros_or_none,
    key_from_row,
    mutable_columns,
    sandbox_from_row,
    to_micros,
    to_micros_or_none,
    user_from_row,
)

_CACHE_LIMIT = 1000  # entries of either kind; a full cache is cleared
_MAX_PENDING_USES = 1_000  # of keys
_FLUSH_INTERVAL = 1_000_000  # microseconds for which uses of keys may stay unwritten

# Two queries, each with its own index: neither sorts.
_USERS = "SELECT * FROM users ORDER BY created_at DESC, seq DESC"
_ACTIVE_USERS = "SELECT * FROM users WHERE is_active ORDER BY created_at DESC, seq DESC"


class RowCache:
    """Cache look-ups of keys and sandboxes until any code writes on the connection."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.keys = dict[bytes, tuple[bytes, ApiKey, User]]()
        self.sandboxes = dict[tuple[str, str], Sandbox]()
        self._db = db
        self._changes = db.total_changes

    def validated(self) -> Self:
        """Clear the cache if anything was written since the last call, or if it is full."""
        changes = self._db.total_changes
        is_full = len(self.keys) >= _CACHE_LIMIT or len(self.sandboxes) >= _CACHE_LIMIT
        if changes != self._changes or is_full:
            self.keys.clear()
            self.sandboxes.clear()
            self._changes = changes
        return self

    @contextmanager
    def kept(self) -> Generator[None]:
        """Keep the cache over the writes of the block, although they change cached rows."""
        self.validated()
        yield
        self._changes = self._db.total_changes


class Store:
    """The fake's state, in the file `path` or, by default, in memory.

    Raises:
        StoreUnusable: the file is not a database, or has a version that cannot be upgraded.
    """

    def __init__(self, path: Path | None = None) -> None:
        # The thread that opens it may not be the event loop's; only one thread uses it at a time.
        self._db = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._pending_uses = dict[str, int]()  # key id: time of last use
        self._flush_due = 0
        self._cache = RowCache(self._db)
        self._close = weakref.finalize(self, self._db.close)
        try:
            self._open()
        except (sqlite3.DatabaseError, StoreUnusable) as exc:
            self._close()
            raise StoreUnusable(f"{path} cannot be used as the fake proxy's state: {exc}") from exc

    def _open(self) -> None:
        # With a write-ahead log, a killed process loses at most the last second's uses of keys, and
        # no write waits for the disk.
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute("PRAGMA foreign_keys = ON")
        (version,) = self._db.execute("PRAGMA user_version").fetchone()
        if version == 0:
            self._db.executescript(f"BEGIN; {SCHEMA} COMMIT;")
        elif version in MIGRATIONS:
            self._db.executescript(f"BEGIN; {MIGRATIONS[version]} COMMIT;")
        elif version != VERSION:
            raise StoreUnusable(f"it has version {version}, expected {VERSION}")

    def close(self) -> None:
        """Write pending uses of keys and close the database; further calls do nothing."""
        if self._close.alive:
            self._flush_uses()
        self._close()

    def is_available(self) -> bool:
        """Return whether the database can be queried."""
        try:
            self._db.execute("SELECT 1 FROM clock")
        except sqlite3.Error:
            return False
        return True

    # Time ---------------------------------------------------------------------------------------

    def seconds_advanced(self) -> float:
        """Return by how many seconds testers have advanced the clock, over all restarts."""
        (seconds,) = self._db.execute("SELECT seconds_advanced FROM clock").fetchone()
        return float(seconds)

    def note_advance(self, seconds: float) -> None:
        """Store an advance of the clock, so that a restart does not set the clock back."""
        self._db.execute("UPDATE clock SET seconds_advanced = seconds_advanced + ?", (seconds,))

    def last_change(self) -> datetime | None:
        """Return the time of the latest change of any sandbox, or None without sandboxes."""
        (since,) = self._db.execute("SELECT max(since) FROM sandboxes").fetchone()
        return from_micros_or_none(since)

    # The whole state ----------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Generator[None]:
        """Commit all writes of the block, or roll them back if it raises."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def clear(self) -> None:
        """Delete users, keys and sandboxes, but keep `rows_created` and the clock's advances."""
        self._db.execute("DELETE FROM users")
        self._db.execute("DELETE FROM spent_names")
        self._db.execute("DELETE FROM kept_files")

    def rows_created(self) -> int:
        """Return how many users, keys and sandboxes were ever created."""
        (count,) = self._db.execute("SELECT coalesce(sum(seq), 0) FROM sqlite_sequence").fetchone()
        return int(count)

    # Users --------------------------------------------------------------------------------------

    def is_new(self) -> bool:
        """Return whether no user was ever added."""
        row = self._db.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'users'").fetchone()
        return row is None

    def add_user(self, user: User) -> None:
        """Add a user.

        Raises:
            AlreadyExists: the username is taken.
        """
        with _unique(f"User with username '{user.username}' already exists"):
            self._db.execute(
                "INSERT INTO users (id, username, email, is_active, created_at, updated_at)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    user.id,
                    user.username,
                    user.email,
                    user.is_active,
                    to_micros(user.created_at),
                    to_micros(user.updated_at),
                ),
            )

    def users(self, *, active_only: bool = False) -> list[User]:
        """Return all users, newest first."""
        rows = self._db.execute(_ACTIVE_USERS if active_only else _USERS)
        return [user_from_row(row) for row in rows]

    def user(self, user_id: str) -> User | None:
        """Return the user with that id, or None."""
        row = self._db.execute("SELECT * FROM users WHERE id = ?", (user_id,)).fetchone()
        return user_from_row(row) if row else None

    def has_username(self, username: str) -> bool:
        """Return whether a username is taken."""
        row = self._db.execute("SELECT 1 FROM users WHERE username = ?", (username,)).fetchone()
        return row is not None

    def user_named(self, username: str) -> User | None:
        """Return the user with that name, or None."""
        row = self._db.execute("SELECT * FROM users WHERE username = ?", (username,)).fetchone()
        return user_from_row(row) if row else None

    def update_user(self, user: User) -> None:
        """Update the mutable fields of a user."""
        self._db.execute(
            "UPDATE users SET email = ?, is_active = ?, updated_at = ? WHERE id = ?",
            (user.email, user.is_active, to_micros(user.updated_at), user.id),
        )

    def delete_user(self, user_id: str) -> None:
        """Delete a user with all keys and sandboxes."""
        self._db.execute("DELETE FROM users WHERE id = ?", (user_id,))

    # Keys ---------------------------------------------------------------------------------------

    def add_key(self, key: ApiKey, key_hash: bytes) -> None:
        """Add a key, stored under the hash of its secret."""
        self._db.execute(
            "INSERT INTO api_keys (key_hash, id, user_id, key_prefix, name, is_active,"
            " created_at, expires_at, last_used_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key_hash,
                key.id,
                key.user_id,
                key.key_prefix,
                key.name,
                key.is_active,
                to_micros(key.created_at),
                key.expires_at and key.expires_at.micros,
                to_micros_or_none(key.last_used_at),
            ),
        )

    def keys(self, user_id: str) -> list[ApiKey]:
        """Return a user's keys, newest first, including revoked ones."""
        self._flush_uses()
        rows = self._db.execute(
            "SELECT * FROM api_keys WHERE user_id = ? ORDER BY created_at DESC, seq DESC",
            (user_id,),
        )
        return [key_from_row(row) for row in rows]

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key with that id, or None."""
        self._flush_uses()
        row = self._db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,)).fetchone()
        return key_from_row(row) if row else None

    def key_by_hash(self, key_hash: bytes) -> tuple[bytes, ApiKey, User] | None:
        """Return the stored hash, the key and its user; the key's `last_used_at` may be stale."""
        cached = self._cache.validated().keys
        row = cached.get(key_hash) or self._look_up_key(key_hash)
        if row is not None:
            cached[key_hash] = row
        return row

    def _look_up_key(self, key_hash: bytes) -> tuple[bytes, ApiKey, User] | None:
        row = self._db.execute("SELECT * FROM api_keys WHERE key_hash = ?", (key_hash,)).fetchone()
        if row is None:
            return None
        key = key_from_row(row)
        user = self.user(key.user_id)
        return (row["key_hash"], key, user) if user else None

    def revoke_key(self, key_id: str) -> None:
        """Deactivate a key; it stays listed."""
        self._db.execute("UPDATE api_keys SET is_active = 0 WHERE id = ?", (key_id,))

    def note_use(self, key_id: str, now: datetime) -> None:
        """Record when a key was last used."""
        # Writing on each request would take most of its time. Methods that read `last_used_at`
        # flush first, so they see each use at once.
        used_at = Instant.of(now).micros
        self._pending_uses[key_id] = used_at
        if used_at >= self._flush_due or len(self._pending_uses) >= _MAX_PENDING_USES:
            self._flush_due = used_at + _FLUSH_INTERVAL
            self._flush_uses()

    def _flush_uses(self) -> None:
        uses = [(used_at, key_id) for key_id, used_at in self._pending_uses.items()]
        self._pending_uses.clear()
        if uses:
            with self._cache.kept():
                self._db.executemany("UPDATE api_keys SET last_used_at = ? WHERE id = ?", uses)

    # Sandboxes ----------------------------------------------------------------------------------

    def add_sandbox(self, sandbox: Sandbox) -> None:
        """Add a sandbox.

        Raises:
            AlreadyExists: the user has a sandbox with that name.
        """
        with _unique(f"Sandbox '{sandbox.name}' already exists"):
            self._db.execute(
                "INSERT INTO sandboxes (id, user_id, name, image, created_at, fate, is_paused,"
                " since, fate_before, is_paused_before, since_before, had_service)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    sandbox.id,
                    sandbox.user_id,
                    sandbox.name,
                    sandbox.image,
                    to_micros(sandbox.created_at),
                    *mutable_columns(sandbox),
                ),
            )

    def sandboxes(self, user_id: str) -> list[Sandbox]:
        """Return a user's sandboxes, newest first."""
        rows = self._db.execute(
            "SELECT * FROM sandboxes WHERE user_id = ? ORDER BY created_at DESC, seq DESC",
            (user_id,),
        )
        return [sandbox_from_row(row) for row in rows]

    def count_sandboxes(self, user_id: str) -> int:
        """Return how many sandboxes a user has."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM sandboxes WHERE user_id = ?", (user_id,)
        ).fetchone()
        return int(count)

    def sandbox(self, user_id: str, name: str) -> Sandbox | None:
        """Return a user's sandbox with that name, or None."""
        cached = self._cache.validated().sandboxes
        sandbox = cached.get((user_id, name)) or self._look_up_sandbox(user_id, name)
        if sandbox is not None:
            cached[user_id, name] = sandbox
        return sandbox

    def _look_up_sandbox(self, user_id: str, name: str) -> Sandbox | None:
        row = self._db.execute(
            "SELECT * FROM sandboxes WHERE user_id = ? AND name = ?", (user_id, name)
        ).fetchone()
        return sandbox_from_row(row) if row else None

    def ids_with_files(self) -> list[str]:
        """Return the ids of all sandboxes, and of deleted ones with kept files."""
        rows = self._db.execute("SELECT id FROM sandboxes UNION SELECT sandbox_id FROM kept_files")
        return [sandbox_id for (sandbox_id,) in rows]

    def update_sandbox(self, sandbox: Sandbox) -> None:
        """Update the mutable fields of a sandbox."""
        self._db.execute(
            "UPDATE sandboxes SET fate = ?, is_paused = ?, since = ?, fate_before = ?,"
            " is_paused_before = ?, since_before = ?, had_service = ? WHERE id = ?",
            (*mutable_columns(sandbox), sandbox.id),
        )

    def keep_files(self, namespace: str, sandbox: Sandbox) -> None:
        """Record that the next sandbox with this name gets the files of this deleted one."""
        self._db.execute(
            "INSERT OR REPLACE INTO kept_files VALUES (?, ?, ?)",
            (namespace, sandbox.name, sandbox.id),
        )

    def forget_kept_files(self) -> None:
        """Delete the records of all kept files."""
        self._db.execute("DELETE FROM kept_files")

    def kept_id(self, namespace: str, name: str) -> str | None:
        """Return the id of the deleted sandbox with this name and kept files, or None."""
        row = self._db.execute(
            "SELECT sandbox_id FROM kept_files WHERE namespace = ? AND name = ?", (namespace, name)
        ).fetchone()
        return None if row is None else str(row["sandbox_id"])

    def reserve_name(self, namespace: str, name: str) -> None:
        """Reserve a sandbox name for ever: no sandbox can have it."""
        self._db.execute("INSERT OR IGNORE INTO spent_names VALUES (?, ?)", (namespace, name))

    def is_reserved(self, namespace: str, name: str) -> bool:
        """Return whether a sandbox name is reserved."""
        row = self._db.execute(
            "SELECT 1 FROM spent_names WHERE namespace = ? AND name = ?", (namespace, name)
        ).fetchone()
        return row is not None

    def count_reserved(self, namespace: str) -> int:
        """Return the number of reserved names in a namespace."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM spent_names WHERE namespace = ?", (namespace,)
        ).fetchone()
        return int(count)

    def delete_sandbox(self, sandbox_id: str) -> None:
        """Delete a sandbox."""
        self._db.execute("DELETE FROM sandboxes WHERE id = ?", (sandbox_id,))


@contextmanager
def _unique(message: str) -> Generator[None]:
    try:
        yield
    except sqlite3.IntegrityError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            raise
        raise AlreadyExists(message) from exc
