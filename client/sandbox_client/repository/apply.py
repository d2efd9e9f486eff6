"""Apply the changes of checked work to the working tree, all that are new there or none.

Git makes the new files aside, with the filters of the person; then they replace the old ones.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from sandbox_client.errors import RepositoryRefused
from sandbox_client.text import pluralize

from .file_moves import is_directory, join, parents_of, state_of, status_of
from .git import reason_of
from .names import decode, encode, join_shown, nul_list, shown
from .snapshot import FILTER
from .summary import Summary, read_patch, summarize
from .working_tree import AS_IT_WAS, Replacement, workspace

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .local import Repository
    from .process import Finished
    from .quarantine import CheckedWork
    from .working_tree import Workspace


class Part(Enum):
    """The part of the work that was applied."""

    ALL = "all"
    NEWER = "newer"  # than the work that was applied before
    AGAIN = "again"  # with work that was applied before, as the person has discarded it
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

    An apply that a killed process has left unfinished is undone first. `allow_runs_later` also
    allows paths that git ignores here.

    Raises:
        RepositoryRefused: another worktree was sent, the working tree is not clean, the changes do
            not fit, one is dangerous and that is not allowed, or a file cannot be written.
    """
    _require_same_worktree(repository, work)
    try:
        with workspace(repository) as space:
            return _apply(repository, work, space, allow_runs_later=allow_runs_later)
    except OSError as exc:
        place = f"{shown(str(exc.filename))}: " if exc.filename else ""
        raise RepositoryRefused(
            f"The work cannot be written: {place}{exc.strerror}", advice=AS_IT_WAS
        ) from exc


def _apply(
    repository: Repository, work: CheckedWork, space: Workspace, *, allow_runs_later: bool
) -> Applied:
    part, base = _new_part(repository, work)
    if part is Part.NOTHING:
        return Applied(part, Summary((), (), ()))
    summary = summarize(work, base)
    old = {
        each.path: None if each.status == "A" else state_of(repository.top, each.path)
        for each in summary.files
    }
    _require_clean(repository, [path for path, state in old.items() if state])
    if summary.runs_later and not allow_runs_later:
        raise RepositoryRefused(
            f"The work changes {pluralize(len(summary.runs_later), 'file')} that would run on this"
            f" machine: {join_shown([each.path for each in summary.runs_later])}",
            advice="Look at them in the branch; then merge it, or allow it with"
            " {pull --apply --allow-programs}.",
        )
    patch = read_patch(work, base, binary=True)
    if not patch:  # the agent has taken all of it back
        return Applied(Part.NOTHING, summary)
    _require_fit(repository, patch)
    ignored = ignored_paths(repository, [each.path for each in summary.files])
    if ignored and not allow_runs_later:
        raise RepositoryRefused(
            f"The work changes {pluralize(len(ignored), 'file')} in paths that git ignores here:"
            f" {join_shown(ignored)}",
            advice="They would be among files of yours that git does not show. Look at them in the"
            " branch; then allow it with {pull --apply --allow-programs}.",
        )
    _make_files(repository, work, patch, {path for path, state in old.items() if state}, space)
    new = {
        each.path: None if each.status == "D" else space.state_of_new(each.path)
        for each in summary.files
    }
    space.replace([Replacement(path, old[path], new[path]) for path in old])
    return Applied(part, summary)


def _make_files(
    repository: Repository, work: CheckedWork, patch: bytes, old: set[str], space: Workspace
) -> None:
    """Let git make the new files aside, with a temporary index that has the `old` ones alone.

    Raises:
        RepositoryRefused: it fails, or a filter does.
    """
    git = repository.git.with_variables(
        GIT_INDEX_FILE=str(space.path / "index"), GIT_OBJECT_DIRECTORY=str(work.stage.objects)
    )
    entries, unsure = _entries(repository, old)
    for stdin, *words in (
        (entries, "update-index", "-z", "--index-info"),
        (unsure, "update-index", "--add", "-z", "--stdin"),
        (patch, "apply", "--cached", "--whitespace=nowarn", "-"),
        (b"", "checkout-index", "--all", f"--prefix={space.new}/"),
    ):
        result = git.ask(*words, stdin=stdin)
        is_unfiltered = FILTER in result.errors  # git goes on without one that is not required
        if reason := reason_of(result.errors) if is_unfiltered else _failure(result):
            raise RepositoryRefused(
                f"Git could not apply the work: {reason}",
                advice=f"{AS_IT_WAS} If a filter of git failed, correct that; or merge the branch.",
            )


