"""Rows that each request looks up, remembered until anything in the database changes."""

import sqlite3
from collections.abc import Generator
from contextlib import contextmanager
from typing import Self

from .model import ApiKey, Sandbox, User

_LIMIT = 1000  # of either kind; then it starts anew


class Recall:
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
