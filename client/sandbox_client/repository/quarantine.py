"""Check work from a sandbox in a repository of its own, before it gets into the person's.

The sandbox is not trusted. The bundle is measured before git unpacks it (`bundle`); git then
unpacks it with its own checks (`index-pack --strict`, which is what `fsckObjects` runs), without
the configuration of this machine and with limits of memory and time. The commits must descend from
the snapshot that was sent, and each change of each commit must pass the rules of `names`.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sandbox_client.errors import GitFailed, WorkRefused

from .bundle import PackLimits, measure_pack, read_header, sha256_of
from .git import ProcessLimits, is_id
from .names import MAX_LINK, MAX_PATH, decode, leads_out, link_problem, name_problem, shown, twins
from .trees import GITLINK, LINK, MODES, TREE, Trees, kinds_of, read_objects

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from pathlib import Path

    from .local import Repository
    from .records import Sent
    from .store import Stage, Store

_MIB = 1024 * 1024
_MAX_CHANGES = 64 * _MIB  # bytes of the list of all changes
_PACK = PackLimits(objects=500_000, total=1024 * _MIB, largest=100 * _MIB)


@dataclass(frozen=True)
class Limits:
    """Limits of the work that comes back.

    `files` and `size` are of a checkout, beyond what was sent; `links` are counted in each commit
    that changes one.
    """

    bundle: int = 200 * _MIB  # bytes
    pack: PackLimits = _PACK
    commits: int = 5000
    files: int = 100_000
    size: int = 2048 * _MIB  # bytes
    links: int = 1_000_000
    process: ProcessLimits = field(default_factory=ProcessLimits)


class Change(NamedTuple):
    """A change of one path by one commit; `status` is git's letter."""

    commit: str
    old_mode: str
    mode: str
    object_id: str
    status: str
    path: str


@dataclass(frozen=True)
class CheckedWork:
    """Work that was checked, in the repository `stage`: `commits` are new, the oldest first."""

    stage: Stage
    sent: Sent
    tip: str
    commits: tuple[str, ...]


@contextmanager
def checked_work(
    store: Store, sent: Sent, bundle: Path, tip: str, limits: Limits | None = None
) -> Generator[CheckedWork]:
    """Unpack a bundle of the sandbox into a quarantine and check it; the quarantine goes after use.

    `tip` is the commit that the sandbox says is its work.

    Raises:
        WorkRefused: it is beyond a limit, damaged, not based on the snapshot, or not safe.
        RepositoryRefused: the commit that was sent is not here any more, nor are its parents.
    """
    bounds = limits or Limits()
    with store.stage(store.repository.git.isolated(bounds.process)) as stage:
        is_whole = store.is_complete(sent)
        if not is_whole:  # the bundle has the commit that was sent, without its parents
            stage.end_history_at((*store.repository.shallow, *sent.boundary))
        with _git_refuses():
            unpack(stage, store.repository, bundle, tip, bounds)
            if not is_whole:
                store.require_whole(stage, sent, tip)
            work = CheckedWork(stage, sent, tip, _new_commits(stage, sent, tip, bounds))
            check(work, bounds, store.repository.object_format)
        yield work


def require_size(size: int, limits: Limits) -> None:
    """Check the size of a bundle, also before it is downloaded.

    Raises:
        WorkRefused: it is too large.
    """
    if size > limits.bundle:
        raise WorkRefused(f"The bundle has {size} bytes, more than {limits.bundle}")


def require_bundle(path: Path, size: int, sha256: str) -> None:
    """Check a downloaded bundle against the size and hash that the sandbox gave.

    Raises:
        WorkRefused: it differs.
    """
    if path.stat().st_size != size or sha256_of(path) != sha256:
        raise WorkRefused(
            "The bundle differs from the one that the sandbox made",
            advice="Fetch it again with {pull}: it changed on its way, or in the sandbox.",
        )


def unpack(stage: Stage, repository: Repository, bundle: Path, tip: str, limits: Limits) -> None:
    """Measure a bundle, then let git unpack it into `stage` with its checks."""
    require_size(bundle.stat().st_size, limits)
    with bundle.open("rb") as file:
        header = read_header(file)
        if header.object_format != repository.object_format:
            raise WorkRefused(
                f"The bundle has {shown(header.object_format, 20)} objects, and the repository"
                f" {repository.object_format}"
            )
        if [each for each, _ in header.refs] != [tip]:
            raise WorkRefused("The bundle does not have the one commit that the sandbox named")
        kinds = kinds_of(stage.git, header.needs)
        if set(kinds.values()) - {"commit"}:
            raise _not_descended()
        measure_pack(file, limits.pack, _id_size(repository))
    with bundle.open("rb", buffering=0) as raw:
        raw.seek(header.offset)
        stage.git.run(
            *("index-pack", "--stdin", "--fix-thin", "--strict"),
            f"--max-input-size={limits.bundle}",
            stdin=raw,
        )


