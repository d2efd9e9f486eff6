"""Apply checked work to a clean working tree, as changes that are not committed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_client.errors import RepositoryRefused
from sandbox_client.text import pluralize

from .branch import Summary, read_patch, summarize
from .git import reason_of
from .names import shown

if TYPE_CHECKING:
    from .local import Repository
    from .quarantine import CheckedWork

_NAMED = 5  # paths in a message


def apply_work(
    repository: Repository, work: CheckedWork, *, allow_runs_later: bool = False
) -> Summary:
    """Apply the changes of checked work to the working tree, all of them or none.

    Raises:
        RepositoryRefused: the working tree is not clean, a changed file would run later and that
            is not allowed, or the changes do not fit.
    """
    _require_clean(repository)
    summary = summarize(work)
    if summary.runs_later and not allow_runs_later:
        raise RepositoryRefused(
            f"The work changes {pluralize(len(summary.runs_later), 'file')} that would run on this"
            f" machine: {_named([each.path for each in summary.runs_later])}",
            advice="Look at them in the branch; then allow it with --allow-programs, or merge.",
        )
    patch = read_patch(work, binary=True)
    if not patch:
        return summary
    for check in (["--check"], []):
        result = repository.git.ask("apply", "--whitespace=nowarn", *check, "-", stdin=patch)
        if result.code != 0:
            raise RepositoryRefused(
                f"The work does not fit the files here: {reason_of(result.errors)}",
                advice="Merge the branch with `git merge`, which shows the conflicts.",
            )
    return summary


def _require_clean(repository: Repository) -> None:
    git = repository.git
    if begun := repository.in_progress:
        raise RepositoryRefused(
            f"The working tree is in the middle of {begun}",
            advice="Finish that first, or merge the branch later.",
        )
    status = git.names("status", "--porcelain", "-z", "--no-renames", "--ignore-submodules=all")
    if status:
        raise RepositoryRefused(
            f"The working tree is not clean: {_named([each[3:] for each in status])}",
            advice="Commit or stash the changes first, or merge the branch.",
        )


def _named(paths: list[str]) -> str:
    rest = f" and {len(paths) - _NAMED} more" if len(paths) > _NAMED else ""
    return ", ".join(map(shown, paths[:_NAMED])) + rest
