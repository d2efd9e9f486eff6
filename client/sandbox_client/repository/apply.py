"""Apply the changes of checked work to the working tree, all that are new there or none."""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sandbox_client.errors import RepositoryRefused
from sandbox_client.text import pluralize

from .branch import Summary, read_patch, summarize
from .git import reason_of
from .names import decode, nul_list, shown
from .trees import kinds_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .local import Repository
    from .quarantine import CheckedWork

_NAMED = 5  # paths in a message


class Part(Enum):
    """The part of the work that was applied."""

    ALL = "all"
    NEWER = "newer"  # than the work that was applied before
    AGAIN = "again"  # all of it, as the person has discarded it
    NOTHING = "nothing"  # the working tree has it already


@dataclass(frozen=True)
class Applied:
    """The result of `apply_work`: the part of the work, and its changes."""

    part: Part
    summary: Summary


def apply_work(
    repository: Repository, work: CheckedWork, *, allow_runs_later: bool = False
) -> Applied:
    """Apply the new part of checked work to the working tree; commit nothing.

    `allow_runs_later` also allows paths that git ignores here.

    Raises:
        RepositoryRefused: another worktree was sent, the working tree is not clean, the changes do
            not fit, or one is dangerous and that is not allowed.
    """
    _require_same_worktree(repository, work)
    part, base = _new_part(repository, work)
    if part is Part.NOTHING:
        return Applied(part, Summary((), (), ()))
    _require_clean(repository)
    summary = summarize(work, base)
    if summary.runs_later and not allow_runs_later:
        raise RepositoryRefused(
            f"The work changes {pluralize(len(summary.runs_later), 'file')} that would run on this"
            f" machine: {_named([each.path for each in summary.runs_later])}",
            advice="Look at them in the branch; then merge it, or allow it with"
            " `remote-sandbox pull --apply --allow-programs`.",
        )
    patch = read_patch(work, base, binary=True)
    if not patch:  # the agent has taken all of it back
        return Applied(Part.NOTHING, summary)
    _require_fit(repository, patch)
    ignored = ignored_paths(repository, [each.path for each in summary.files])
    if ignored and not allow_runs_later:
        raise RepositoryRefused(
            f"The work changes {pluralize(len(ignored), 'file')} in paths that git ignores here:"
            f" {_named(ignored)}",
            advice="They would be among files of yours that git does not show. Look at them in the"
            " branch; then allow it with `remote-sandbox pull --apply --allow-programs`.",
        )
    if reason := _try(repository, patch):
        raise RepositoryRefused(
            f"Git could not apply all of the work: {reason}",
            advice="A part may be in the working tree, which was clean: look with `git status`;"
            " `git checkout .` brings tracked files back.",
        )
    return Applied(part, summary)


def _new_part(repository: Repository, work: CheckedWork) -> tuple[Part, str]:
    """Return the part of the work that the working tree lacks, and the commit before it.

    The working tree decides: the person may have committed, merged or discarded earlier work.
    """
    start, applied = work.sent.commit, _applied_before(work)
    if applied in {"", work.tip}:
        whole = read_patch(work, start, binary=True)
        has_it, fits = _has(repository, whole), _fits(repository, whole)
        if applied and (has_it or not fits):
            return Part.NOTHING, applied
        if has_it and not fits:
            return Part.NOTHING, start
        return (Part.AGAIN if applied else Part.ALL), start
    before = read_patch(work, start, binary=True, tip=applied)
    if not _has(repository, before) and _fits(repository, before):
        return Part.AGAIN, start
    newer = read_patch(work, applied, binary=True)
    has_it = _has(repository, newer) and not _fits(repository, newer)
    return (Part.NOTHING if has_it else Part.NEWER), applied


def _applied_before(work: CheckedWork) -> str:
    """Return the commit that was applied last, if it is part of the work."""
    applied = work.sent.applied
    git = work.stage.git
    if not applied or kinds_of(git, [applied]) != {applied: "commit"}:
        return ""
    is_part = git.ask("merge-base", "--is-ancestor", applied, work.tip).code == 0
    return applied if is_part else ""


def _has(repository: Repository, patch: bytes) -> bool:
    """Return whether the working tree has the changes of a patch already."""
    return not patch or _try(repository, patch, "--check", "--reverse") == ""


def _fits(repository: Repository, patch: bytes) -> bool:
    return bool(patch) and _try(repository, patch, "--check") == ""


def _require_fit(repository: Repository, patch: bytes) -> None:
    if reason := _try(repository, patch, "--check"):
        raise RepositoryRefused(
            f"The work does not fit the files here: {reason}",
            advice="Look at the branch with `git diff`. `git merge` shows conflicts, but"
            " overwrites files that git ignores.",
        )


def _try(repository: Repository, patch: bytes, *options: str) -> str:
    """Run git apply; return the reason for which it refuses, or an empty string."""
    result = repository.git.ask("apply", "--whitespace=nowarn", *options, "-", stdin=patch)
    return "" if result.code == 0 else reason_of(result.errors) or "git does not say why"


def ignored_paths(repository: Repository, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths that git ignores here, whether there is such a file or not.

    For a path below a file or a link of the person's, that is returned.
    """
    places = dict.fromkeys(_place(repository.top, each) for each in paths)
    if not places:
        return ()
    # This command takes no literal pathspecs: `./` keeps a colon from being read as magic.
    git = repository.git.with_variables(GIT_LITERAL_PATHSPECS="0")
    names = nul_list(f"./{each}" for each in places)
    asked = git.ask("check-ignore", "-z", "--stdin", stdin=names)
    return tuple(decode(each[2:]) for each in asked.output.split(b"\0") if each)


def here(repository: Repository, paths: Iterable[str]) -> tuple[str, ...]:
    """Return the paths at which there is a file, a link or a directory."""
    return tuple(each for each in paths if os.path.lexists(_join(repository.top, each)))


def _place(top: str, path: str) -> str:
    """Return a path, or the first of its parents that is here and no directory."""
    parts = path.split("/")
    for count in range(1, len(parts)):
        parent = "/".join(parts[:count])
        place = _join(top, parent)
        if os.path.lexists(place) and (os.path.islink(place) or not os.path.isdir(place)):  # noqa: PTH112, PTH114  # a name may not be UTF-8
            return parent
    return path


def _join(top: str, path: str) -> str:
    return os.path.join(top, path)  # noqa: PTH118  # a name may not be UTF-8


def _require_same_worktree(repository: Repository, work: CheckedWork) -> None:
    sent = work.sent.worktree
    if sent != repository.worktree and (place := repository.place_of(sent)):
        raise RepositoryRefused(
            f"The work is on the files of another worktree, {shown(place)}",
            advice="Apply it there, or merge the branch here.",
        )


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


def _named(paths: Iterable[str]) -> str:
    found = list(paths)
    rest = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(map(shown, found[:_NAMED])) + rest
