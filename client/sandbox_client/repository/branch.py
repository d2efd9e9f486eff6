"""Make a branch of checked work, or let it go forward, and summarize the changes.

One ref of the person's is written, by comparing and swapping it; the index, the working tree and
every other ref stay as they are.
"""

from __future__ import annotations

import hashlib
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sandbox_client.api.sandboxes import WORK
from sandbox_client.errors import GitFailed, InvalidInput, RepositoryRefused
from sandbox_client.text import pluralize

from .file_kinds import RunsLater, find_runs_later
from .git import null_id, reason_of
from .names import decode, shown
from .store import move_objects

if TYPE_CHECKING:
    from .git import Git
    from .local import Repository
    from .quarantine import CheckedWork
    from .records import Records, Sent

PREFIX = "refs/heads/"
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_DIFF = ("--no-ext-diff", "--no-textconv", "--no-renames", "--no-color")
_MAX_COMMITS = 200  # of a summary
_MAX_PATCH = 64 * 1024 * 1024  # bytes


class CommitRow(NamedTuple):
    """A commit, with texts that are safe to print."""

    id: str
    author: str
    date: str  # ISO 8601
    subject: str


class FileRow(NamedTuple):
    """A changed file; a binary one has no counts of lines."""

    path: str
    status: str
    mode: str
    added: int | None
    deleted: int | None

    @property
    def shown_path(self) -> str:
        """The path, safe to print."""
        return shown(self.path)


@dataclass(frozen=True)
class Summary:
    """The changes of work: commits (the newest first), files, and those that run later."""

    commits: tuple[CommitRow, ...]
    files: tuple[FileRow, ...]
    runs_later: tuple[RunsLater, ...]

    @property
    def added(self) -> int:
        """The number of added lines."""
        return sum(each.added or 0 for each in self.files)

    @property
    def deleted(self) -> int:
        """The number of deleted lines."""
        return sum(each.deleted or 0 for each in self.files)


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
    """Return the branch for the work in a directory of a sandbox, unless the person names one.

    It is that of the sandbox, unless that has the work of another directory.
    """
    branch = default_branch(sent.sandbox)
    git = records.repository.git
    tip = _commit_of(git, f"{PREFIX}{branch}")
    is_there = dict.fromkeys(records.imported(sent.sandbox), False)
    for directory, commit in is_there:
        result = git.ask("merge-base", "--is-ancestor", commit, tip) if tip else None
        is_there[directory, commit] = result is not None and result.code == 0
    directories = {directory for (directory, _), found in is_there.items() if found}
    if not directories or sent.directory in directories:
        return branch
    name = _name_of(sent.directory)
    others = (each.directory for each in records.of(sent.sandbox))
    if any(each < sent.directory and _name_of(each) == name for each in others):
        name = f"{name}-{hashlib.sha256(sent.directory.encode()).hexdigest()[:6]}"
    return f"{branch}.{name}"


def _name_of(directory: str) -> str:
    below = directory.removeprefix(f"{WORK}/").strip("/")
    return _NOT_IN_A_NAME.sub("-", below).strip("-") or "root"


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
    held = repository.git.ask("merge-base", "--is-ancestor", sent.imported, ref)
    return [sent.commit, sent.pulled] if held.code == 0 else [sent.commit]


def summarize(work: CheckedWork, base: str = "") -> Summary:
    """Compare checked work with the snapshot that was sent, or with the commit `base` of it.

    All texts are safe to print. The commits are those of the whole work.
    """
    git, start = work.stage.git, base or work.sent.commit
    words = ("diff", "-z", "--numstat", "--raw", *_DIFF, "--abbrev=64", start, work.tip, "--")
    files = _file_rows(git.run(*words))
    rows = find_runs_later((each.path, each.mode) for each in files if each.status != "D")
    gone = find_runs_later((each.path, "") for each in files if each.status == "D")
    return Summary(_commit_rows(work), tuple(files), tuple(sorted([*rows, *gone])))


def read_patch(work: CheckedWork, base: str = "", *, binary: bool = False) -> bytes:
    """Return the changes of checked work since the commit `base`, or all of them, as a patch.

    Its texts are not safe to print.

    Raises:
        GitFailed: it is longer than 64 MiB.
    """
    words = ("diff", *_DIFF, *(["--binary"] if binary else []), "--full-index")
    start = base or work.sent.commit
    return work.stage.git.run(*words, start, work.tip, "--", max_output=_MAX_PATCH)


