"""Summarize the changes of checked work: commits, files, those that run later, and a diff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from sandbox_client.errors import GitFailed
from sandbox_client.text import pluralize

from .file_kinds import RunsLater, find_runs_later
from .names import decode, shown

if TYPE_CHECKING:
    from .quarantine import CheckedWork

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


def read_patch(work: CheckedWork, base: str = "", end: str = "", *, binary: bool = False) -> bytes:
    """Return the changes of checked work since the commit `base`, or all of them, as a patch.

    It ends with the commit `end`, if that is given. Its texts are not safe to print.

    Raises:
        GitFailed: it is longer than 64 MiB.
    """
    words = ("diff", *_DIFF, *(["--binary"] if binary else []), "--full-index")
    commits = (base or work.sent.commit, end or work.tip)
    return work.stage.git.run(*words, *commits, "--", max_output=_MAX_PATCH)


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