def check(work: CheckedWork, limits: Limits, object_format: str) -> None:
    """Check the trees and changes of every new commit."""
    git = work.stage.git
    trees = Trees(git, 32 if object_format == "sha256" else 20)
    known = _known_parents(work)
    roots = _roots(work, [*known, *work.commits])
    base, *new = [roots[each] for each in (work.sent.commit, *work.commits)]
    trees.load([base, *new])
    weights = trees.weigh([base, *new])
    for root in new:
        if weights[root].files > weights[base].files + limits.files:
            raise WorkRefused(f"The work has {weights[root].files} files in one commit, too many")
        if weights[root].size > weights[base].size + limits.size:
            raise WorkRefused(f"The work has {weights[root].size} bytes in one commit, too many")
    _check_names(trees, base, new)
    changes = list(_changes(work))
    _check_modes(changes)
    _check_links(work, changes)
    changed = {each.commit for each in changes if LINK in {each.old_mode, each.mode}}
    if changed:
        new = [roots[each] for each in work.commits if each in changed]
        _check_ways(work, trees, [roots[each] for each in known], new, limits.links)


def _check_names(trees: Trees, base: str, roots: Iterable[str]) -> None:
    """Check the names in all directories that were not sent."""
    sent = _trees_below(trees, [base])
    known_twins = {pair for each in sent for pair in twins(e.name for e in trees.entries(each))}
    new = _trees_below(trees, roots) - sent
    known_names = {entry.name for each in sent for entry in trees.entries(each)}
    modes = MODES | {entry.mode for each in sent for entry in trees.entries(each)}
    for entries in map(trees.entries, new):
        for entry in entries:
            problem = name_problem(entry.name)
            if problem and entry.name not in known_names:
                raise _unsafe(entry.name, problem)
            if entry.mode not in modes:
                raise _unsafe(entry.name, f"has the mode {shown(entry.mode)}")
        for first, second in twins(entry.name for entry in entries):
            if (first, second) not in known_twins:
                raise _unsafe(second, f"is one file with {shown(first)} on some file systems")


def _trees_below(trees: Trees, roots: Iterable[str]) -> set[str]:
    found = set(roots)
    pending = list(found)
    while pending:
        for entry in trees.entries(pending.pop()):
            if entry.mode == TREE and entry.object_id not in found:
                found.add(entry.object_id)
                pending.append(entry.object_id)
    return found


def _check_modes(changes: Iterable[Change]) -> None:
    for each in changes:
        if len(each.path.encode("utf-8", "surrogateescape")) > MAX_PATH:
            raise _unsafe(each.path, "is too long")
        if each.mode == GITLINK:
            raise _unsafe(each.path, "is a new or changed submodule")


def _check_links(work: CheckedWork, changes: Sequence[Change]) -> None:
    new = [each for each in changes if each.mode == LINK]
    if not new:
        return
    targets = _targets(work, {each.object_id for each in new})
    for each in new:
        if problem := link_problem(each.path, targets[each.object_id]):
            raise _unsafe(each.path, problem)


def _check_ways(
    work: CheckedWork, trees: Trees, sent: Sequence[str], new: Sequence[str], most: int
) -> None:
    """Check that in no new tree a link leads out by way of others, unless it does so in `sent`."""
    trees.load(sent)
    targets = _targets(work, trees.link_ids())
    known: set[tuple[str, str]] = set()
    for root in dict.fromkeys([*sent, *new]):
        links = {path: targets[each] for path, each in _links_below(trees, root)}
        most -= len(links)
        if most < 0:
            raise WorkRefused("The work has too many links in its commits")
        out = {each for each in links.items() if leads_out(each[0], links)}
        if root in sent:
            known |= out
        elif unknown := sorted(out - known):
            problem = "is a link out of the repository by way of another link"
            raise _unsafe(unknown[0][0], problem)


