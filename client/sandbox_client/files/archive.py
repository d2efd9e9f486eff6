"""Small files as one tar archive, pure: 400 of them need a few requests instead of 400.

An archive to the sandbox has the files under their temporary names, and a script with the arguments
that `commit` needs for them. One from the sandbox is not trusted: only regular files of expected
names and sizes are read from it, and nothing is unpacked by `tarfile`.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import re
import shlex
import tarfile
from typing import TYPE_CHECKING

from sandbox_client.api.runtime import quote
from sandbox_client.errors import InvalidResponse

from .shell_scripts import (
    BLOCK_SIZE,
    HEX_TOKEN,
    PLACE,
    FileResult,
    argument,
    command_line,
    commit_words,
    in_home,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from .model import FileEntry
    from .shell_scripts import PendingUpload

MAX_FILE = 64 * 1024  # bytes: a larger file is copied on its own
MAX_FILES = 400  # in an archive
MAX_SIZE = 1024 * 1024  # bytes of the files in an archive
MAX_PATHS = 48_000  # bytes of the paths in an archive: one request can write them
_HASH_LINE = 65  # bytes
# tar ends an archive with up to 10,240 bytes, and may need three blocks of 512 for a long name.
_MAX_ARCHIVE = MAX_SIZE + MAX_FILES * (5 * 512 + _HASH_LINE) + 2 * MAX_PATHS + 2 * 10_240
MAX_BLOCKS = -(-_MAX_ARCHIVE // BLOCK_SIZE)

# One process for hundreds of new or regular files; the shell places the others, and all if there is
# no python3.
_RENAMES = """import os, stat, sys
args = sys.argv[1:]
for number, (temp, path, mode) in enumerate(zip(args[::4], args[1::4], args[2::4])):
 try:
  old = os.lstat(path).st_mode if os.path.lexists(path) else 0
  if old and not (stat.S_ISREG(old) and os.access(path, os.W_OK)): continue
  if old: os.chmod(temp, old & 0o7777)
  os.rename(temp, path)
  is_lost = int(mode, 8) & 0o100 and not os.access(path, os.X_OK)
  print("@" + str(number), "done", "mode" if is_lost else "")
 except OSError: pass
