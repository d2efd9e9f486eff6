"""Make a branch of checked work, or let it go forward.

One ref of the person's is written, by comparing and swapping it; the index, the working tree and
every other ref stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import GitFailed, InvalidInput, RepositoryRefused

from .git import null_id, reason_of
from .names import decode, shown
from .store import move_objects
from .trees import changed_paths

if TYPE_CHECKING:
    from .git import Git
    from .local import Repository
    from .quarantine import CheckedWork
    from .records import Records, Sent

PREFIX = "refs/heads/"
_OTHER_BRANCH = "{pull --branch BRANCH}"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Imported:
    """A branch after an import; `old` is empty if the branch is new."""

    branch: str
    old: str
    new: str

    @property
    def is_changed(self) -> bool:
        """Whether the branch was made, or went forward."""
        return self.old != self.new


def default_branch(sandbox: str) -> str:
    """Return the name of the branch for the work of a sandbox."""
    return f"sandbox/{sandbox}"


def branch_of(records: Records, sent: Sent) -> str:
    """Return the branch for the work on `sent`, unless the person names one.

    It is the one that has this work already. A branch that has the work on an earlier push stays as
    it is, and the next one gets a number.
    """
    if found := _branch_at(records, sent):
        return found
    first = name = first_branch_of(records, sent)
    number = 1
    while _is_of_earlier_push(records, sent, name):
        number += 1
        name = f"{first}_{number}"  # no sandbox has an underscore in its name
    return name


def earlier_branch(repository: Repository, branch: str) -> str:
    """Return the branch that has the work on an earlier push, if `branch_of` has left one."""
    first, _, number = branch.rpartition("_")
    is_there = number.isdigit() and _commit_of(repository.git, f"{PREFIX}{first}")
    return first if is_there else ""


def _branch_at(records: Records, sent: Sent) -> str:
    """Return the branch that has just the work of the last pull, by the names of `branch_of`."""
    if not sent.imported:
        return ""
    name = f"{PREFIX}{default_branch(sent.sandbox)}"
    words = ("--format=%(refname)", f"--points-at={sent.imported}")
    patterns = (name, f"{name}.*", f"{name}_*")
    listed = records.repository.git.ask("for-each-ref", *words, *patterns)
    found = decode(listed.output).split() if listed.code == 0 else []
    made = re.compile(rf"{re.escape(name)}(?:\.[\w-]+?)?(?:_\d+)?")
    return next((each.removeprefix(PREFIX) for each in found if made.fullmatch(each)), "")


def first_branch_of(records: Records, sent: Sent) -> str:
    """Return the branch for the first work in a directory of a sandbox.

    It is that of the sandbox, unless that has the work of another directory.
    """
    branch = default_branch(sent.sandbox)
    git = records.repository.git
    tip = _commit_of(git, f"{PREFIX}{branch}")
    is_there = dict.fromkeys(records.imported(sent.sandbox), False)
    for directory, commit in is_there:
        is_there[directory, commit] = bool(tip) and _is_ancestor(git, commit, tip)
    directories = {directory for (directory, _), found in is_there.items() if found}
    if not directories or sent.directory in directories:
        return branch
    name = _name_of(sent.directory)
    others = (each.directory for each in records.of(sent.sandbox))
    if any(each < sent.directory and _name_of(each) == name for each in others):
        name = f"{name}-{hashlib.sha256(sent.directory.encode()).hexdigest()[:6]}"
    return f"{branch}.{name}"


def _is_of_earlier_push(records: Records, sent: Sent, branch: str) -> bool:
    """Return whether a branch is as a pull has left it, and the work on `sent` begins elsewhere."""
    git, ref = records.repository.git, f"{PREFIX}{branch}"
    tip = _commit_of(git, ref)
    if not tip or any(_is_ancestor(git, tip, each) for each in (sent.head, sent.imported) if each):
        return False
    if tip in {commit for _, commit in records.imported(sent.sandbox)}:
        return True
    last = git.ask("log", "--walk-reflogs", "--max-count=1", "--format=%gs", ref, "--")
    return decode(last.output.strip()) == _message(sent)


def _is_ancestor(git: Git, commit: str, other: str) -> bool:
    return git.ask("merge-base", "--is-ancestor", commit, other).code == 0


def _name_of(directory: str) -> str:
    below = directory.removeprefix(f"{WORK}/").strip("/")
    name = _NOT_IN_A_NAME.sub("-", below).strip("-") or "root"
    return f"{name}-" if name == "lock" else name  # no branch may end with .lock


def check_branch_name(repository: Repository, branch: str) -> str:
    """Return the ref of a branch.

    Raises:
        InvalidInput: git does not allow the name.
    """
    result = repository.git.ask("check-ref-format", f"{PREFIX}{branch}")
    if result.code != 0 or branch.startswith("-") or branch == "HEAD":
        raise InvalidInput(
            f"'{shown(branch)}' cannot be the name of a branch",
            advice="Use letters, digits, hyphens and single slashes.",
        )
    return f"{PREFIX}{branch}"


def haves(repository: Repository, sent: Sent, branch: str) -> list[str]:
    """Return the commits of the sandbox that are here, too: the one sent and the one pulled."""
    ref = check_branch_name(repository, branch)
    if not sent.pulled or sent.withheld or not _commit_of(repository.git, ref):
        return [sent.commit]
    is_held = _is_ancestor(repository.git, sent.imported, ref)
    return [sent.commit, sent.pulled] if is_held else [sent.commit]


def import_work(repository: Repository, work: CheckedWork, branch: str) -> Imported:
    """Copy checked commits into the repository, and make the branch or let it go forward.

    Raises:
        RepositoryRefused: the branch is checked out, diverged, or changed meanwhile.
        InvalidInput: the branch's name is invalid.
    """
    ref = require_free(repository, branch)
    git = repository.git
    old = _commit_of(git, ref)
    if old and not _is_ancestor(work.stage.git, old, work.tip):
        quoted = shlex.quote(branch)
        raise RepositoryRefused(
            f"The branch '{branch}' has commits that the work in the sandbox does not have",
            advice=f"In the repository, rename it with `git branch -m {quoted} {quoted}_mine` and"
            f" fetch the work again with {{pull}}, or name another one with {_OTHER_BRANCH}.",
        )
    known = [each for each in [work.sent.head] if each]
    if known and git.ask("cat-file", "-e", f"{known[0]}^{{tree}}").code != 0:
        known = repository.tips
    move_objects(work.stage.git, git, [work.tip], known)
    if old != work.tip:
        _swap(repository, ref, old, work.tip, work.sent)
    return Imported(branch, old, work.tip)


def is_in_the_way(repository: Repository, commit: str) -> bool:
    """Return whether there are uncommitted changes of files that a commit changes, too."""
    git = repository.git
    base = git.text("merge-base", repository.head, commit)
    changed = changed_paths(git, base, commit)
    options = ("--no-renames", "--ignore-submodules=all", "--untracked-files=all")
    return any(each[3:] in changed for each in git.names("status", "--porcelain", "-z", *options))


def require_free(repository: Repository, branch: str) -> str:
    """Return the ref of a branch that may be written.

    Raises:
        RepositoryRefused: it is checked out, rebased or bisected in a worktree, or leads to another
            branch.
        InvalidInput: git does not allow the name.
    """
    ref = check_branch_name(repository, branch)
    git = repository.git
    if where := _checked_out_in(repository, ref):
        raise RepositoryRefused(
            f"The branch '{branch}' is checked out in {shown(where)}",
            advice="Check out another branch there (`git worktree prune`, if that directory was"
            f" removed), or name another one with {_OTHER_BRANCH}.",
        )
    if use := repository.use_of(ref):
        raise RepositoryRefused(
            f"The branch '{branch}' is in the middle of {use.activity} in {shown(use.place)}",
            advice=f"Finish or abort that there (`git {use.command}`), or name another branch with"
            f" {_OTHER_BRANCH}.",
        )
    if git.ask("symbolic-ref", "--quiet", ref).code == 0:
        raise RepositoryRefused(
            f"The branch '{branch}' is a symbolic ref, which leads to another one",
            advice=f"Name another one with {_OTHER_BRANCH}.",
        )
    return ref


def _checked_out_in(repository: Repository, ref: str) -> str:
    """Return the worktree that has checked out a branch, also one without a commit, if any."""
    place = ""
    for line in repository.git.text("worktree", "list", "--porcelain").split("\n"):
        name, _, value = line.partition(" ")
        if name == "worktree":
            place = value
        elif name == "branch" and value == ref:
            return place
    return ""


def _message(sent: Sent) -> str:
    """Return the message of a pull in the reflog of a branch."""
    return f"remote-sandbox: pull {sent.sandbox}"


def _swap(repository: Repository, ref: str, old: str, new: str, sent: Sent) -> None:
    """Write a ref if it still has its old value."""
    expected = old or null_id(repository.object_format)
    words = ("update-ref", "--no-deref", "-m", _message(sent), ref, new, expected)
    result = repository.git.ask(*words)
    if result.code == 0 or _commit_of(repository.git, ref) == new:
        return  # another pull may have written the same
    branch = ref.removeprefix(PREFIX)
    if _commit_of(repository.git, ref) != old:
        raise RepositoryRefused(
            f"The branch '{branch}' was changed by another program during the pull",
            advice="Fetch it again with {pull}.",
        )
    raise GitFailed(
        f"The branch '{branch}' cannot be written: {reason_of(result.errors)}",
        advice=f"Name another one with {_OTHER_BRANCH}, or see `git branch` for one whose"
        " name is the beginning of this one.",
    )


def _commit_of(git: Git, ref: str) -> str:
    result = git.ask("rev-parse", "--verify", "--quiet", ref)
    return decode(result.output.strip()) if result.code == 0 else ""