def _links_below(trees: Trees, root: str) -> Iterable[tuple[str, str]]:
    """Yield the path and the object of each link of a tree."""
    pending = [("", root)]
    while pending:
        above, tree = pending.pop()
        for entry in trees.entries(tree):
            if entry.mode == LINK:
                yield f"{above}{entry.name}", entry.object_id
            elif entry.mode == TREE and trees.has_links(entry.object_id):
                pending.append((f"{above}{entry.name}/", entry.object_id))


def _known_parents(work: CheckedWork) -> list[str]:
    """Return the commits that are here already and that new ones descend from at once."""
    output = work.stage.git.run(
        *("log", "--no-walk=unsorted", "--stdin", "--format=%P"),
        stdin="".join(f"{each}\n" for each in work.commits).encode(),
    )
    parents = dict.fromkeys([work.sent.commit, *decode(output).split()])
    return [each for each in parents if each not in set(work.commits)]


def _targets(work: CheckedWork, ids: set[str]) -> dict[str, str]:
    sizes = work.stage.git.run(
        "cat-file",
        "--batch-check=%(objectsize)",
        stdin="".join(f"{each}\n" for each in sorted(ids)).encode(),
    )
    if any(int(each) > MAX_LINK for each in sizes.split()):
        raise WorkRefused("The work has a link whose target is too long")
    return {key: decode(raw) for key, raw in read_objects(work.stage.git, sorted(ids), "blob")}


def _changes(work: CheckedWork) -> Iterable[Change]:
    """Yield each change of each new commit, of a merge against each parent."""
    output = work.stage.git.run(
        *("diff-tree", "--stdin", "-r", "-m", "-z", "--root", "--no-renames", "--no-ext-diff"),
        stdin="".join(f"{each}\n" for each in work.commits).encode(),
        max_output=_MAX_CHANGES,
    )
    commit = ""
    words = iter(decode(output).split("\0"))
    for word in words:
        if is_id(word.strip()):
            commit = word.strip()
        elif word.startswith(":"):
            old_mode, mode, _, object_id, status = word[1:].split(" ")
            yield Change(commit, old_mode, mode, object_id, status[:1], next(words))


def _new_commits(stage: Stage, sent: Sent, tip: str, limits: Limits) -> tuple[str, ...]:
    if kinds_of(stage.git, [tip]) != {tip: "commit"}:
        raise WorkRefused("The bundle lacks the commit that the sandbox named")
    base = _base(stage, sent, tip)
    text = stage.git.text("rev-list", "--topo-order", "--reverse", tip, *(f"^{b}" for b in base))
    commits = tuple(text.split())
    if len(commits) > limits.commits:
        raise WorkRefused(f"The work has {len(commits)} commits, more than {limits.commits}")
    return commits


def _base(stage: Stage, sent: Sent, tip: str) -> list[str]:
    """Return the commits that the work may descend from: the snapshot and its parent."""
    candidates = [sent.commit] if sent.withheld or not sent.head else [sent.commit, sent.head]
    if not any(_is_ancestor(stage, each, tip) for each in candidates):
        raise _not_descended()
    return candidates


def _is_ancestor(stage: Stage, commit: str, tip: str) -> bool:
    return stage.git.ask("merge-base", "--is-ancestor", commit, tip).code == 0


def _roots(work: CheckedWork, commits: Sequence[str]) -> dict[str, str]:
    """Return the tree of each commit."""
    output = work.stage.git.run(
        *("log", "--no-walk=unsorted", "--stdin", "--format=%H %T"),
        stdin="".join(f"{each}\n" for each in commits).encode(),
    )
    lines = [line.partition(" ") for line in decode(output).splitlines()]
    return {commit: tree for commit, _, tree in lines}


@contextmanager
def _git_refuses() -> Generator[None]:
    """Turn an error of git in the quarantine into one of the work."""
    try:
        yield
    except GitFailed as exc:
        raise WorkRefused(f"Git refused the work from the sandbox: {exc.message}") from exc


def _not_descended() -> WorkRefused:
    return WorkRefused(
        "The work in the sandbox does not descend from what was sent",
        advice="Look at it in the sandbox with {run}: its history was rewritten. Files of it can"
        " be copied with `remote-sandbox cp`.",
    )


def _unsafe(name: str, problem: str) -> WorkRefused:
    return WorkRefused(f"The work has a path that is not safe: {shown(name)} {problem}")


def _id_size(repository: Repository) -> int:
    return 32 if repository.object_format == "sha256" else 20
