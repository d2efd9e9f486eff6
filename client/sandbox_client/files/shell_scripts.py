"""The shell scripts that run in a sandbox for its files, and the readers of their output; pure.

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

from .model import (
    LINK_TO_DIRECTORY,
    LINK_TO_NO_FILE,
    MAX_UNSIZED,
    NO_FILE,
    NOT_UTF8,
    UNSIZED,
    FileEntry,
    Skipped,
    Tree,
    is_below,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

BLOCK_SIZE = 384 * 1024  # bytes of a file in one reply: half a megabyte as base64
# How an upload becomes its path: it is appended, or renamed with these permission bits; with None,
# a new file has the bits of the upload.
WriteMode = int | Literal["append"] | None

_HASH = """
case $(command -v sha256sum || command -v shasum) in
  *sha256sum) h() { sha256sum; };;
  *shasum) h() { shasum -a 256; };;
  *) h() { python3 -c "import hashlib, sys; d = sys.stdin.buffer.read();
    print(hashlib.sha256(d).hexdigest())"; };;
esac;
"""
# A line of `scan`: the kind, of a file also its mode and its size (empty if unreadable), the path.
_RECORD = re.compile(rb"(?:([dtlou])|f ([0-7]{1,5}) ([0-9]{0,18})) (.+)", re.DOTALL)
HEX_TOKEN = "[0-9a-f]" * 8  # the token in the name of a temporary file
# `place` renames $1 to $2. With `unpacked`, $1 has its mode already; a replaced file keeps its own.
# `commit` checks the hash of each file before, unless all are `verified`: then those that are gone
# have been renamed and reported already. A command that is repeated finds them placed.
PLACE = f"""
{_HASH}
fail() {{ echo "$@"; return 1; }};
place() {{
  [ ! -d "$2" ] || fail it is a directory || return;
  [ ! -e "$2" ] || [ -f "$2" ] || fail it is not a regular file || return;
  if [ -e "$2" ] && [ ! -w "$2" ]; then
    if is_placed "$@"; then rm -f "$1"; return; fi;
    fail "it is write-protected (run chmod u+w)" || return;
  fi;
  if [ $3 = append ]; then
    err=$(cat "$1" 2>&1 >>"$2") || fail "a part may have been appended: $err" || return;
    rm -f "$1"; return 0;
  fi;
  if [ -e "$2" ]; then
    chmod --reference="$2" "$1" 2>/dev/null || chmod "$(stat -Lc %a "$2")" "$1" || return;
  elif [ $3 != plain ] && [ ! "$unpacked" ]; then chmod $3 "$1" || return; fi;
  [ -L "$2" ] || {{ mv -f "$1" "$2"; return; }};
  t=$(readlink -fn "$2" && echo .) || fail it is a dangling link || return;
  t=${{t%.}}; p=${{t%/*}}/${{1##*/}};
  {{ [ "$1" -ef "$p" ] || mv -f "$1" "$p"; }} && mv -f "$p" "$t" || {{ rm -f "$p"; return 1; }};
}};
is_placed() {{ [ $3 != append ] && [ -f "$2" ] && [ "$(h <"$2" | cut -c 1-64)" = $4 ]; }};
commit() {{
  i=0;
  while [ $# -gt 0 ]; do
    lost=; digest=$4; [ "$verified" ] || digest=$(h 2>/dev/null <"$1");
    case $3 in [1357]*) lost=mode;; esac;
    if [ ! -e "$1" ] && [ "$verified" ]; then :;
    elif [ ! -e "$1" ] && is_placed "$@"; then echo "@$i done";
    elif [ ! "$digest" ] && [ -r "$1" ]; then echo "@$i unhashed";
    elif [ "${{digest%% *}}" != "$4" ]; then echo "@$i differs";
    elif err=$(place "$@" 2>&1); then
      [ ! -x "$2" ] || lost=; echo "@$i done $lost"; tidy "$1" >/dev/null 2>&1;
    else printf "@%s failed %s\\n" "$i" "$err"; fi;
    i=$((i+1)); shift 4;
  done;
}};
"""
# Temporary files are removed an hour after their last change: then no copy still writes to them.
_COMMIT = f"""
{PLACE}
tidy() {{
  for o in "${{1%-*}}"-{HEX_TOKEN}; do
    [ ! -f "$o" ] || find "$o" -mmin +60 -exec rm -f {{}} +;
  done;
}};
commit "$@"; echo @end
"""
_MAKE_DIRECTORIES = """
rm -f "$1"; shift; i=0;
for d do err=$(mkdir -p "$d" 2>&1) || printf "@%s failed %s\\n" "$i" "$err"; i=$((i+1)); done;
echo @end
"""
_MEASURE = 'printf "@0 size %s\\n" "$(wc -c <"$1" | tr -d " ")"; echo @end'
_REMOVE = 'rm -rf "$@"; echo @end'
_SCAN = f"""
find "$HOME/" -maxdepth 1 -name ".remote-sandbox-{HEX_TOKEN}" -mmin +1440 -exec rm -rf {{}} +
  2>/dev/null;
mkdir -m 700 "$1" || exit;
batch=; [ "$2" != . ] || batch=$(stat -L --printf 1 . 2>/dev/null); export batch;
if find -H "$2" -name ".remote-sandbox-{HEX_TOKEN}" -prune -o -exec sh -c "$3" sh {{}} +
  >"$1/raw" 2>"$1/err" 3>"$1/files";
then
  [ ! -s "$1/files" ] ||
    xargs -0 stat -L --printf "f %a %s %n\\0" <"$1/files" >>"$1/raw" 2>/dev/null;
  base64 <"$1/raw" >"$1/list";
else printf "@0 failed %s\\n" "$(head -n 1 "$1/err")"; fi && echo @end
"""
# GNU's stat describes the files of a directory, from descriptor 3, at once; elsewhere each takes
# processes. Files of /proc have size 0 and content, some of it without an end; some are read in
# units of 8 bytes only.
_DESCRIBE = f"""
d=$(pwd -P)/;
special() {{
  [ ! -s "$1" ] || return;
  case $d$1 in /proc/*|/sys/*) return;; esac;
  [ -L "$1" ];
}};
for p do
  if [ -f "$p" ]; then
    x=0; ! special "$p" || x=$(head -c {MAX_UNSIZED + 8} "$p" 2>/dev/null | wc -c | tr -d " ");
    if [ $x -gt {MAX_UNSIZED} ]; then printf "u %s\\0" "$p";
    elif [ $x != 0 ]; then printf "f 644 %s %s\\0" $x "$p";
    elif [ "$batch" ]; then printf "%s\\0" "$p" >&3;
    else
      m=$(stat -Lc %a "$p" 2>/dev/null) || m=644;
      printf "f %s %s %s\\0" "$m" "$(wc -c <"$p" | tr -d " ")" "$p";
    fi;
  elif [ -L "$p" ]; then if [ -d "$p" ]; then k=t; else k=l; fi; printf "%s %s\\0" $k "$p";
  elif [ -d "$p" ]; then printf "d %s\\0" "$p";
  else printf "o %s\\0" "$p"; fi;
done
"""
_PACK = f"""
{_HASH}
to=$1; shift; [ -d "$to" ] || mkdir "$to" || exit; rm -f "$to"/*;
while [ $# -gt 0 ]; do
  if [ $3 = 0 ]; then
    digest=$(h 2>/dev/null <"$2"); digest=${{digest%% *}};
    if [ "$digest" ]; then printf "@%s %s %s\\n" $1 "$(wc -c <"$2" | tr -d " ")" "$digest";
    else printf "@%s failed %s\\n" $1 "$(cat "$2" 2>&1 >/dev/null)"; fi;
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
_SKIP_REASONS = {"l": LINK_TO_NO_FILE, "t": LINK_TO_DIRECTORY, "o": NO_FILE, "u": UNSIZED}


@dataclass(frozen=True)
class PendingUpload:
    """A file uploaded to `temp`, with the size and hash that it must have to become `path`."""

    temp: str
    path: str
    size: int
    sha256: str
    mode: WriteMode = None

    @property
    def mode_word(self) -> str:
        """The mode as the script reads it: $3 of `place`."""
        return format(self.mode, "o") if isinstance(self.mode, int) else self.mode or "plain"


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

    def blocks(self) -> list[tuple[str, int]]:
        """Return the names of the block files in the scratch directory, and their bytes."""
        numbers = range(self.start, self.start + self.count)
        size = self.entry.size
        return [(f"{self.number}.{k}", min(BLOCK_SIZE, size - k * BLOCK_SIZE)) for k in numbers]


class FileResult(NamedTuple):
    """The result line of one file: a status such as `done`, and the rest of the line."""

    status: str = ""
    detail: str = ""


def split_file(number: int, entry: FileEntry, max_blocks: int, first: int = 0) -> Iterator[Slice]:
    """Yield the slices of a file from block `first` on; an empty file is one slice."""
    blocks = -(-entry.size // BLOCK_SIZE)
    for start in range(first, max(blocks, 1), max_blocks):
        yield Slice(number, entry, start, min(max_blocks, blocks - start))


def argument_length(path: str) -> int:
    """Return the most characters that a file adds to the command line of a script."""
    return 2 * len(argument(path)) + 105  # for the name of its temporary file, its hash, its size


def commit(uploads: Sequence[PendingUpload]) -> str:
    """Verify each upload, and rename it or append it to its path."""
    words = commit_words(uploads)
    quoted = [quote(word) if at % 4 < 2 else word for at, word in enumerate(words)]
    return command_line(_COMMIT, *quoted)


def commit_words(uploads: Sequence[PendingUpload]) -> list[str]:
    """Return the arguments of the script's function `commit`, four for each upload."""
    return [
        word
        for each in uploads
        for word in (f"./{each.temp}", f"./{each.path}", each.mode_word, each.sha256)
    ]


def make_directories(marker: str, directories: Sequence[str]) -> str:
    """Create directories, and remove the file `marker`."""
    return command_line(_MAKE_DIRECTORIES, *map(argument, (marker, *directories)))


def measure(path: str) -> str:
    """Print the size of a file in bytes."""
    return command_line(_MEASURE, argument(path))


def remove(paths: Sequence[str]) -> str:
    """Remove files and directories; missing ones are ignored."""
    return command_line(_REMOVE, *map(argument, paths))


def scan(scratch: str, root: str) -> str:
    """List `root` recursively into the file `list` of a new scratch directory."""
    return command_line(_SCAN, in_home(scratch), argument(root), quote(_one_line(_DESCRIBE)))


def pack(scratch: str, slices: Sequence[Slice]) -> str:
    """Write blocks as base64 files into the scratch directory; print each file's size and hash.

    The file API returns text only, so binary content needs base64.
    """
    words = [
        word
        for each in slices
        for word in (str(each.number), argument(each.entry.path), str(each.start), str(each.count))
    ]
    return command_line(_PACK, in_home(scratch), *words)


def remove_scratch(*scratches: str) -> str:
    """Remove scratch directories."""
    return command_line(_REMOVE, *map(in_home, scratches))


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
        InvalidResponse: the list is malformed, or has a path outside the directory.
    """
    files: list[FileEntry] = []
    directories: list[str] = []
    skipped: list[Skipped] = []
    for record in decode_block(content).split(b"\0")[:-1]:
        match = _RECORD.fullmatch(record)
        if match is None:
            raise InvalidResponse(f"The sandbox returned an invalid list of files: {record[:80]!r}")
        kind, mode, size, raw_path = match.groups(default=b"")
        path = raw_path.removeprefix(b"./").decode(errors="backslashreplace")
        _check_below(path)
        if not _is_utf8(raw_path):
            if not _is_utf8(raw_path.rpartition(b"/")[2]):  # of a directory, not what is below it
                skipped.append(Skipped(path, NOT_UTF8))
            continue
        if mode:
            files.append(FileEntry(path, int(size or b"0"), int(mode, 8) & 0o777))
        elif kind == b"d" and path != ".":
            directories.append(path)
        elif kind.decode() in _SKIP_REASONS:
            skipped.append(Skipped(path, _SKIP_REASONS[kind.decode()]))
    return Tree(base, name, is_file, tuple(files), tuple(directories), tuple(skipped))


def decode_block(content: str) -> bytes:
    """Decode base64, which may contain line breaks."""
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidResponse("The sandbox returned invalid base64") from None


def _is_utf8(name: bytes) -> bool:
    try:
        name.decode()
    except UnicodeDecodeError:
        return False
    return True


def _check_below(path: str) -> None:
    if path != "." and not is_below(path):
        raise InvalidResponse(f"The sandbox returned a path outside the directory: {path!r}")


def argument(path: str) -> str:
    """Return a relative path as one word of a command line."""
    return quote(path if path == "." else f"./{path}")  # a name may begin with a hyphen


def in_home(scratch: str) -> str:
    """Return the path of a scratch directory as one word of a command line."""
    return f'"$HOME"/{scratch}'


def command_line(script: str, *words: str) -> str:
    """Return the command line for a script with these arguments, which are words already."""
    return " ".join(["sh", "-c", quote(_one_line(script)), "sh", *words])


def _one_line(script: str) -> str:
    return " ".join(script.split())
