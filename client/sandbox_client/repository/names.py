"""Names of files and texts of commits: bytes of any encoding, shown safely, refused if unsafe.

The second half is for work from a sandbox. Git refuses most of these names itself when it checks
them out; here they are refused before they are in the repository, by each way in which a file
system may read a name.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_UNSHOWN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # Unicode categories
MAX_SHOWN = 200  # characters of a name or a subject


def decode(raw: bytes) -> str:
    """Decode UTF-8; other bytes become surrogates, so that `encode` gives them back."""
    return raw.decode("utf-8", "surrogateescape")


def encode(name: str) -> bytes:
    """Return the bytes of a decoded name."""
    return name.encode("utf-8", "surrogateescape")


def nul_list(names: Iterable[str]) -> bytes:
    """Return names as git reads them with -z."""
    return b"".join(encode(name) + b"\0" for name in names)


def shown(text: str, most: int = MAX_SHOWN) -> str:
    r"""Return a text on one line, with escapes (`\x1b`, `\u202e`) for control characters.

    A longer one than `most` characters is cut, with `…` at its end.
    """
    line = "".join(map(_shown_character, text[: most + 1]))
    return line if len(line) <= most else line[: most - 1] + "…"


def join_shown(paths: Sequence[str], most: int = 5) -> str:
    """Return the first paths, safe to print, and the number of the others."""
    more = f" and {len(paths) - most} more" if len(paths) > most else ""
    return ", ".join(map(shown, paths[:most])) + more


def _shown_character(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if unicodedata.category(character) in _UNSHOWN:
        return ascii(character)[1:-1]
    return character


MAX_NAME = 255  # bytes, as in most file systems
MAX_PATH = 4096  # bytes
MAX_LINK = 4096  # bytes of the target of a link
_MAX_STEPS = 256  # links on the way to a file; no system follows as many
_BIDI = {*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C}
# HFS+ ignores these in names.
_IGNORED = {*range(0x200C, 0x2010), *range(0x202A, 0x202F), *range(0x206A, 0x2070), 0xFEFF}
_SHORT_GIT = re.compile(r"git~\d+|gi[0-9a-f]{4}~\d")
_READ_BY_GIT = {".gitmodules", ".gitattributes", ".gitignore", ".mailmap"}


def name_problem(name: str) -> str:
    """Describe why one component of a path is refused; empty if it is not."""
    if name in {"", ".", ".."}:
        return "leads to another directory"
    if "/" in name or "\0" in name:
        return "has a slash or a NUL character"
    if any(unicodedata.category(each) == "Cc" or ord(each) in _BIDI for each in name):
        return "has control characters"
    if is_git_directory(name):
        return "is read as .git by some file system"
    if len(name.encode("utf-8", "surrogateescape")) > MAX_NAME:
        return f"is longer than {MAX_NAME} bytes"
    return ""


def is_git_directory(name: str) -> bool:
    """Check whether a file system may take a name for `.git`: NTFS, HFS+ and any without case."""
    return any(_is_git(part) for part in {name, *re.split(r"[\\/]", name)})


def _is_git(name: str) -> bool:
    visible = "".join(each for each in name if ord(each) not in _IGNORED)
    folded = unicodedata.normalize("NFKC", visible).casefold()
    stem = folded.partition(":")[0].rstrip(" .")
    return stem == ".git" or _SHORT_GIT.fullmatch(stem) is not None


def twin_key(name: str) -> str:
    """Return a key that is equal for names that some file system takes for the same."""
    visible = "".join(each for each in name if ord(each) not in _IGNORED)
    folded = unicodedata.normalize("NFC", visible).casefold()
    return unicodedata.normalize("NFC", folded).rstrip(" .")


def twins(names: Iterable[str]) -> list[tuple[str, str]]:
    """Return the pairs of names that some file system takes for one, each pair in order."""
    seen: dict[str, str] = {}
    found: list[tuple[str, str]] = []
    for name in sorted(names):
        first = seen.setdefault(twin_key(name), name)
        if first != name:
            found.append((first, name))
    return found


def link_problem(path: str, target: str) -> str:
    """Describe why a symbolic link is refused by its own place and target; empty if it is not.

    `..` is allowed only at the beginning of a target, where it counts real directories: so no
    other link can change where it leads.
    """
    parts = target.split("/")
    ups = next((i for i, each in enumerate(parts) if each != ".."), len(parts))
    if posixpath.basename(path).casefold() in _READ_BY_GIT:
        return "is a link that git reads as a file"
    if not target or "\0" in target or "\\" in target:
        return "is a link with an invalid target"
    if target.startswith("/") or re.match(r"[A-Za-z]:", target):
        return "is a link to an absolute path"
    if ups > path.count("/"):
        return "is a link out of the repository"
    if ".." in parts[ups:]:
        return "is a link that goes up again on its way"
    if any(is_git_directory(each) for each in parts):
        return "is a link into .git"
    return ""


def leads_out(path: str, links: Mapping[str, str]) -> bool:
    """Check whether a link leads out of the tree by way of other links, given all its links."""
    pending = [*_ancestors(path), path.rpartition("/")[2]]
    at: list[str] = []
    steps = 0
    while pending:
        part = pending.pop(0)
        if part == "..":
            if not at:
                return True
            at.pop()
        elif part not in {"", "."}:
            here = "/".join([*at, part])
            target = links.get(here)
            if target is None:
                at.append(part)
                continue
            steps += 1
            if target.startswith("/"):
                return True
            if steps > _MAX_STEPS:
                return False
            pending = [*target.split("/"), *pending]
    return bool(at) and is_git_directory(at[0])


def _ancestors(path: str) -> list[str]:
    return path.split("/")[:-1]