def _entries(repository: Repository, paths: set[str]) -> tuple[bytes, bytes]:
    """Return the entries of the index for files, and the paths of those that are to be read again.

    The working tree is clean, but git may have been told to overlook or to ignore a file.
    """
    lines: list[bytes] = []
    unsure = set(paths)
    for each in repository.git.names("ls-files", "-z", "--stage", "-v"):
        meta, _, path = each.partition("\t")
        if path in unsure:
            lines.append(encode(f"{meta[2:]}\t{path}\0"))
            if meta.startswith("H"):  # else it is assumed to be unchanged, or left out of checkouts
                unsure.remove(path)
    return b"".join(lines), nul_list(sorted(unsure))


def _new_part(repository: Repository, work: CheckedWork) -> tuple[Part, str]:
    """Return the part of the work that the working tree lacks, and the commit before it.

    The working tree decides: the person may have committed, merged or discarded earlier work. The
    part begins after the earliest --apply or merge since which all changes are lacking. A patch on
    text that repeats itself may fit a second time: earlier ones are looked for alone, too.
    """
    start = work.sent.commit
    merged = repository.git.ask("merge-base", "HEAD", work.tip).output.decode().strip()
    applied = [each for each in work.commits if each in {*work.sent.applied, merged}]
    last = applied[-1] if applied else start
    for base in (start, *applied)[:-1]:
        if _lacks(repository, read_patch(work, base, binary=True)) and not _has(
            repository, read_patch(work, base, last, binary=True)
        ):
            return Part.AGAIN, base
    newer = read_patch(work, last, binary=True)
    if _has(repository, newer) and not _fits(repository, newer):
        return Part.NOTHING, last
    return (Part.NEWER if applied else Part.ALL), last


def _lacks(repository: Repository, patch: bytes) -> bool:
    """Return whether the working tree has none of the changes of a patch, which fits."""
    return _fits(repository, patch) and not _has(repository, patch)


def _has(repository: Repository, patch: bytes) -> bool:
    """Return whether the working tree has the changes of a patch already."""
    return not patch or _check(repository, patch, "--reverse") == ""


def _fits(repository: Repository, patch: bytes) -> bool:
    return bool(patch) and _check(repository, patch) == ""


def _require_fit(repository: Repository, patch: bytes) -> None:
    if reason := _check(repository, patch):
        raise RepositoryRefused(
            f"The work does not fit the files here: {reason}",
            advice="Merge the branch: that shows the conflicts, but overwrites files that git"
            " ignores.",
        )


def _check(repository: Repository, patch: bytes, *options: str) -> str:
    """Return the reason for which git refuses to apply a patch, or an empty string."""
    words = ("apply", "--whitespace=nowarn", "--check", *options, "-")
    return _failure(repository.git.ask(*words, stdin=patch))


def _failure(result: Finished) -> str:
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
    return tuple(each for each in paths if os.path.lexists(join(repository.top, each)))


def _place(top: str, path: str) -> str:
    """Return a path, or the first of its parents that is here and no directory."""
    for parent in parents_of(path):
        place = join(top, parent)
        if status_of(place) is not None and not is_directory(place):
            return parent
    return path


def _require_same_worktree(repository: Repository, work: CheckedWork) -> None:
    sent = work.sent.worktree
    if sent != repository.worktree and (place := repository.place_of(sent)):
        raise RepositoryRefused(
            f"The work is on the files of another worktree, {shown(place)}",
            advice="Apply it there, or merge the branch here.",
        )


def _require_clean(repository: Repository, changed: Iterable[str]) -> None:
    """Check that git can bring back all that is `changed`; other untracked files may be there."""
    git = repository.git
    if begun := repository.in_progress:
        raise RepositoryRefused(
            f"The working tree is in the middle of {begun}",
            advice="Finish that first, or merge the branch later.",
        )
    words = ("--porcelain", "-z", "--no-renames", "--ignore-submodules=all")
    status = git.names("status", *words, "--untracked-files=no")
    if status:
        raise RepositoryRefused(
            f"The working tree is not clean: {join_shown([each[3:] for each in status])}",
            advice="Commit or stash the changes first, or merge the branch.",
        )
    if untracked := sorted(set(changed).difference(git.names("ls-files", "-z"))):
        raise RepositoryRefused(
            f"The work changes {pluralize(len(untracked), 'file')} that git does not track here:"
            f" {join_shown(untracked)}",
            advice="Commit them first: git could not bring them back as they are.",
        )
