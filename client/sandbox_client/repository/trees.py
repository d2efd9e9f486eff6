"""Trees and objects of a repository that is not trusted, read without checking anything out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from sandbox_client.errors import WorkRefused

from .names import decode

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .git import Git

TREE, GITLINK, LINK = "40000", "160000", "120000"
FILES = {"100644", "100755"}
MODES = {TREE, GITLINK, LINK, *FILES}
MAX_DEPTH = 200  # directories in a path
MAX_TREES = 2_000_000
_BATCH = 20_000  # objects per call


class TreeEntry(NamedTuple):
    """An entry of one directory."""

    mode: str
    name: str
    object_id: str


class Weight(NamedTuple):
    """The size of a tree when it is checked out: files, and their bytes."""

    files: int
    size: int


def changed_paths(git: Git, old: str, new: str) -> set[str]:
    """Return the paths of the files that differ between two commits."""
    return set(git.names("diff-tree", "-r", "-z", "--no-renames", "--name-only", old, new))


@dataclass
class Trees:
    """The trees of a repository; each is read once."""

    git: Git
    id_size: int
    _read: dict[str, list[TreeEntry]] = field(default_factory=dict[str, list[TreeEntry]])
    _sizes: dict[str, int] = field(default_factory=dict[str, int])
    _linked: dict[str, bool] = field(default_factory=dict[str, bool])
    _weights: dict[str, Weight] = field(default_factory=dict[str, Weight])

    def load(self, roots: Iterable[str]) -> None:
        """Read trees with all that are below them, level by level.

        Raises:
            WorkRefused: they are too deep or too many.
        """
        level = {each for each in roots if each not in self._read}
        for _ in range(MAX_DEPTH):
            if not level:
                return
            for object_id, raw in read_objects(self.git, sorted(level), "tree"):
                self._read[object_id] = parse_tree(raw, self.id_size)
            below = (entry for each in level for entry in self._read[each] if entry.mode == TREE)
            level = {entry.object_id for entry in below} - self._read.keys()
            if len(self._read) + len(level) > MAX_TREES:
                break
        raise WorkRefused(f"The directories of the work are deeper than {MAX_DEPTH}, or too many")

    def entries(self, tree: str) -> list[TreeEntry]:
        """Return the entries of a tree that was loaded."""
        return self._read[tree]

    def link_ids(self) -> set[str]:
        """Return the objects of all symbolic links in the trees that were loaded."""
        entries = (entry for each in self._read.values() for entry in each)
        return {entry.object_id for entry in entries if entry.mode == LINK}

    def has_links(self, tree: str) -> bool:
        """Return whether there is a symbolic link anywhere below a tree that was loaded."""
        known = self._linked.get(tree)
        if known is None:
            known = self._linked[tree] = any(
                entry.mode == LINK or (entry.mode == TREE and self.has_links(entry.object_id))
                for entry in self._read[tree]
            )
        return known

    def weigh(self, roots: Sequence[str]) -> dict[str, Weight]:
        """Return how much loaded trees are when they are checked out, without listing them."""
        blobs = {
            entry.object_id
            for entries in self._read.values()
            for entry in entries
            if entry.mode not in {TREE, GITLINK}
        }
        missing = sorted(blobs - self._sizes.keys())
        self._sizes.update(sizes_of(self.git, missing))
        return {root: self._weigh(root) for root in roots}

    def _weigh(self, tree: str) -> Weight:
        """Weigh a tree; its depth is limited by `load`."""
        known = self._weights.get(tree)
        if known is None:
            files = size = 0
            for entry in self._read[tree]:
                if entry.mode == TREE:
                    below = self._weigh(entry.object_id)
                    files, size = files + below.files, size + below.size
                elif entry.mode != GITLINK:
                    files, size = files + 1, size + self._sizes[entry.object_id]
            known = self._weights[tree] = Weight(files, size)
        return known


def parse_tree(raw: bytes, id_size: int) -> list[TreeEntry]:
    """Parse a tree object; `id_size` is the length of an object id in bytes.

    Raises:
        WorkRefused: it is damaged.
    """
    entries: list[TreeEntry] = []
    at = 0
    while at < len(raw):
        space, end = raw.find(b" ", at), raw.find(b"\0", at)
        if not at < space < end or end + 1 + id_size > len(raw):
            raise WorkRefused("The work has a damaged directory")
        object_id = raw[end + 1 : end + 1 + id_size].hex()
        mode = raw[at:space].decode("ascii", "replace")
        entries.append(TreeEntry(mode, decode(raw[space + 1 : end]), object_id))
        at = end + 1 + id_size
    return entries


def read_objects(git: Git, ids: Sequence[str], kind: str) -> Iterable[tuple[str, bytes]]:
    """Yield objects of one kind, each with its id.

    Raises:
        WorkRefused: one is missing, or of another kind.
    """
    for start in range(0, len(ids), _BATCH):
        batch = ids[start : start + _BATCH]
        output = git.run("cat-file", "--batch", stdin="".join(f"{i}\n" for i in batch).encode())
        at = 0
        for each in batch:
            end = output.index(b"\n", at)
            words = output[at:end].decode("ascii", "replace").split(" ")
            if words[:2] != [each, kind]:
                raise WorkRefused(f"The work lacks the {kind} {each}")
            at = end + 1 + int(words[2])
            yield each, output[end + 1 : at]
            at += 1


def sizes_of(git: Git, ids: Sequence[str]) -> dict[str, int]:
    """Return the size of each blob in bytes.

    Raises:
        WorkRefused: one is missing, or no blob.
    """
    sizes: dict[str, int] = {}
    output = git.run("cat-file", "--batch-check", stdin="".join(f"{i}\n" for i in ids).encode())
    for line in output.decode("ascii", "replace").splitlines():
        words = line.split(" ")
        if words[1] != "blob":
            raise WorkRefused(f"The work lacks the file {words[0]}")
        sizes[words[0]] = int(words[2])
    return sizes


def kinds_of(git: Git, ids: Sequence[str]) -> dict[str, str]:
    """Return the kind of each object, `missing` for one that is not there."""
    output = git.run("cat-file", "--batch-check", stdin="".join(f"{i}\n" for i in ids).encode())
    lines = (line.split(" ") for line in output.decode("ascii", "replace").splitlines())
    return {words[0]: words[1] for words in lines}
