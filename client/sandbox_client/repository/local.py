"""The repository of the person: its directories, its HEAD, and the reasons to refuse it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from sandbox_client.errors import GitFailed, LocalFileError, RepositoryRefused
from sandbox_client.text import pluralize

from .git import Git, is_id
from .names import decode, shown

Relation = Literal["related", "unrelated", "none"]

_BRANCHES = "refs/heads/"
_PROMISOR = r"^(remote\..*\.promisor|extensions\.partialclone)$"
_IN_PROGRESS = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
    "BISECT_LOG": "a bisection",
}


class Use(NamedTuple):
    """The use of a branch by a rebase or a bisection, and the worktree in which that goes on."""

    activity: str
    command: str  # of git
    place: str


@dataclass(frozen=True)
class Repository:
    """A repository with a working tree; `head` is a commit id, empty if there is no commit yet.

    `branch` is the branch that is checked out, empty for a detached HEAD. A linked worktree has a
    `git_dir` of its own; `common_dir` is the same for all worktrees.
    """

    git: Git
    top: str
    git_dir: str
    common_dir: str
    objects: str
    object_format: str
    head: str
    branch: str

    @property
    def store_dir(self) -> Path:
        """The directory of this program in the repository, which git ignores."""
        return Path(self.common_dir, "remote-sandbox")

    @property
    def worktree(self) -> str:
        """The linked worktree, as its directory below `common_dir`; empty for the main one."""
        git_dir = os.path.realpath(self.git_dir)
        return "" if git_dir == self.common_dir else os.path.relpath(git_dir, self.common_dir)

    def place_of(self, worktree: str) -> str:
        """Return the path of a worktree of this repository, empty if it was removed."""
        if not worktree:
            return os.path.dirname(self.common_dir)  # noqa: PTH120  # a name may not be UTF-8
        try:
            link = Path(self.common_dir, worktree, "gitdir").read_bytes()
        except OSError:
            return ""
        top = os.path.dirname(decode(link.removesuffix(b"\n")))  # noqa: PTH120
        return top if os.path.isdir(top) else ""  # noqa: PTH112

    @property
    def shallow(self) -> tuple[str, ...]:
        """The commits at which the history of a shallow clone ends."""
        try:
            text = Path(self.common_dir, "shallow").read_text(encoding="ascii")
        except FileNotFoundError:
            return ()
        return tuple(each for each in text.split() if is_id(each))

    @property
    def tips(self) -> list[str]:
        """The objects of all refs, and HEAD: git removes nothing that they lead to."""
        refs = self.git.text("for-each-ref", "--format=%(objectname)").split()
        return list(dict.fromkeys([*refs, self.head] if self.head else refs))

    @property
    def in_progress(self) -> str:
        """The operation that the person has begun, such as `a merge`, or an empty string."""
        found = (each for name, each in _IN_PROGRESS.items() if Path(self.git_dir, name).exists())
        return next(found, "")

    def relation_to(self, commit: str) -> Relation:
        """Return whether HEAD and a commit have a common ancestor; `none` without a HEAD."""
        if not self.head:
            return "none"
        found = self.git.ask("merge-base", self.head, commit)
        return "related" if found.code == 0 else "unrelated"

    def use_of(self, ref: str) -> Use | None:
        """Return the rebase or bisection of a branch in any worktree, if there is one."""
        linked = sorted(Path(self.common_dir, "worktrees").glob("*"))
        for git_dir in (Path(self.common_dir), *linked):
            worktree = os.path.relpath(git_dir, self.common_dir).removeprefix(".")
            place = self.place_of(worktree) or str(git_dir)
            if ref in _rebased(git_dir):
                return Use("a rebase", "rebase --continue", place)
            if ref == f"{_BRANCHES}{_text(git_dir / 'BISECT_START')}":
                return Use("a bisection", "bisect reset", place)
        return None

    def now(self) -> Repository:
        """Return the repository with its current HEAD."""
        return open_repository(self.top, self.git)


def open_repository(directory: str, git: Git) -> Repository:
    """Find the repository of a directory.

    Raises:
        RepositoryRefused: there is none, it has no working tree, or it is another user's.
        LocalFileError: there is no such directory.
    """
    if not Path(directory).is_dir():
        raise LocalFileError(f"{shown(directory)} is not a directory")
    top = _top(directory, git)
    here = git.at(top)
    common_dir = _absolute(top, here.text("rev-parse", "--git-common-dir"))
    return Repository(
        git=here,
        top=top,
        git_dir=here.text("rev-parse", "--absolute-git-dir"),
        common_dir=common_dir,
        objects=_absolute(top, here.text("rev-parse", "--git-path", "objects")),
        object_format=here.text("rev-parse", "--show-object-format"),
        head=_head(here),
        branch=_branch(here),
    )


def _rebased(git_dir: Path) -> set[str]:
    """Return the branches that a rebase in a worktree moves at its end."""
    updated = _text(git_dir / "rebase-merge" / "update-refs").split("\n")[::3]
    heads = (_text(git_dir / name / "head-name") for name in ("rebase-merge", "rebase-apply"))
    return {*heads, *updated}


def _text(path: Path) -> str:
    try:
        return decode(path.read_bytes().removesuffix(b"\n"))
    except OSError:
        return ""


def _top(directory: str, git: Git) -> str:
    place = str(Path(directory).resolve())
    here = git.at(place)
    result = here.ask("rev-parse", "--show-toplevel")
    if result.code == 0:
        return decode(result.output.removesuffix(b"\n"))
    errors = decode(result.errors)
    if "dubious ownership" in errors or "safe.directory" in errors:
        raise RepositoryRefused(
            f"The repository of {shown(place)} belongs to another user",
            advice="Let its owner send it, or add it to safe.directory in git's configuration.",
        )
    if "must be run in a work tree" in errors:
        raise RepositoryRefused(
            f"{shown(place)} is a bare repository or a .git directory, without a working tree",
            advice="Name a directory of a working tree; `git worktree add` makes one.",
        )
    if "not a git repository" not in errors.lower():
        here.run("rev-parse", "--show-toplevel")  # raises with git's reason
    raise RepositoryRefused(
        f"{shown(place)} is not in a git repository",
        advice="Name your repository: go to its directory, or add `--repo DIR` in a terminal."
        " Without one, `remote-sandbox cp` copies files, and `git init` makes one for a push.",
    )


def require_objects(repository: Repository, *, history: bool = False) -> None:
    """Check that the objects of HEAD and the index are here, with `history` those of all commits.

    Nothing is fetched.

    Raises:
        RepositoryRefused: some are not, as the repository is a partial clone.
        GitFailed: some are not, or cannot be read.
    """
    if not repository.head:
        return
    depth = [] if history else ["--no-walk"]
    words = ("rev-list", "--objects", "--no-object-names", "--missing=print", "--indexed-objects")
    listed = repository.git.text(*words, *depth, repository.head).splitlines()
    missing = [each.removeprefix("?") for each in listed if each.startswith("?")]
    if not missing:
        return
    count = pluralize(len(missing), "object")
    if repository.git.ask("config", "--get-regexp", _PROMISOR).code == 0:
        fewer = ", or leave out --history" if history else ""
        raise RepositoryRefused(
            f"The repository lacks {count} that would go, as it is a partial clone",
            advice=f"Fetch them with `git fetch --refetch --no-filter` (git 2.36 or newer){fewer}."
            " Then send it with {push}.",
        )
    raise GitFailed(f"The repository lacks {count} that would go; the first is {missing[0]}")


def _absolute(top: str, path: str) -> str:
    return os.path.realpath(os.path.join(top, path))  # noqa: PTH118  # a name may not be UTF-8


def _head(git: Git) -> str:
    result = git.ask("rev-parse", "--verify", "--quiet", "HEAD^{commit}")
    if result.code == 0:
        return decode(result.output.strip())
    symbolic = git.ask("symbolic-ref", "--quiet", "HEAD")
    known = git.ask("rev-parse", "--verify", "--quiet", "HEAD")
    if symbolic.code == 0 and known.code != 0:
        return ""  # a branch without a commit
    raise GitFailed("HEAD leads to no commit: the repository is damaged")


def _branch(git: Git) -> str:
    result = git.ask("symbolic-ref", "--quiet", "HEAD")
    return decode(result.output.strip()).removeprefix(_BRANCHES) if result.code == 0 else ""
