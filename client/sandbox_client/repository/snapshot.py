"""The working tree as it is, as a commit on top of HEAD, without a change of the repository.

`survey` lists the names of all files that would go. `take_snapshot` then adds those, and no others,
with a temporary index and a temporary object directory. The commit depends on nothing but the
content and HEAD, so that an interrupted transfer goes on with the same one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox_client.errors import GitFailed

from .file_moves import join, status_of
from .git import reason_of
from .local import require_objects
from .names import decode, encode, nul_list
from .records import Withheld
from .trees import GITLINK

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from .git import Git
    from .local import Repository
    from .store import Stage

FILTER = b"external filter"  # in git's errors, also if it goes on without the filter
MESSAGE = "Uncommitted changes, as they were sent"
WITHOUT_HISTORY = "The working tree, without the files that were left out"
_NAME, _EMAIL = "remote-sandbox", "remote-sandbox@localhost"
_FIRST_DATE = "946684800 +0000"  # of a snapshot without a commit before it: the year 2000


@dataclass(frozen=True)
class Survey:
    """The names of the files that would be sent, in order, and the notes for the person.

    `paths` has all files: those of HEAD, which goes as it is, of the index, and the untracked ones
    that are not ignored; if it `has_history`, also those of earlier commits. The content of
    `submodules` and of `embedded` repositories stays here.
    """

    paths: tuple[str, ...]
    in_head: frozenset[str]
    untracked: tuple[str, ...]
    submodules: tuple[str, ...]
    embedded: tuple[str, ...]
    lfs_files: int
    in_progress: str
    only_in_history: frozenset[str] = frozenset()
    has_history: bool = False


@dataclass(frozen=True)
class Snapshot:
    """A commit of the working tree, and the commit that goes to the sandbox.

    `commit` is the one for the sandbox: `snapshot` itself, or a commit without parents if tracked
    files are withheld. `boundary` has the commits at which the history ends that is sent. Neither
    changes of `overlooked` files, which git is told to ignore, nor `embedded` repositories in the
    place of tracked files are in it.
    """

    head: str
    snapshot: str
    commit: str
    boundary: tuple[str, ...]
    withheld: tuple[Withheld, ...] = ()
    overlooked: tuple[str, ...] = ()
    embedded: tuple[str, ...] = ()


def survey(repository: Repository, *, history: bool = False) -> Survey:
    """List the files of a repository that would be sent; only names are read.

    Raises:
        RepositoryRefused: it is a partial clone that lacks some of them.
        GitFailed: it lacks some, or git cannot read it.
    """
    require_objects(repository, history=history)
    git = repository.git
    entries = [each.partition("\t")[::2] for each in git.names("ls-files", "-z", "--stage")]
    others = git.names("ls-files", "-z", "--others", "--exclude-standard")
    tree = (
        git.names("ls-tree", "-r", "-z", "--name-only", repository.head) if repository.head else []
    )
    earlier = _names_in_history(repository) if history and repository.head else set[str]()
    untracked = [each for each in others if not each.endswith("/")]
    now = {*tree, *(path for _, path in entries), *untracked}
    return Survey(
        paths=tuple(sorted(now | earlier)),
        in_head=frozenset(tree),
        untracked=tuple(untracked),
        submodules=tuple(path for meta, path in entries if meta.startswith(GITLINK)),
        embedded=tuple(each for each in others if each.endswith("/")),
        lfs_files=len(_lfs_files(git)),
        in_progress=repository.in_progress,
        only_in_history=frozenset(earlier - now),
        has_history=history,
    )


def take_snapshot(
    repository: Repository,
    found: Survey,
    stage: Stage,
    *,
    left_out: Collection[str] = (),
) -> Snapshot:
    """Make a commit of the surveyed files in `stage`, without those that are left out.

    A file that has come since the survey is not in it, also if it was added to the index. A tracked
    file that is left out keeps its version of HEAD in the snapshot, and is withheld from the
    sandbox; then no history goes either, as that has the file, too.

    Raises:
        GitFailed: a file cannot be read, or changes meanwhile.
    """
    head = repository.head
    index = _Index(repository, stage, "index")
    index.copy(Path(repository.git_dir, "index"))
    overlooked = _overlooked(repository, stage, index)
    index.update()
    embedded = tuple(each for each in index.gitlinks() if each not in found.submodules)
    index.restore(dict.fromkeys(embedded))
    index.add(each for each in found.untracked if each not in left_out)
    index.keep_only(found.paths)
    kept = _entries(repository.git, head) if head and left_out else {}
    index.restore({path: kept.get(path) for path in left_out if path not in found.untracked})
    snapshot = _commit(repository, stage, index.write(), [head] if head else [], MESSAGE)
    withheld = tuple(kept[path] for path in sorted(left_out) if path in kept)
    if withheld:
        commit = _without(repository, stage, snapshot, withheld)
        return Snapshot(head, snapshot, commit, (), withheld, overlooked, embedded)
    boundary = repository.shallow if found.has_history else tuple(each for each in [head] if each)
    return Snapshot(head, snapshot, snapshot, boundary, (), overlooked, embedded)


def _overlooked(repository: Repository, stage: Stage, index: _Index) -> tuple[str, ...]:
    """Return the changed files that git is told to ignore."""
    tagged = [each.partition(" ")[::2] for each in index.git.names("ls-files", "-v", "-z")]
    paths = [
        path
        for tag, path in tagged
        if tag.islower() or (tag == "S" and status_of(join(repository.top, path)))
    ]
    if not paths:
        return ()
    other = _Index(repository, stage, "index-overlooked")
    other.copy(index.path)
    for option in ("--no-assume-unchanged", "--no-skip-worktree"):
        other.git.run("update-index", option, "-z", "--stdin", stdin=nul_list(paths))
    other.git.ask("update-index", "-q", "--refresh")
    changed = set(other.git.names("diff-files", "--name-only", "-z", "--ignore-submodules"))
    return tuple(each for each in paths if each in changed)


class _Index:
    """A temporary index of the person's working tree; its objects go into the stage."""

    def __init__(self, repository: Repository, stage: Stage, name: str) -> None:
        self.path = stage.path / name
        self.git = repository.git.with_variables(
            GIT_INDEX_FILE=str(self.path), GIT_OBJECT_DIRECTORY=str(stage.objects)
        )
        self.git = _with_settings(self.git, f"lfs.storage={stage.path}/lfs")

    def copy(self, source: Path) -> None:
        """Begin with an index and its time: git reads files again that are not older than it."""
        if source.exists():
            shutil.copy2(source, self.path)

    def update(self) -> None:
        """Give tracked files the state of the working tree."""
        self._run("add", "--update", "--", ".")

    def add(self, paths: Iterable[str]) -> None:
        """Add untracked files as they are in the working tree; one that is gone is left out."""
        self._run("update-index", "--add", "--remove", "-z", "--stdin", stdin=nul_list(paths))

    def _run(self, *arguments: str, stdin: bytes = b"") -> None:
        """Run a command that filters files.

        Raises:
            GitFailed: it fails, or a filter does: git would take the file without that filter.
        """
        result = self.git.ask(*arguments, stdin=stdin)
        reason = reason_of(result.errors) or f"it ended with code {result.code}"
        if FILTER in result.errors:
            raise GitFailed(
                f"A filter of git failed: {reason}",
                advice="Correct or remove the filter: `git add` calls it, too. Then send it again"
                " with {push}.",
            )
        if result.code != 0:
            raise GitFailed(f"git {arguments[0]} failed: {reason}")

    def keep_only(self, paths: Iterable[str]) -> None:
        """Remove all other paths."""
        if others := set(self.git.names("ls-files", "-z")).difference(paths):
            self.restore(dict.fromkeys(others))

    def gitlinks(self) -> list[str]:
        """Return the paths of repositories within the working tree."""
        entries = self.git.names("ls-files", "-z", "--stage")
        return [each.partition("\t")[2] for each in entries if each.startswith(GITLINK)]

    def restore(self, entries: dict[str, Withheld | None]) -> None:
        """Give paths these versions, or remove them."""
        if not entries:
            return
        gone = [path for path, entry in entries.items() if entry is None]
        self.git.run("update-index", "--force-remove", "-z", "--stdin", stdin=nul_list(gone))
        lines = b"".join(index_line(entry) for entry in entries.values() if entry)
        self.git.run("update-index", "-z", "--index-info", stdin=lines)

    def write(self) -> str:
        """Return the tree of the index."""
        return self.git.text("write-tree")


