"""Bundles: files with git objects, made here for a sandbox, or read from one.

The header of a bundle is text and is read here. The pack after it is measured before git unpacks
it: each object says its size in its header, a delta also that of its result. Nothing larger than a
block is held in memory, so a pack that claims little and grows to much is found here.
"""

from __future__ import annotations

import hashlib
import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from sandbox_client.errors import WorkRefused

from .git import is_id
from .names import shown

if TYPE_CHECKING:
    from collections.abc import Callable
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


def sha256_of(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 of a file, or of its first `size` bytes, in hexadecimal."""
    digest = hashlib.sha256()
    left = path.stat().st_size if size is None else size
    with path.open("rb") as file:
        while block := file.read(min(_BLOCK, left)):
            digest.update(block)
            left -= len(block)
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


_PACK_BLOCK = 64 * 1024
_SLICE = 512  # bytes that are given to zlib for a small object
_OFFSET_DELTA, _REFERENCE_DELTA = 6, 7
_BLOB = 3
_WHOLE = (1, 2, _BLOB, 4)
_MAX_SIZE_BYTES = 10  # of a number in a header: 64 bits and more


@dataclass(frozen=True)
class PackLimits:
    """Limits of a pack: objects, bytes of all when unpacked, and bytes of the largest."""

    objects: int
    total: int
    largest: int


@dataclass(frozen=True)
class PackSize:
    """The size of a pack, unpacked, in bytes."""

    objects: int
    total: int
    largest: int


def measure_pack(file: IO[bytes], limits: PackLimits, id_size: int) -> PackSize:
    """Measure a pack from the position of `file` on; `id_size` is the length of an object id.

    Raises:
        WorkRefused: it is beyond a limit, or not a pack.
    """
    reader = _Reader(file)
    if reader.take(8) not in {b"PACK\0\0\0\2", b"PACK\0\0\0\3"}:
        raise _not_a_pack()
    count = int.from_bytes(reader.take(4), "big")
    if count > limits.objects:
        raise WorkRefused(
            f"The work from the sandbox has {count} objects, more than {limits.objects}"
        )
    total = largest = 0
    for _ in range(count):
        size = _measure_object(reader, id_size, limits.largest)
        total += size
        largest = max(largest, size)
        if total > limits.total:
            raise WorkRefused(
                f"The work from the sandbox unpacks to more than {limits.total} bytes"
            )
    return PackSize(count, total, largest)


def _measure_object(reader: _Reader, id_size: int, largest: int) -> int:
    """Skip one object and return its size, for a delta with that of its result."""
    byte = reader.byte()
    kind = (byte >> 4) & 7
    size = _rest_of_number(reader.byte, byte, byte & 15, 4)
    if kind == _OFFSET_DELTA:
        while reader.byte() & 0x80:
            pass
    elif kind == _REFERENCE_DELTA:
        reader.take(id_size)
    elif kind not in _WHOLE:
        raise _not_a_pack()
    _require_at_most(size, largest)
    start = reader.inflate(size)
    if kind in _WHOLE:
        return size
    result = _result_size(start)
    _require_at_most(result, largest)
    return size + result


def _require_at_most(size: int, largest: int) -> None:
    if size > largest:
        raise WorkRefused(
            f"The work from the sandbox has an object of {size} bytes, more than {largest}"
        )


def _result_size(start: bytes) -> int:
    """Return the size of the result of a delta, the second number at its start."""
    bytes_left = iter(start)

    def read() -> int:
        byte = next(bytes_left, None)
        if byte is None:
            raise _not_a_pack()
        return byte

    first = read()
    _rest_of_number(read, first, first & 0x7F, 7)
    second = read()
    return _rest_of_number(read, second, second & 0x7F, 7)


def _rest_of_number(read: Callable[[], int], byte: int, value: int, shift: int) -> int:
    for _ in range(_MAX_SIZE_BYTES):
        if not byte & 0x80:
            return value
        byte = read()
        value |= (byte & 0x7F) << shift
        shift += 7
    raise _not_a_pack()


class _Reader:
    """The bytes of a pack, in order."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._held = b""
        self._at = 0

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        while len(self._held) - self._at < count:
            self._fill()
        taken = self._held[self._at : self._at + count]
        self._at += count
        return taken

    def inflate(self, size: int) -> bytes:
        """Skip compressed data that must be `size` bytes long; return its first ones."""
        inflater = zlib.decompressobj()
        start = b""
        length = 0
        while not inflater.eof:
            if self._at == len(self._held):
                self._fill()
            data = self._held[self._at : self._at + max(_SLICE, min(size, _PACK_BLOCK))]
            try:
                piece = inflater.decompress(data, _PACK_BLOCK)
            except zlib.error:
                raise _not_a_pack() from None
            left = inflater.unused_data or inflater.unconsumed_tail
            self._at += len(data) - len(left)
            start = (start + piece)[: 2 * _MAX_SIZE_BYTES]
            length += len(piece)
            if length > size:
                raise _not_a_pack()
        if length != size:
            raise _not_a_pack()
        return start

    def _fill(self) -> None:
        more = self._file.read(_PACK_BLOCK)
        if not more:
            raise WorkRefused("The bundle from the sandbox is cut short")
        self._held = self._held[self._at :] + more
        self._at = 0


def _not_a_pack() -> WorkRefused:
    return WorkRefused("The bundle from the sandbox has no valid pack")
