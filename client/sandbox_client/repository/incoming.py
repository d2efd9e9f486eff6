"""Put together what comes back: the export's answer, the checked bundle, and the new record."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from .branch import Imported, haves, import_work
from .quarantine import Limits, checked_work, require_bundle, require_size
from .sandbox_scripts import export
from .withheld import restore_withheld

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from .quarantine import CheckedWork
    from .sandbox_answers import Exported
    from .store import Sent, Store


def export_command(store: Store, sent: Sent, branch: str, bundle: str) -> str:
    """Return the command that writes what is new for `branch` to `bundle`, an absolute path."""
    return export(sent, bundle, haves(store.repository, sent, branch))


def require_download(exported: Exported, limits: Limits) -> bool:
    """Return whether there is a bundle to download.

    Raises:
        WorkRefused: it is too large.
    """
    require_size(exported.size, limits)
    return exported.size > 0


@contextmanager
def incoming(
    store: Store, sent: Sent, exported: Exported, bundle: Path, limits: Limits
) -> Generator[CheckedWork]:
    """Check a bundle that was downloaded; the work is as it will be in the repository.

    Raises:
        WorkRefused: it differs from the one that the sandbox made, or is not safe.
    """
    require_bundle(bundle, exported.size, exported.sha256)
    with checked_work(store, sent, bundle, exported.tip, limits) as work:
        yield restore_withheld(work)


def import_and_record(store: Store, work: CheckedWork, exported: Exported, branch: str) -> Imported:
    """Make the branch or let it go forward, and note what the sandbox need not send again.

    Raises:
        RepositoryRefused: the branch is checked out, diverged, or changed meanwhile.
        InvalidInput: the name of the branch is invalid.
    """
    imported = import_work(store.repository, work, branch)
    current = store.load(work.sent.sandbox)
    if current is not None and current.snapshot == work.sent.snapshot:  # no push came between
        store.save(current.after_pull(exported.tip, imported.new))
    return imported
