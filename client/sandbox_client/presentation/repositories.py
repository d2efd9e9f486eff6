"""Pushes and pulls of repositories, as objects and as sentences; all names are safe to print."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from rich.cells import cell_len

from sandbox_client.repository.names import shown
from sandbox_client.text import format_size, pluralize

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sandbox_client.repository.model import Pull, Push, PushPlan
    from sandbox_client.repository.summary import FileRow

MAX_NAMES = 10  # in a sentence
MAX_ROWS = 60  # of a diffstat, a list of commits, or one of files that run later
_WITHIN = "within the directory"
_BARS = (40, 20, 8)  # signs for the lines of a file, fewer where columns are few
_MIN_PATH = 10  # columns
_APPLIED = {  # by the value of a `Part`
    "all": "applied to the working tree, not committed",
    "newer": "applied to the working tree, not committed: the changes since the last --apply or"
    " merge",
    "again": "applied to the working tree, not committed: also changes of an earlier --apply, which"
    " were not there any more",
    "nothing": "nothing new to apply: all of it was applied before, or is here already",
}


def plan_content(plan: PushPlan) -> dict[str, object]:
    """Return the plan of a push as an object."""
    return {
        "name": plan.name,
        "repository": plan.repository,
        "directory": plan.directory,
        "branch": plan.branch,
        "head": plan.head,
        "files": plan.amount.files,
        "bytes": plan.amount.size,
        "earlier_versions": plan.amount.earlier,
        "earlier_bytes": plan.amount.earlier_size,
        "commits": plan.amount.commits,
        "history": plan.has_history,
        "untracked": len(plan.survey.untracked),
        "included": [shown(each) for each in plan.included],
        "left_out": [shown(each) for each in plan.left_out],
        "sent_before": [shown(each) for each in plan.sent_before],
        "overlooked": [shown(each) for each in plan.overlooked],
        "drops_work": plan.drops_work,
        "submodules": [shown(each) for each in plan.survey.submodules],
        "embedded_repositories": [shown(each) for each in plan.survey.embedded],
        "lfs_pointers": plan.survey.lfs_files,
        "in_progress": plan.survey.in_progress,
        "unused_patterns": [shown(each) for each in plan.unused],
    }


def push_content(push: Push) -> dict[str, object]:
    """Return a push as an object."""
    return {
        **plan_content(push.plan),
        "commit": push.commit,
        "was_needed": push.plan.is_needed,
        "sent_bytes": push.size,
        "keeps_modes": push.keeps_modes,
    }


def describe_plan(plan: PushPlan) -> list[str]:
    """Return lines about the files of a push, their destination, and the files that stay here."""
    if not plan.is_needed:
        work = ", and work on it" if plan.has_work else ""
        return [f"{plan.name} has just this already{work}, in {plan.directory}", *_notes(plan)]
    amount = plan.amount
    files = f"{pluralize(amount.files, 'file')} ({format_size(amount.size)})"
    if amount.earlier:
        versions = "1 earlier version of a file"
        if amount.earlier > 1:
            versions = f"{amount.earlier} earlier versions of files"
        files += f" and {versions} ({format_size(amount.earlier_size)})"
    history = f"{pluralize(amount.commits, 'commit')}" + (
        " with the history" if plan.has_history else ", no earlier history"
    )
    source = f"{shown(plan.repository)} ({_state(plan)})"
    return [f"{source} goes to {plan.name}:{plan.directory}: {files}, {history}", *_notes(plan)]


def _state(plan: PushPlan) -> str:
    branch = f"branch {shown(plan.branch)}" if plan.branch else "detached HEAD"
    return f"{branch} at {plan.head[:10]}" if plan.head else f"{branch}, no commit yet"


def _notes(plan: PushPlan) -> list[str]:
    found = plan.survey
    untracked = [each for each in found.untracked if each not in plan.left_out]
    notes = [
        _note("not in git yet, and goes as well", untracked),
        _note("goes, although its name looks like a secret", plan.included),
        _note("stays here", [each for each in plan.left_out if each not in plan.sent_before]),
        _note("stays here, but an earlier push has sent it", plan.sent_before),
        _note("git is told to overlook its changes, which stay here", plan.overlooked),
        _note("a submodule, whose files stay here", found.submodules),
        _note("a repository of its own, which stays here", found.embedded),
        _note("fits no file that could go", plan.unused),
    ]
    if found.lfs_files:
        notes.append(f"{pluralize(found.lfs_files, 'file')} of Git LFS: only the pointers go")
    if found.in_progress:
        notes.append(f"in the middle of {found.in_progress}: it goes as the files are now")
    if plan.drops_work:
        notes.append(
            "lacks work that was pulled from there, or has it changed: merge that first if the"
            " agent is to go on with it"
        )
    return [f"  {each}" for each in notes if each]


def _note(words: str, names: Sequence[str]) -> str:
    return f"{words}: {join_paths(names)}" if names else ""


def join_paths(paths: Sequence[str]) -> str:
    """Join the first paths, safe to print, and count the others."""
    more = f" and {len(paths) - MAX_NAMES} more" if len(paths) > MAX_NAMES else ""
    return ", ".join(map(shown, paths[:MAX_NAMES])) + more


def describe_push(push: Push) -> str:
    """Return a sentence about a push that is done."""
    where = f"{push.plan.name}:{push.directory}"
    if not push.plan.is_needed:
        return f"{where} has {push.commit[:10]} already; nothing was sent"
    modes = (
        "" if push.keeps_modes else "; files there cannot be made executable, git knows which are"
    )
    return f"{where} is at {push.commit[:10]} ({format_size(push.size)} sent){modes}"


def pull_content(pull: Pull, limit: int | None = MAX_ROWS) -> dict[str, object]:
    """Return a pull as an object, with at most `limit` commits, files and names of each kind."""
    summary = pull.summary
    content: dict[str, object] = {
        "name": pull.name,
        "repository": pull.repository,
        "directory": pull.directory,
        "branch": pull.branch,
        "commit": pull.commit,
        "has_work": pull.has_work,
        "changed": pull.is_changed,
        "left_uncommitted": pull.left_uncommitted,
        "other_branches": pull.other_branches,
        "stashes": pull.stashes,
        "inner_repositories": pull.inner_repositories,
        "other_directories": [shown(each) for each in pull.other_directories],
        "earlier_branch": pull.earlier_branch,
        "commits": [
            {"id": each.id, "author": each.author, "date": each.date, "subject": each.subject}
            for each in summary.commits[:limit]
        ],
        "files": [_file_content(each) for each in summary.files[:limit]],
        "files_changed": len(summary.files),
        "lines_added": summary.added,
        "lines_deleted": summary.deleted,
        "runs_later": [
            {"path": shown(each.path), "run_by": each.runner} for each in summary.runs_later[:limit]
        ],
        "ignored": [shown(each) for each in pull.ignored[:limit]],
        "overwrites": [shown(each) for each in pull.overwrites[:limit]],
        "applied": pull.is_applied,
    }
    if pull.applied_part is not None:
        content["applied_part"] = pull.applied_part.value
    if pull.not_applied:
        content["not_applied"] = pull.not_applied.message
    if pull.put_back:
        content["put_back"] = pull.put_back
    return content | {"diff": pull.diff} if pull.diff else content


def _file_content(row: FileRow) -> dict[str, object]:
    return {
        "path": row.shown_path,
        "status": row.status,
        "added": row.added,
        "deleted": row.deleted,
    }


def describe_pull(pull: Pull, width: int | None = None) -> list[str]:
    """Return lines about the work that a pull found: the branch, its commits and its diffstat.

    Lines of lists are indented; with a `width`, the diffstat has at most this many columns.
    """
    if not pull.has_work:
        stayed = _stayed(pull)
        sent = f"has no work yet: {pull.directory} is as it was sent"
        first = f"has nothing to fetch from {pull.directory} yet" if stayed else sent
        return [f"{pull.name} {first}", *stayed, *_other_directories(pull), *_put_back(pull)]
    summary = pull.summary
    what = "is new" if pull.is_new else "went forward" if pull.is_changed else "is up to date"
    count = pluralize(len(summary.commits), "commit")
    lines = [f"branch {pull.branch} {what}: {count} from {pull.name}:{pull.directory}"]
    lines += _limited(f"  {each.id[:10]} {each.subject}" for each in summary.commits)
    lines += diffstat(summary.files, width)
    if pull.left_uncommitted:
        lines.append("the last commit has what was left uncommitted in the sandbox")
    lines += _stayed(pull) + _other_directories(pull)
    if new := [each for each in pull.ignored if each not in pull.overwrites]:
        lines.append(f"goes to paths that git ignores here, if you merge it: {join_paths(new)}")
    if pull.overwrites:
        names = join_paths(pull.overwrites)
        lines.append(f"a merge would overwrite files of yours that git ignores: {names}")
    if summary.runs_later:
        lines.append("these can run on this machine after a merge; look at them first:")
        lines += _limited(f"  {shown(each.path)} ({each.runner})" for each in summary.runs_later)
    lines += _put_back(pull)
    if pull.applied_part is not None:
        lines.append(_APPLIED[pull.applied_part.value])
    return lines + _before_merge(pull)


def _put_back(pull: Pull) -> list[str]:
    if not pull.put_back:
        return []
    count = pluralize(pull.put_back, "file")
    return [f"an --apply that was interrupted was undone first: {count} put back as before it"]


def _before_merge(pull: Pull) -> list[str]:
    """Return the lines about the commands that follow."""
    lines: list[str] = []
    if pull.earlier_branch:
        lines.append(f"branch {pull.earlier_branch} has the work on an earlier push, and stays")
    if pull.is_in_the_way and not pull.is_applied:
        lines.append("commit your changes before you merge: the branch changes the same files")
    if pull.head == "none":
        lines.append("the last command makes the files, as they were sent, your first commit")
    return lines


def _stayed(pull: Pull) -> list[str]:
    kinds = (
        (pull.other_branches, "other branch", "other branches"),
        (pull.stashes, "stash", "stashes"),
        (pull.inner_repositories, f"repository {_WITHIN}", f"repositories {_WITHIN}"),
    )
    return [
        f"{count} {one if count == 1 else many} stayed in the sandbox"
        for count, one, many in kinds
        if count
    ]


def _other_directories(pull: Pull) -> list[str]:
    if not pull.other_directories:
        return []
    names = join_paths(pull.other_directories)
    return [f"not fetched: {names}, sent from here as well (--directory, or --all)"]


def diffstat(files: Sequence[FileRow], width: int | None = None) -> list[str]:
    """Return a line for each changed file, as git does, and one with the sums.

    With a `width`, the bars are shorter and the beginnings of long paths left out, to fit.
    """
    shown_files = files[:MAX_ROWS]
    longest = max((cell_len(each.shown_path) for each in shown_files), default=0)
    changes, room = list[str](), longest
    for bar in _BARS:
        changes = _all_changes(files, bar)
        if width is not None:
            room = width - max(map(len, changes), default=0) - len("   | ")
        if room >= longest:
            break
    names = min(longest, max(room, _MIN_PATH))
    rows = [
        f"  {_fit_path(each.shown_path, names)} | {change}"
        for each, change in zip(shown_files, changes, strict=True)
    ]
    if len(files) > MAX_ROWS:
        rows.append(f"  … and {len(files) - MAX_ROWS} more")
    added, deleted = sum(f.added or 0 for f in files), sum(f.deleted or 0 for f in files)
    total = f"  {pluralize(len(files), 'file')} changed, {added} added and {deleted} deleted lines"
    return [*rows, total]


def _all_changes(files: Sequence[FileRow], bar: int) -> list[str]:
    """Return the changes of each file that is shown, the longest with `bar` signs."""
    most = max(((each.added or 0) + (each.deleted or 0) for each in files), default=0)
    scale = min(1.0, bar / most) if most else 1.0
    return [_changes(each, scale) for each in files[:MAX_ROWS]]


def _fit_path(path: str, columns: int) -> str:
    """Return a path in this many columns: padded, or without its beginning."""
    if cell_len(path) > columns:
        while cell_len(path) >= columns:
            path = path[1:]
        path = f"…{path}"
    return path + " " * (columns - cell_len(path))


def _changes(row: FileRow, scale: float) -> str:
    if row.added is None or row.deleted is None:
        return {"A": "new, binary", "D": "deleted, binary"}.get(row.status, "binary")
    bar = "+" * _signs(row.added, scale) + "-" * _signs(row.deleted, scale)
    kind = {"A": " (new)", "D": " (deleted)"}.get(row.status, "")
    return f"{row.added + row.deleted} {bar}".rstrip() + kind


def _signs(lines: int, scale: float) -> int:
    """Return how many signs stand for lines: at least one, if there are any."""
    return max(round(lines * scale), 1) if lines else 0


def _limited(lines: Iterable[str]) -> list[str]:
    found = list(lines)
    more = [f"  … and {len(found) - MAX_ROWS} more"] if len(found) > MAX_ROWS else []
    return found[:MAX_ROWS] + more


def next_commands(pull: Pull, *, is_here: bool = True) -> list[str]:
    """Return the three command lines that make sense after a pull; none if there is no work.

    They name the repository unless it `is_here`, in the working directory.
    """
    if not pull.has_work:
        return []
    git = "git" if is_here else f"git -C {shlex.quote(pull.repository)}"
    branch = shlex.quote(pull.branch)
    base = pull.base[:12]
    work = f"{base}..{branch}"
    if pull.head == "none":
        join = f"{git} reset -q {base} && {git} merge {branch}"
        return [f"{git} diff {work}", f"{git} log -p {work}", join]
    if pull.head == "unrelated":
        return [f"{git} diff {work}", f"{git} log -p {work}", f"{git} cherry-pick {work}"]
    seen = work if base else f"HEAD...{branch}"
    return [f"{git} diff {seen}", f"{git} log -p HEAD..{branch}", f"{git} merge {branch}"]
