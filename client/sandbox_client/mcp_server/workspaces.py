"""The directories from which a tool may send a repository.

A text that a model reads can ask it to send a repository of the person's away. So a tool sends
repositories only from the workspace of the MCP client and from directories that the configuration
names. The person can send any other one with `remote-sandbox push`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sandbox_client.errors import RepositoryRefused
from sandbox_client.text import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sandbox_client.repository.local import Repository

# Return the URIs of the client's roots, or None if the client does not have that capability.
ListRoots = Callable[[], Awaitable["Sequence[str] | None"]]

_FILE = "file"
_LOCAL_HOSTS = {"", "localhost"}


async def no_roots() -> Sequence[str] | None:
    """Return the roots of a client without roots."""
    return None


@dataclass(frozen=True)
class Workspaces:
    """The directories below which a tool may send a repository, without symbolic links."""

    directories: tuple[Path, ...]
    home: Path

    @classmethod
    def of(
        cls, roots: Sequence[str] | None, here: Path, home: Path, configured: Iterable[str]
    ) -> Workspaces:
        """Return the roots of the MCP client and the configured directories.

        A client without roots (None) has started the server in its workspace, `here`. A workspace
        that contains the home directory is left out: all files of the person would be below it.
        """
        found = [here] if roots is None else [path for each in roots if (path := _path_of(each))]
        chosen = [path for path in _resolved(found) if not _resolve(home).is_relative_to(path)]
        named = [_expand(each, home) for each in configured]
        return cls(tuple(dict.fromkeys([*chosen, *_resolved(named)])), home)

    def directory(self, given: str) -> Path:
        """Return a directory that a model has given, without symbolic links.

        A relative one is below the first workspace.

        Raises:
            RepositoryRefused: it does not exist, or is not below a workspace.
        """
        path = _expand(given, self.home)
        if not path.is_absolute() and self.directories:
            path = self.directories[0] / path
        resolved = _resolve(path)
        self._require(resolved, given)
        if not resolved.is_dir():
            raise RepositoryRefused(
                f"{one_line(given)} is not a directory on the person's machine",
                advice=f"Give a directory below {self._listed()}.",
            )
        return resolved

    def check(self, repository: Repository) -> None:
        """Check that all of a repository is below a workspace.

        A directory of a workspace may be a part of a larger repository, and its `.git` may name
        one elsewhere, or its objects. Only a worktree that is known to its repository may do that.

        Raises:
            RepositoryRefused: the working tree, the `.git` directory or its objects are elsewhere.
        """
        self._require(_resolve(Path(repository.top)), repository.top)
        if self._contains(_resolve(Path(repository.common_dir))):
            self._require(_resolve(Path(repository.git_dir)), repository.git_dir)
            _require_own_objects(repository)
        elif not _is_worktree(repository):
            self._require(_resolve(Path(repository.common_dir)), repository.common_dir)

    def _contains(self, path: Path) -> bool:
        return any(path.is_relative_to(each) for each in self.directories)

    def _require(self, path: Path, given: str) -> None:
        if self._contains(path):
            return
        where = f"is not below {self._listed()}" if self.directories else "is in no workspace"
        raise RepositoryRefused(
            f"{one_line(given)} {where}, and a tool sends nothing else",
            advice="The person can send it with `remote-sandbox push` in a terminal, start the MCP"
            " client in it, or name its directory in `workspaces` of the configuration.",
        )

    def _listed(self) -> str:
        return " or ".join(one_line(str(each)) for each in self.directories)


def _path_of(uri: str) -> Path | None:
    """Return the path of a file URI on this machine; None for any other URI."""
    try:
        parts = urlsplit(uri)
    except ValueError:
        return None
    path = unquote(parts.path)
    if parts.scheme != _FILE or parts.netloc not in _LOCAL_HOSTS or not path.startswith("/"):
        return None
    return Path(path) if "\0" not in path else None


def _expand(given: str, home: Path) -> Path:
    if given == "~" or given.startswith("~/"):
        return home / given[2:]
    return Path(given.replace("\0", "?"))


def _resolve(path: Path) -> Path:
    """Return a path without symbolic links; a loop of links leads nowhere, so it stays."""
    with contextlib.suppress(OSError, RuntimeError):
        return path.resolve()
    return path


def _resolved(paths: Iterable[Path]) -> list[Path]:
    return [resolved for path in paths if (resolved := _resolve(path)).is_dir()]


def _is_worktree(repository: Repository) -> bool:
    """Return whether the repository itself says that the working tree is one of its worktrees."""
    try:
        link = Path(repository.git_dir, "gitdir").read_text(encoding="utf-8").rstrip("\n")
    except (OSError, UnicodeDecodeError):
        return False
    is_known = Path(repository.git_dir).parent == Path(repository.common_dir, "worktrees")
    return is_known and _resolve(Path(link)) == _resolve(Path(repository.top, ".git"))


def _require_own_objects(repository: Repository) -> None:
    """Check that a repository has all of its objects itself.

    Alternates may name others, and a link may lead to some.

    Raises:
        RepositoryRefused: it may have objects of another repository.
    """
    objects = Path(repository.common_dir, "objects")
    folders = [str(objects), *(each for each, _, _ in os.walk(objects))]
    has_links = any(
        each.is_symlink() for folder in folders for each in (Path(folder), *Path(folder).iterdir())
    )
    if has_links or os.path.lexists(objects / "info" / "alternates"):
        raise RepositoryRefused(
            f"{one_line(repository.top)} borrows objects of another repository, and a tool does not"
            " send those",
            advice="The person can send it with `remote-sandbox push` in a terminal; `git repack -a"
            " -d` and the removal of objects/info/alternates end the borrowing.",
        )
