"""The shell scripts that `remote` and `copy` run in a sandbox, and how their output is read, pure.

A function such as `commit` returns a command line; `read_results` and `read_tree` read the output.
Each script runs under `sh`, where the aliases of the user's shell do not apply, with tools that any
Linux has. Paths are relative to the working directory of the command, and a scratch directory is in
HOME. A script prints a line `@NUMBER STATUS DETAIL` for each file, and `@end` as its last line.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from sandbox_client.api.runtime import quote
from sandbox_client.errors import FileRefused, InvalidResponse
from sandbox_client.text import last_line

from .model import LINK_TO_DIRECTORY, LINK_TO_NO_FILE, NO_FILE, FileEntry, Skipped, Tree, is_below

if TYPE_CHECKING:
    from collections.abc import Sequence

HOME = "/home/gem"
BLOCK_SIZE = 384 * 1024  # bytes of a file in one reply: half a megabyte as base64
WriteMode = Literal["plain", "exec", "append"]  # as the script reads it: $3 of `place`

_HASH = """
h() {
  if command -v sha256sum; then sha256sum;
  elif command -v shasum; then shasum -a 256;
  else python3 -c "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())";
  fi 2>/dev/null | grep -o "^[0-9a-f]\\{64\\}";
};
"""
_HEX = "[0-9a-f]" * 8  # the token in the name of a temporary file
# Temporary files are removed an hour after their last change: then no copy still writes to them.
_COMMIT = f"""
{_HASH}
fail() {{ echo "$@"; return 1; }};
place() {{
  [ ! -d "$2" ] || fail it is a directory || return;
  [ ! -e "$2" ] || [ -f "$2" ] || fail it is not a regular file || return;
  [ ! -e "$2" ] || [ -w "$2" ] || fail "it is write-protected (run chmod u+w)" || return;
  if [ $3 = append ]; then
    err=$(cat "$1" 2>&1 >>"$2") || fail "a part may have been appended: $err" || return;
    rm -f "$1"; return 0;
  fi;
  if [ -e "$2" ]; then
    chmod --reference="$2" "$1" 2>/dev/null || chmod "$(stat -Lc %a "$2")" "$1" || return;
  elif [ $3 = exec ]; then chmod +x "$1" || return; fi;
  [ -L "$2" ] || {{ mv -f "$1" "$2"; return; }};
  t=$(readlink -fn "$2" && echo .) || fail it is a dangling link || return;
  t=${{t%.}}; p=${{t%/*}}/${{1##*/}};
  mv -f "$1" "$p" && mv -f "$p" "$t" || {{ rm -f "$p"; return 1; }};
}};
tidy() {{
  for o in "${{1%-*}}"-{_HEX}; do
    [ ! -f "$o" ] || find "$o" -mmin +60 -exec rm -f {{}} +;
  done;
}};
i=0;
while [ $# -gt 0 ]; do
  found="$(wc -c <"$1" | tr -d " ") $(h <"$1")";
  if [ "$found" = "$4 " ]; then echo "@$i unhashed";
  elif [ "$found" != "$4 $5" ]; then echo "@$i differs";
  elif err=$(place "$@" 2>&1); then echo "@$i done"; tidy "$1" >/dev/null 2>&1;
  else printf "@%s failed %s\\n" "$i" "$err"; fi;
  i=$((i+1)); shift 5;
done;
echo @end
"""
_MAKE_DIRECTORIES = """
rm -f "$1"; shift; i=0;
for d do err=$(mkdir -p "$d" 2>&1) || printf "@%s failed %s\\n" "$i" "$err"; i=$((i+1)); done;
echo @end
"""
_MEASURE = 'printf "@0 size %s\\n" "$(wc -c <"$1" | tr -d " ")"; echo @end'
_REMOVE = 'rm -rf "$@"; echo @end'
_SCAN = f"""
find "$HOME/" -maxdepth 1 -name ".remote-sandbox-{_HEX}" -mmin +60 -exec rm -rf {{}} + 2>/dev/null;
mkdir -m 700 "$1" &&
if find -H "$2" -name ".remote-sandbox-*" -prune -o -exec sh -c "$3" sh {{}} +
  >"$1/raw" 2>"$1/err";
then base64 <"$1/raw" >"$1/list";
else printf "@0 failed %s\\n" "$(head -n 1 "$1/err")"; fi && echo @end
"""
_DESCRIBE = """
for p do
  if [ -f "$p" ]; then
    if [ -x "$p" ]; then k=x; else k=f; fi;
    printf "%s%s %s\\0" $k "$(wc -c <"$p" | tr -d " ")" "$p";
  elif [ -L "$p" ]; then if [ -d "$p" ]; then k=t; else k=l; fi; printf "%s %s\\0" $k "$p";
  elif [ -d "$p" ]; then printf "d %s\\0" "$p";
  else printf "o %s\\0" "$p"; fi;
done
"""
_PACK = f"""
{_HASH}
to=$1; shift; rm -f "$to"/*;
while [ $# -gt 0 ]; do
  if [ $3 = 0 ]; then
    digest=$(h 2>&1 <"$2") && printf "@%s %s %s\\n" $1 "$(wc -c <"$2" | tr -d " ")" "$digest"
    || printf "@%s failed %s\\n" $1 "$(cat "$2" 2>&1 >/dev/null)";
  fi;
  k=$3;
  while [ $k -lt $(($3+$4)) ]; do
    err=$( {{ dd if="$2" bs={BLOCK_SIZE} skip=$k count=1 2>/dev/null | base64 >"$to/$1.$k"; }} 2>&1)
    || printf "@%s failed %s\\n" $1 "$err";
    k=$((k+1));
  done;
  shift 4;
done;
echo @end
"""
_RESULT_LINE = re.compile(r"^@(\d+) (\w+) ?(.*?)\r?$", re.MULTILINE)
_SKIP_REASONS = {"l": LINK_TO_NO_FILE, "t": LINK_TO_DIRECTORY, "o": NO_FILE}


@dataclass(frozen=True)
class PendingUpload:
    """A file uploaded to `temp`, with the size and hash that it must have to become `path`."""

    temp: str
    path: str
    size: int
    sha256: str
    mode: WriteMode = "plain"


@dataclass(frozen=True)
class Slice:
    """The `count` blocks of a file from block `start` on; `number` identifies the file."""

    number: int
    entry: FileEntry
    start: int
    count: int

    @property
    def is_last(self) -> bool:
        """Whether the slice ends at the end of the file."""
        return (self.start + self.count) * BLOCK_SIZE >= self.entry.size

    def block_names(self) -> list[str]:
        """Return the names of the block files in the scratch directory."""
        return [f"{self.number}.{k}" for k in range(self.start, self.start + self.count)]


class FileResult(NamedTuple):
    """The result line of one file: a status such as `done`, and the rest of the line."""

    status: str = ""
    detail: str = ""


def split_file(number: int, entry: FileEntry, max_blocks: int) -> list[Slice]:
    """Split a file into slices of at most `max_blocks` blocks; an empty file is one slice."""
    blocks = -(-entry.size // BLOCK_SIZE)
    starts = range(0, max(blocks, 1), max_blocks)
    return [Slice(number, entry, start, min(max_blocks, blocks - start)) for start in starts]


def argument_length(path: str) -> int:
    """Return the most characters that a file adds to the command line of a script."""
    return 2 * len(_quoted(path)) + 105  # for the name of its temporary file, its hash, its size


def commit(uploads: Sequence[PendingUpload]) -> str:
    """Verify each upload, and rename it or append it to its path."""
    words = [
        word
        for each in uploads
        for word in (
            _quoted(each.temp),
            _quoted(each.path),
            each.mode,
            str(each.size),
            each.sha256,
        )
    ]
    return _command(_COMMIT, *words)


def make_directories(marker: str, directories: Sequence[str]) -> str:
    """Create directories, and remove the file `marker`."""
    return _command(_MAKE_DIRECTORIES, *map(_quoted, (marker, *directories)))


def measure(path: str) -> str:
    """Print the size of a file in bytes."""
    return _command(_MEASURE, _quoted(path))


def remove(paths: Sequence[str]) -> str:
    """Remove files and directories; missing ones are ignored."""
    return _command(_REMOVE, *map(_quoted, paths))


def scan(scratch: str, root: str) -> str:
    """List `root` recursively into the file `list` of a new scratch directory."""
    return _command(_SCAN, _in_home(scratch), _quoted(root), quote(_one_line(_DESCRIBE)))


def pack(scratch: str, slices: Sequence[Slice]) -> str:
    """Write blocks as base64 files into the scratch directory; print each file's size and hash.

    The file API returns text only, so binary content needs base64.
    """
    words = [
        word
        for each in slices
        for word in (str(each.number), _quoted(each.entry.path), str(each.start), str(each.count))
    ]
    return _command(_PACK, _in_home(scratch), *words)


def remove_scratch(scratch: str) -> str:
    """Remove the scratch directory."""
    return _command(_REMOVE, _in_home(scratch))


def read_results(output: str) -> dict[int, FileResult]:
    """Read the output of a script: the last result line of each file, by number.

    Raises:
        FileRefused: the script ended early.
    """
    if not re.search(r"^@end\r?$", output, re.MULTILINE):
        last = last_line(output) or "it printed nothing"
        raise FileRefused(
            f"A command on the sandbox's files ended early: {last}",
            advice="Check with {run} that the sandbox's shell and disk work.",
        )
    return {
        int(number): FileResult(status, last_line(detail))
        for number, status, detail in _RESULT_LINE.findall(output)
    }


def read_tree(content: str, base: str, name: str, *, is_file: bool) -> Tree:
    """Read the list that `scan` wrote.

    Raises:
        FileRefused: a name is not UTF-8.
        InvalidResponse: the list is not base64, or has a path outside the directory.
    """
    files: list[FileEntry] = []
    directories: list[str] = []
    skipped: list[Skipped] = []
    for record in decode_block(content).split(b"\0")[:-1]:
        head, _, raw_path = record.partition(b" ")
        kind, size, path = head[:1].decode(), head[1:], _decode_path(raw_path)
        if kind in {"f", "x"}:
            entry_size = int(size) if size.isdigit() else 0
            files.append(FileEntry(path, entry_size, is_executable=kind == "x"))
        elif kind == "d" and path != ".":
            directories.append(path)
        elif kind in _SKIP_REASONS:
            skipped.append(Skipped(path, _SKIP_REASONS[kind]))
    return Tree(base, name, is_file, tuple(files), tuple(directories), tuple(skipped))


def decode_block(content: str) -> bytes:
    """Decode base64, which may contain line breaks."""
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidResponse("The sandbox returned invalid base64") from None


def _decode_path(raw: bytes) -> str:
    try:
        path = raw.decode().removeprefix("./")
    except UnicodeDecodeError:
        raise FileRefused(
            f"A name in the sandbox is not UTF-8: {raw.decode(errors='replace')!a}",
            advice="Rename it with {run}, or copy the other files by their own paths.",
        ) from None
    if path != "." and not is_below(path):
        raise InvalidResponse(f"The sandbox returned a path outside the directory: {path!r}")
    return path


def _quoted(path: str) -> str:
    return quote(path if path == "." else f"./{path}")  # a name may begin with a hyphen


def _in_home(scratch: str) -> str:
    return f'"$HOME"/{scratch}'


def _command(script: str, *words: str) -> str:
    return " ".join(["sh", "-c", quote(_one_line(script)), "sh", *words])


def _one_line(script: str) -> str:
    return " ".join(script.split())
