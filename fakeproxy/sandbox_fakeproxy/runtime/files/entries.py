"""How the entries of a directory are chosen, ordered and written in a reply."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox_fakeproxy.clock import iso

from .listing import Entry

_ORDERS: dict[str, Callable[[Entry], Any]] = {
    "name": lambda entry: entry.path,
    "size": lambda entry: entry.status.st_size,
    "modified": lambda entry: entry.status.st_mtime_ns,
    "type": lambda entry: (not entry.is_directory, entry.extension, entry.path),
}
ORDERS = tuple(_ORDERS)


@dataclass(frozen=True, slots=True)
class View:
    """Which entries are shown, and in which order. Directories pass any filter of extensions."""

    extensions: Collection[str] | None
    order: str
    descending: bool
    sizes: bool
    permissions: bool

    def of(self, entries: Collection[Entry]) -> list[Entry]:
        """Return the entries to show, in order."""
        chosen = [entry for entry in entries if self._shows(entry)]
        if self.order == "name" and not self.descending:
            return chosen  # as they were read: a directory's own right after it
        return sorted(chosen, key=_ORDERS[self.order], reverse=self.descending)

    def described(self, entry: Entry) -> dict[str, Any]:
        """Write one entry."""
        modified = datetime.fromtimestamp(entry.status.st_mtime, UTC)
        written: dict[str, Any] = {
            "name": writable(entry.name),
            "path": writable(entry.path),
            "is_directory": entry.is_directory,
            "size": entry.status.st_size if self.sizes and not entry.is_directory else None,
            "modified_time": iso(modified),
            "extension": writable(entry.extension) or None,
        }
        if self.permissions:
            written["permissions"] = f"{entry.status.st_mode & 0o777:03o}"
        return written

    def _shows(self, entry: Entry) -> bool:
        if self.extensions is None or entry.is_directory:
            return True
        return entry.extension.removeprefix(".") in {
            each.removeprefix(".") for each in self.extensions
        }


def writable(name: str) -> str:
    """Return a name as JSON can hold it: one that is not UTF-8 has marks where it is not."""
    return name.encode(errors="surrogateescape").decode(errors="replace")
