"""Users, keys and sandboxes in SQLite: in memory for a test, in a file for a person.

Constraints are the schema's, as in the deployed proxy's database. Calls are synchronous and
short, and the app makes them from one event loop: what a handler does between two awaits is
atomic, which is what makes concurrent creates and deletes come out right.
"""

import sqlite3
import weakref
from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Self

from .errors import AlreadyExists, StoreUnusable
from .model import ApiKey, Sandbox, User
from .schema import (
    MIGRATIONS,
    SCHEMA,
    VERSION,
    columns_of,
    key_of,
    micros,
    micros_or_none,
    moment_or_none,
    sandbox_of,
    user_of,
)

_LIMIT = 1000  # of either kind; then it starts anew


class RowCache:
    """Records as they were found since the last write on a connection, by any code."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.keys = dict[bytes, tuple[bytes, ApiKey, User]]()
        self.sandboxes = dict[tuple[str, str], Sandbox]()
        self._db = db
        self._changes = db.total_changes

    def current(self) -> Self:
        """Forget all, if anything may have changed."""
        changes = self._db.total_changes
        is_full = len(self.keys) >= _LIMIT or len(self.sandboxes) >= _LIMIT
        if changes != self._changes or is_full:
            self.keys.clear()
            self.sandboxes.clear()
            self._changes = changes
        return self

    @contextmanager
    def unaffected(self) -> Generator[None]:
        """Keep all over a write that changes nothing of it."""
        self.current()
        yield
        self._changes = self._db.total_changes


_MOST_USES = 1_000  # of keys that wait to be written, and how long they may, in microseconds
_USES_DELAY = 1_000_000

# Two questions, each with an index of its own: neither sorts.
_USERS = "SELECT * FROM users ORDER BY created_at DESC, seq DESC"
_ACTIVE_USERS = "SELECT * FROM users WHERE is_active ORDER BY created_at DESC, seq DESC"


class Store:
    """Keep the fake's state, in the file `path` or, without one, in memory.

    Raises:
        StoreUnusable: the file is no database, or another version's.
    """

    def __init__(self, path: Path | None = None) -> None:
        # It may be opened in another thread than the event loop's; only one uses it at a time.
        self._db = sqlite3.connect(
            path or ":memory:", isolation_level=None, check_same_thread=False
        )
        self._db.row_factory = sqlite3.Row
        self._uses = dict[str, int]()  # of keys, not yet written
        self._uses_due = 0
        self._recall = RowCache(self._db)
        self._close = weakref.finalize(self, self._db.close)
        try:
            self._open()
        except (sqlite3.DatabaseError, StoreUnusable) as exc:
            self._close()
            raise StoreUnusable(f"{path} cannot be used as the fake proxy's state: {exc}") from exc

    def _open(self) -> None:
        # With a write-ahead log, a process that is killed loses no more than a second's uses of
        # keys, and no write waits for the disk.
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
        """Write pending uses of keys, and close; again is fine."""
        if self._close.alive:
            self._write_uses()
        self._close()

    def answers(self) -> bool:
        """Tell whether the database can be asked."""
        try:
            self._db.execute("SELECT 1 FROM clock")
        except sqlite3.Error:
            return False
        return True

    # Time ---------------------------------------------------------------------------------------

    def seconds_advanced(self) -> float:
        """Return by how much testers have moved time on, over all restarts."""
        (seconds,) = self._db.execute("SELECT seconds_advanced FROM clock").fetchone()
        return float(seconds)

    def note_advance(self, seconds: float) -> None:
        """Remember that time was moved on, so that a restart does not turn it back."""
        self._db.execute("UPDATE clock SET seconds_advanced = seconds_advanced + ?", (seconds,))

    def last_change(self) -> datetime | None:
        """Return when the state of any sandbox was last changed; None without sandboxes."""
        (since,) = self._db.execute("SELECT max(since) FROM sandboxes").fetchone()
        return moment_or_none(since)

    # All of it ----------------------------------------------------------------------------------

    @contextmanager
    def all_or_nothing(self) -> Generator[None]:
        """Keep all that is written within, or none of it."""
        self._db.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")

    def forget_all(self) -> None:
        """Forget users, keys and sandboxes, but not how many there were; time stays where it is."""
        self._db.execute("DELETE FROM users")
        self._db.execute("DELETE FROM spent_names")
        self._db.execute("DELETE FROM kept_files")

    def rows_made(self) -> int:
        """Return how many users, keys and sandboxes were ever made."""
        (count,) = self._db.execute("SELECT coalesce(sum(seq), 0) FROM sqlite_sequence").fetchone()
        return int(count)

    # Users --------------------------------------------------------------------------------------

    def is_new(self) -> bool:
        """Tell whether no user was ever added."""
        row = self._db.execute("SELECT 1 FROM sqlite_sequence WHERE name = 'users'").fetchone()
        return row is None

    def add_user(self, user: User) -> None:
        """Keep a new user.

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
                    micros(user.created_at),
                    micros(user.updated_at),
                ),
            )

    def users(self, *, active_only: bool = False) -> list[User]:
        """Return all users, newest first."""
        rows = self._db.execute(_ACTIVE_USERS if active_only else _USERS)
        return [user_of(row) for row in rows]

    def user(self, user_id: str) -> User | None:
        """Return the user of that id."""
        row = self._db.execute("SELECT * FROM users WHERE id = ?", (user_id,)).fetchone()
        return user_of(row) if row else None

    def has_username(self, username: str) -> bool:
        """Tell whether a username is taken."""
        row = self._db.execute("SELECT 1 FROM users WHERE username = ?", (username,)).fetchone()
        return row is not None

    def user_named(self, username: str) -> User | None:
        """Return the user of that name."""
        row = self._db.execute("SELECT * FROM users WHERE username = ?", (username,)).fetchone()
        return user_of(row) if row else None

    def update_user(self, user: User) -> None:
        """Replace the fields of a user that may change."""
        self._db.execute(
            "UPDATE users SET email = ?, is_active = ?, updated_at = ? WHERE id = ?",
            (user.email, user.is_active, micros(user.updated_at), user.id),
        )

    def delete_user(self, user_id: str) -> None:
        """Forget a user with all keys and sandboxes."""
        self._db.execute("DELETE FROM users WHERE id = ?", (user_id,))

    # Keys ---------------------------------------------------------------------------------------

    def add_key(self, key: ApiKey, key_hash: bytes) -> None:
        """Keep a new key under the hash of its secret."""
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
                micros(key.created_at),
                key.expires_at and key.expires_at.micros,
                micros_or_none(key.last_used_at),
            ),
        )

    def keys(self, user_id: str) -> list[ApiKey]:
        """Return one user's keys, newest first, the revoked ones too."""
        self._write_uses()
        rows = self._db.execute(
            "SELECT * FROM api_keys WHERE user_id = ? ORDER BY created_at DESC, seq DESC",
            (user_id,),
        )
        return [key_of(row) for row in rows]

    def key(self, key_id: str) -> ApiKey | None:
        """Return the key of that id."""
        self._write_uses()
        row = self._db.execute("SELECT * FROM api_keys WHERE id = ?", (key_id,)).fetchone()
        return key_of(row) if row else None

    def key_by_hash(self, key_hash: bytes) -> tuple[bytes, ApiKey, User] | None:
        """Return the stored hash, the key and its user; its `last_used_at` may be an older one."""
        known = self._recall.current().keys
        found = known.get(key_hash) or self._look_up_key(key_hash)
        if found is not None:
            known[key_hash] = found
        return found

    def _look_up_key(self, key_hash: bytes) -> tuple[bytes, ApiKey, User] | None:
        row = self._db.execute("SELECT * FROM api_keys WHERE key_hash = ?", (key_hash,)).fetchone()
        if row is None:
            return None
        key = key_of(row)
        user = self.user(key.user_id)
        return (row["key_hash"], key, user) if user else None

    def revoke_key(self, key_id: str) -> None:
        """Make a key useless; it stays listed."""
        self._db.execute("UPDATE api_keys SET is_active = 0 WHERE id = ?", (key_id,))

    def note_use(self, key_id: str, now: datetime) -> None:
        """Remember when a key last opened something."""
        # A write for each request would be most of its work: a reader sees it at once.
        moment = micros(now)
        self._uses[key_id] = moment
        if moment >= self._uses_due or len(self._uses) >= _MOST_USES:
            self._uses_due = moment + _USES_DELAY
            self._write_uses()

    def _write_uses(self) -> None:
        uses = [(moment, key_id) for key_id, moment in self._uses.items()]
        self._uses.clear()
        if uses:
            with self._recall.unaffected():
                self._db.executemany("UPDATE api_keys SET last_used_at = ? WHERE id = ?", uses)

    # Sandboxes ----------------------------------------------------------------------------------

    def add_sandbox(self, sandbox: Sandbox) -> None:
        """Keep a new sandbox.

        Raises:
            AlreadyExists: the user has a sandbox of that name.
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
                    micros(sandbox.created_at),
                    *columns_of(sandbox),
                ),
            )

    def sandboxes(self, user_id: str) -> list[Sandbox]:
        """Return one user's sandboxes, newest first."""
        rows = self._db.execute(
            "SELECT * FROM sandboxes WHERE user_id = ? ORDER BY created_at DESC, seq DESC",
            (user_id,),
        )
        return [sandbox_of(row) for row in rows]

    def count_sandboxes(self, user_id: str) -> int:
        """Return how many sandboxes a user has."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM sandboxes WHERE user_id = ?", (user_id,)
        ).fetchone()
        return int(count)

    def sandbox(self, user_id: str, name: str) -> Sandbox | None:
        """Return a user's sandbox of that name."""
        known = self._recall.current().sandboxes
        found = known.get((user_id, name)) or self._look_up_sandbox(user_id, name)
        if found is not None:
            known[user_id, name] = found
        return found

    def _look_up_sandbox(self, user_id: str, name: str) -> Sandbox | None:
        row = self._db.execute(
            "SELECT * FROM sandboxes WHERE user_id = ? AND name = ?", (user_id, name)
        ).fetchone()
        return sandbox_of(row) if row else None

    def ids_with_files(self) -> list[str]:
        """Return the ids of all sandboxes, and of deleted ones whose files are kept."""
        rows = self._db.execute("SELECT id FROM sandboxes UNION SELECT sandbox_id FROM kept_files")
        return [sandbox_id for (sandbox_id,) in rows]

    def update_sandbox(self, sandbox: Sandbox) -> None:
        """Replace the fields of a sandbox that may change."""
        self._db.execute(
            "UPDATE sandboxes SET fate = ?, is_paused = ?, since = ?, fate_before = ?,"
            " is_paused_before = ?, since_before = ?, had_service = ? WHERE id = ?",
            (*columns_of(sandbox), sandbox.id),
        )

    def keep_files(self, namespace: str, sandbox: Sandbox) -> None:
        """Keep the files of a sandbox that is deleted for the next one of that name."""
        self._db.execute(
            "INSERT OR REPLACE INTO kept_files VALUES (?, ?, ?)",
            (namespace, sandbox.name, sandbox.id),
        )

    def forget_kept_files(self) -> None:
        """Keep the files of no deleted sandbox any more."""
        self._db.execute("DELETE FROM kept_files")

    def kept_id(self, namespace: str, name: str) -> str | None:
        """Return the id under which the files of an earlier sandbox are kept."""
        row = self._db.execute(
            "SELECT sandbox_id FROM kept_files WHERE namespace = ? AND name = ?", (namespace, name)
        ).fetchone()
        return None if row is None else str(row["sandbox_id"])

    def reserve_name(self, namespace: str, name: str) -> None:
        """Keep a name from ever being used again."""
        self._db.execute("INSERT OR IGNORE INTO spent_names VALUES (?, ?)", (namespace, name))

    def is_reserved(self, namespace: str, name: str) -> bool:
        """Tell whether a name can never be used again."""
        row = self._db.execute(
            "SELECT 1 FROM spent_names WHERE namespace = ? AND name = ?", (namespace, name)
        ).fetchone()
        return row is not None

    def count_reserved(self, namespace: str) -> int:
        """Return how many names are reserved in a namespace."""
        (count,) = self._db.execute(
            "SELECT count(*) FROM spent_names WHERE namespace = ?", (namespace,)
        ).fetchone()
        return int(count)

    def delete_sandbox(self, sandbox_id: str) -> None:
        """Forget a sandbox."""
        self._db.execute("DELETE FROM sandboxes WHERE id = ?", (sandbox_id,))


@contextmanager
def _unique(message: str) -> Generator[None]:
    try:
        yield
    except sqlite3.IntegrityError as exc:
        if exc.sqlite_errorcode != sqlite3.SQLITE_CONSTRAINT_UNIQUE:
            raise
        raise AlreadyExists(message) from exc