def index_line(entry: Withheld) -> bytes:
    """Return a line for `git update-index -z --index-info`."""
    return f"{entry.mode} {entry.object_id} 0\t".encode() + encode(entry.path) + b"\0"


def _with_settings(git: Git, *settings: str) -> Git:
    return replace(git, settings=(*git.settings, *settings))


def _commit(
    repository: Repository, stage: Stage, tree: str, parents: list[str], message: str
) -> str:
    """Return a commit of a tree: its only parent if that has the same tree."""
    git = repository.git.with_variables(GIT_OBJECT_DIRECTORY=str(stage.objects))
    if parents and git.text("rev-parse", f"{parents[0]}^{{tree}}") == tree:
        return parents[0]
    date = _FIRST_DATE
    if repository.head:
        lines = git.text("rev-list", "--max-count=1", "--format=%ct +0000", repository.head)
        date = lines.rpartition("\n")[2]
    name = _configured(git, "user.name") or _NAME
    email = _configured(git, "user.email") or _EMAIL
    identity = {
        f"GIT_{role}_{field}": value
        for role in ("AUTHOR", "COMMITTER")
        for field, value in (("NAME", name), ("EMAIL", email), ("DATE", date))
    }
    words = [word for each in parents for word in ("-p", each)]
    return git.with_variables(**identity).text("commit-tree", tree, *words, "-m", message)


def _without(
    repository: Repository, stage: Stage, snapshot: str, withheld: tuple[Withheld, ...]
) -> str:
    index = _Index(repository, stage, "index-without")
    index.git.run("read-tree", snapshot)
    index.restore(dict.fromkeys(each.path for each in withheld))
    return _commit(repository, stage, index.write(), [], WITHOUT_HISTORY)


def _configured(git: Git, name: str) -> str:
    result = git.ask("config", "--get", name)
    return result.output.decode("utf-8", "surrogateescape").strip() if result.code == 0 else ""


def _tree(git: Git, commit: str) -> list[str]:
    return git.names("ls-tree", "-r", "-z", "--full-tree", commit)


def _entries(git: Git, commit: str) -> dict[str, Withheld]:
    found: dict[str, Withheld] = {}
    for each in _tree(git, commit):
        meta, _, path = each.partition("\t")
        mode, _, object_id = meta.split(" ")
        found[path] = Withheld(mode, object_id, path)
    return found


def _names_in_history(repository: Repository) -> set[str]:
    git = repository.git
    commits = git.run("rev-list", repository.head)
    words = ("diff-tree", "--stdin", "-r", "-m", "--root", "--no-commit-id", "--no-renames")
    output = git.run(*words, "--name-only", "-z", stdin=commits)
    return {decode(each) for each in output.split(b"\0") if each}


def _lfs_files(git: Git) -> list[str]:
    magic = git.with_variables(GIT_LITERAL_PATHSPECS="0")
    return magic.names("ls-files", "-z", "--", ":(attr:filter=lfs)")
