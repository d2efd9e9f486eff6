"""How much goes over: the files, bytes and commits that a sandbox does not have yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_client.errors import GitFailed
from sandbox_client.text import pluralize

from .names import decode
from .trees import GITLINK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .git import Git
    from .store import Stage


@dataclass(frozen=True)
class Amount:
    """How much goes: new or changed files, other versions of files in the commits, and commits.

    `size` and `earlier_size` are bytes of distinct contents that the sandbox does not have. HEAD
    goes, too: a file of it that the working tree has changed or deleted is an earlier version.
    """

    files: int
    size: int
    commits: int
    earlier: int = 0
    earlier_size: int = 0


def measure(stage: Stage, commit: str, have: str = "") -> Amount:
    """Count the objects that go with a commit if the sandbox has `have`.

    The stage's history must end where it is sent.
    """
    listed = _listed(stage.git, commit, have)
    kinds = [each.partition(" ")[::2] for each in _described(stage.git, listed)]
    sizes = {
        each: int(size) for each, (kind, size) in zip(listed, kinds, strict=True) if kind == "blob"
    }
    files = _new_files(stage.git, commit, have)
    now = sum(sizes.get(each, 0) for each in set(files))
    earlier = sizes.keys() - set(files)
    return Amount(
        files=len(files),
        size=now,
        commits=sum(kind == "commit" for kind, _ in kinds),
        earlier=len(earlier),
        earlier_size=sum(sizes.values()) - now,
    )


def _listed(git: Git, commit: str, have: str) -> list[str]:
    """Return the ids of all objects that a thin pack has, also those that are deltas in it."""
    ends = [commit, *([f"^{have}"] if have else [])]
    text = git.text("rev-list", "--objects-edge-aggressive", "--no-object-names", *ends)
    return [each for each in text.split() if not each.startswith("-")]


def _described(git: Git, ids: Sequence[str]) -> list[str]:
    """Return the type and the size of objects.

    Raises:
        GitFailed: one is missing.
    """
    lines = "".join(f"{each}\n" for each in ids).encode()
    output = git.run("cat-file", "--batch-check=%(objecttype) %(objectsize)", stdin=lines)
    described = decode(output).splitlines()
    if missing := [each.partition(" ")[0] for each in described if each.endswith(" missing")]:
        unreadable = pluralize(len(missing), "object")
        raise GitFailed(f"{unreadable} that would go cannot be read; the first is {missing[0]}")
    return described


def _new_files(git: Git, commit: str, have: str) -> list[str]:
    """Return the ids of the files of a commit that are not in `have` at the same path."""
    if have:
        words = ("diff-tree", "-r", "-z", "--no-renames", "--diff-filter=d", have, commit)
        metas = [each.split(" ") for each in git.names(*words)[::2]]
        return [meta[3] for meta in metas if meta[1] != GITLINK]
    listed = git.names("ls-tree", "-r", "-z", "--full-tree", commit)
    entries = (each.partition("\t")[0] for each in listed)
    return [meta.split(" ")[2] for meta in entries if not meta.startswith(GITLINK)]