def read_diff(work: CheckedWork, limit: int) -> str:
    """Return the changes of checked work as text, safe to print; of a long one head and tail."""
    try:
        text = decode(read_patch(work))
    except GitFailed:
        return "(The diff is too long to be shown.)\n"
    safe = "\n".join(
        "\t".join(shown(each, limit) for each in line.split("\t")) for line in text.split("\n")
    )
    if len(safe) <= limit:
        return safe
    head = safe[: 2 * limit // 3].rpartition("\n")[0]
    tail = safe[len(safe) - limit // 3 :].partition("\n")[2]
    left_out = pluralize(len(safe) - len(head) - len(tail), "character")
    return f"{head}\n… {left_out} left out …\n{tail}"


def import_work(repository: Repository, work: CheckedWork, branch: str) -> Imported:
    """Copy checked commits into the repository, and make the branch or let it go forward.

    Raises:
        RepositoryRefused: the branch is checked out, diverged, or changed meanwhile.
        InvalidInput: the branch's name is invalid.
    """
    ref = require_free(repository, branch, work.sent)
    git = repository.git
    old = _commit_of(git, ref)
    if old and not _goes_forward(work, old):
        raise RepositoryRefused(
            f"The branch '{branch}' has commits that the work in the sandbox does not have",
            advice=f"Name another one with {_other_branch(work.sent)}, or rename that one with"
            " `git branch -m`.",
        )
    move_objects(work.stage.git, git, [work.tip], [each for each in [work.sent.head] if each])
    if old != work.tip:
        _swap(repository, ref, old, work.tip, work.sent)
    return Imported(branch, old, work.tip)


def require_free(repository: Repository, branch: str, sent: Sent) -> str:
    """Return the ref of a branch that may be written with the work on `sent`.

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
            f" removed), or name another one with {_other_branch(sent)}.",
        )
    if use := repository.use_of(ref):
        raise RepositoryRefused(
            f"The branch '{branch}' is in the middle of {use.activity} in {shown(use.place)}",
            advice=f"Finish or abort that there (`git {use.command}`), or name another branch with"
            f" {_other_branch(sent)}.",
        )
    if git.ask("symbolic-ref", "--quiet", ref).code == 0:
        raise RepositoryRefused(
            f"The branch '{branch}' is a symbolic ref, which leads to another one",
            advice=f"Name another one with {_other_branch(sent)}.",
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


def _goes_forward(work: CheckedWork, old: str) -> bool:
    return work.stage.git.ask("merge-base", "--is-ancestor", old, work.tip).code == 0


def _other_branch(sent: Sent) -> str:
    """Return the command line that fetches the work as another branch."""
    where = shown(shlex.quote(sent.directory))
    return f"`remote-sandbox pull --branch BRANCH --directory {where} {sent.sandbox}`"


def _swap(repository: Repository, ref: str, old: str, new: str, sent: Sent) -> None:
    """Write a ref if it still has its old value."""
    expected = old or null_id(repository.object_format)
    message = f"remote-sandbox: pull {sent.sandbox}"
    words = ("update-ref", "--no-deref", "-m", message, ref, new, expected)
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
        advice=f"Name another one with {_other_branch(sent)}, or see `git branch` for one whose"
        " name is the beginning of this one.",
    )


def _commit_of(git: Git, ref: str) -> str:
    result = git.ask("rev-parse", "--verify", "--quiet", ref)
    return decode(result.output.strip()) if result.code == 0 else ""


def _commit_rows(work: CheckedWork) -> tuple[CommitRow, ...]:
    output = work.stage.git.run(
        *("log", "--no-walk=unsorted", "--stdin", "-z", "--no-mailmap", "--encoding=UTF-8"),
        "--format=%H%n%an%n%aI%n%s",
        stdin="".join(f"{each}\n" for each in work.commits[::-1][:_MAX_COMMITS]).encode(),
    )
    rows = (decode(each).split("\n", 3) for each in output.split(b"\0") if each)
    return tuple(CommitRow(row[0], shown(row[1]), row[2], shown(row[3])) for row in rows)


def _file_rows(output: bytes) -> list[FileRow]:
    """Read `git diff --raw --numstat -z`: first the raw entries, then the counts."""
    words = decode(output).split("\0")
    raw: dict[str, tuple[str, str]] = {}
    counts: dict[str, tuple[int | None, int | None]] = {}
    at = 0
    while at < len(words) - 1:
        if words[at].startswith(":"):
            meta = words[at][1:].split(" ")
            raw[words[at + 1]] = (meta[4][:1], meta[1])
            at += 2
        else:
            added, deleted, path = words[at].split("\t", 2)
            counts[path] = (_number(added), _number(deleted))
            at += 1
    return [
        FileRow(path, status, mode, *counts.get(path, (None, None)))
        for path, (status, mode) in raw.items()
    ]


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None