"""
_UNPACK = f"""
a=$1; w=$2; renames=$3; unpacked=1;
{PLACE}
tidy() {{ :; }};
sweep() {{
  for o in "$1"/.*.part-{HEX_TOKEN}; do
    n=${{o##*/.}};
    [ ! -f "$o" ] || [ ! -f "$1/${{n%.part-*}}" ] || find "$o" -mmin +60 -exec rm -f {{}} +;
  done;
}};
clean() {{
  rm -f "$a" "$w"; last=;
  while [ $# -gt 0 ]; do
    [ ! -f "$1" ] || rm -f "$1";
    [ "${{1%/*}}" = "$last" ] || {{ last=${{1%/*}}; sweep "$last" 2>/dev/null; }};
    shift 4;
  done;
}};
shift 3; trap "clean \\"\\$@\\"; exit 1" HUP INT TERM;
err=$(tar -xmof "$a" 2>&1); code=$?;
[ ! -f "$w" ] || . "./$w";
if [ $code = 0 ]; then
  if [ "$(sums 2>/dev/null | tr -d "\\\\\\\\" | cut -c 1-64)" = "$expected" ]; then
    verified=1; python3 -c "$renames" "$@" 2>/dev/null; fi;
  commit "$@"; else printf "@0 unable %s\\n" "$err"; fi;
clean "$@"; echo @end
"""
_PACK = f"""
to=$1; . "$to/words"; rm -f "$to"/*;
if ! command -v tar >/dev/null || ! command -v sha256sum >/dev/null; then echo "@0 missing";
elif err=$({{ sha256sum "$@" >"$to/sums" && tar -chf "$to/tar" "$@"; }} 2>&1); then
  {{ tr -d "\\\\\\\\" <"$to/sums" | cut -c 1-64; cat "$to/tar"; }} >"$to/all";
  size=$(wc -c <"$to/all"); k=0;
  while [ $((k*{BLOCK_SIZE})) -lt $size ]; do
    dd if="$to/all" bs={BLOCK_SIZE} skip=$k count=1 2>/dev/null | base64 >"$to/$k"; k=$((k+1));
  done;
  echo "@0 blocks $k";
else printf "@0 unable %s\\n" "$err"; fi;
echo @end
"""


def batches(entries: Sequence[FileEntry]) -> Iterator[list[FileEntry]]:
    """Yield the small files in batches for an archive each; a file alone gets none."""
    batch: list[FileEntry] = []
    size = paths = 0
    for entry in entries:
        length = len(entry.path.encode()) + 4
        is_full = size + entry.size > MAX_SIZE or paths + length > MAX_PATHS
        if batch and (is_full or len(batch) == MAX_FILES):
            yield batch
            batch, size, paths = [], 0, 0
        if entry.size <= MAX_FILE:
            batch.append(entry)
            size += entry.size
            paths += length
    if len(batch) > 1:
        yield batch


class ArchiveWriter:
    """An archive of uploads; `ends` has the position after each of them."""

    def __init__(self, words_name: str) -> None:
        self.uploads: list[PendingUpload] = []
        self.ends: list[int] = []
        self._words_name = words_name
        self._buffer = io.BytesIO()
        self._tar = tarfile.open(  # noqa: SIM115  # a buffer needs no close
            fileobj=self._buffer, mode="w", format=tarfile.GNU_FORMAT
        )

    def add(self, upload: PendingUpload, data: bytes) -> None:
        """Add a file under its temporary name."""
        mode = upload.mode if isinstance(upload.mode, int) else 0o644
        self._add(upload.temp, data, mode)
        self.uploads.append(upload)
        self.ends.append(self._buffer.tell())

    def finish(self) -> bytes:
        """Add the arguments of `commit` and return the archive."""
        words = commit_words(self.uploads)
        script = (
            f"sums() {{ sha256sum {_join(words[::4])}; }}\n"
            f"expected={shlex.quote(chr(10).join(words[3::4]))}\n"
            f"set -- {_join(words)}\n"
        )
        self._add(self._words_name, script.encode(), 0o600)
        self._tar.close()
        return self._buffer.getvalue()

    def _add(self, name: str, data: bytes, mode: int) -> None:
        member = tarfile.TarInfo(name)
        member.size, member.mode = len(data), mode
        self._tar.addfile(member, io.BytesIO(data))


def unpack(archive: str, words: str) -> str:
    """Unpack an archive, verify its files and rename them; then remove it.

    A result line `@0 unable` says that the sandbox cannot unpack it: then no file was changed.
    """
    return command_line(_UNPACK, argument(archive), argument(words), quote(_RENAMES))


def words_of(entries: Sequence[FileEntry]) -> bytes:
    """Return a script that sets the arguments of `pack`."""
    return f"set -- {_join(f'./{each.path}' for each in entries)}\n".encode()


def pack(scratch: str) -> str:
    """Hash and archive the files of `words` in the scratch directory, where blocks `0`, `1` … come.

    They hold the hashes, a line each, and the archive after them.
    A result line `@0 missing` says that the sandbox has no tools for it, `@0 unable` that a file
    cannot be read.
    """
    return command_line(_PACK, in_home(scratch))


def _join(words: Iterable[str]) -> str:
    return " ".join(map(shlex.quote, words))


def block_count(results: Mapping[int, FileResult]) -> int | None:
    """Return the number of blocks from the results of `pack`; None without a usable archive."""
    status, detail = results.get(0, FileResult())
    is_number = re.fullmatch("[0-9]{1,9}", detail) is not None
    is_usable = status == "blocks" and is_number and int(detail) <= MAX_BLOCKS
    return int(detail) if is_usable else None


def read_files(data: bytes, entries: Sequence[FileEntry]) -> dict[str, bytes]:
    """Return the content of the files that have their expected size and hash, by path.

    Raises:
        InvalidResponse: the archive is malformed.
    """
    end = _HASH_LINE * len(entries)
    hashes = data[:end].decode("ascii", errors="replace").split("\n")
    expected = {each.path: digest for each, digest in zip(entries, hashes, strict=False)}
    found = _read_members(data[end:], {each.path: each.size for each in entries})
    return {
        path: content
        for path, content in found.items()
        if hashlib.sha256(content).hexdigest() == expected.get(path)
    }


def _read_members(data: bytes, sizes: Mapping[str, int]) -> dict[str, bytes]:
    """Return the content of the regular files that have one of these paths and sizes."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as tar:
            for member in itertools.islice(tar, len(sizes)):
                path = member.name.removeprefix("./")
                is_plain = member.type in {tarfile.REGTYPE, tarfile.AREGTYPE}
                if is_plain and member.sparse is None and sizes.get(path) == member.size:
                    file = tar.extractfile(member)
                    found[path] = file.read(member.size) if file else b""
    except (tarfile.TarError, ValueError, OSError, OverflowError):
        raise InvalidResponse("The sandbox returned an invalid tar archive") from None
    return found
