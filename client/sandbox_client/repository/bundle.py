"""Bundles: files with git objects, made here for a sandbox, or read from one.

The header of a bundle is text and is read here; the pack after it is read by `packfile` and by git.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sandbox_client.errors import WorkRefused

from .git import is_id
from .names import shown

if TYPE_CHECKING:
    from pathlib import Path

    from .store import Stage

REF = "refs/remote-sandbox/sent"
_SIGNATURES = {b"# v2 git bundle\n": 2, b"# v3 git bundle\n": 3}
_MAX_LINE = 4096  # bytes
_MAX_LINES = 1000
_BLOCK = 1024 * 1024


@dataclass(frozen=True)
class BundleFile:
    """A bundle on this machine, with its size in bytes."""

    path: Path
    size: int
    sha256: str


@dataclass(frozen=True)
class Header:
    """The header of a bundle: the commits that it needs, those that it has, the pack's offset."""

    object_format: str
    needs: tuple[str, ...]
    refs: tuple[tuple[str, str], ...]
    offset: int


def create_bundle(
    stage: Stage, path: Path, commit: str, object_format: str, have: str = ""
) -> BundleFile:
    """Write a bundle of a commit, without the objects that `have` reaches.

    The history ends where that of the stage ends. The pack is thin: the receiver has `have`.
    """
    lines = [f"# v{3 if object_format == 'sha256' else 2} git bundle\n"]
    if object_format == "sha256":
        lines.append("@object-format=sha256\n")
    if have:
        lines.append(f"-{have} \n")
    lines.append(f"{commit} {REF}\n\n")
    wanted = f"{commit}\n" + (f"^{have}\n" if have else "")
    with path.open("wb", buffering=0) as file:
        file.write("".join(lines).encode())
        stage.git.run(
            *("pack-objects", "--revs", "--thin", "--shallow", "--stdout", "--quiet"),
            "--delta-base-offset",
            stdin=wanted.encode(),
            stdout=file,
        )
    return BundleFile(path, path.stat().st_size, sha256_of(path))


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def read_header(file: IO[bytes]) -> Header:
    """Read the header of a bundle; the file is then at its pack.

    Raises:
        WorkRefused: it is no bundle, or has a part that this program does not know.
    """
    if _SIGNATURES.get(_line(file)) is None:
        raise WorkRefused("The file from the sandbox is not a git bundle")
    object_format = "sha1"
    needs: list[str] = []
    refs: list[tuple[str, str]] = []
    for _ in range(_MAX_LINES):
        line = _line(file).removesuffix(b"\n")
        if not line:
            return Header(object_format, tuple(needs), tuple(refs), file.tell())
        text = line.decode("utf-8", "surrogateescape")
        if text.startswith("@object-format="):
            object_format = text.partition("=")[2]
        elif text.startswith("-") and is_id(text[1:].partition(" ")[0]):
            needs.append(text[1:].partition(" ")[0])
        elif is_id(text.partition(" ")[0]) and not text.startswith("@"):
            refs.append((text.partition(" ")[0], text.partition(" ")[2]))
        else:
            raise WorkRefused(f"The bundle has a line that is not known: {shown(text, 60)}")
    raise WorkRefused("The header of the bundle is too long")


def _line(file: IO[bytes]) -> bytes:
    line = file.readline(_MAX_LINE)
    if not line.endswith(b"\n"):
        raise WorkRefused("The file from the sandbox is not a git bundle: its header is cut short")
    return line
