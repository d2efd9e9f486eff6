"""What the client has a sandbox's shell do to files, pure: command lines out, what they print in.

Only names relative to the command's own directory stand in them, and a scratch directory in HOME.
Each runs under `sh`, where no alias of a person's counts, with the tools that any Linux has.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox_client.api.runtime import quote
from sandbox_client.errors import FileRefused, InvalidResponse
from sandbox_client.text import last_line

from .model import LINK_TO_DIRECTORY, LINK_TO_NOTHING, NO_FILE, FileEntry, Skipped, Tree, is_below

if TYPE_CHECKING:
    from collections.abc import Sequence

HOME = "/home/gem"
BLOCK = 384 * 1024  # bytes of a file in one reply, which is half a megabyte of base64 then
Manner = Literal["plain", "run", "append"]

_HASH = """
h() {
  if command -v sha256sum; then sha256sum;
  elif command -v shasum; then shasum -a 256;
  else python3 -c "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())";
  fi 2>/dev/null | grep -o "^[0-9a-f]\\{64\\}";
};
"""
_HEX = "[0-9a-f]" * 8  # a part's token
# What a killed copy has left is removed an hour later: until then a copy may be at it.
_SETTLE = f"""
{_HASH}
no() {{ echo "$@"; return 1; }};
place() {{
  [ ! -d "$2" ] || no it is a directory || return;
  [ ! -e "$2" ] || [ -f "$2" ] || no it is no file || return;
  [ ! -e "$2" ] || [ -w "$2" ] || no "it is write-protected (chmod u+w lifts that)" || return;
  if [ $3 = append ]; then
    said=$(cat "$1" 2>&1 >>"$2") || no "some of it may be at its end: $said" || return;
    rm -f "$1"; return 0;
  fi;
  if [ -e "$2" ]; then
    chmod --reference="$2" "$1" 2>/dev/null || chmod "$(stat -Lc %a "$2")" "$1" || return;
  elif [ $3 = run ]; then chmod +x "$1" || return; fi;
  [ -L "$2" ] || {{ mv -f "$1" "$2"; return; }};
  t=$(readlink -fn "$2" && echo .) || no it is a link that leads nowhere || return;
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
  seen="$(wc -c <"$1" | tr -d " ") $(h <"$1")";
  if [ "$seen" = "$4 " ]; then echo "@$i unhashed";
  elif [ "$seen" != "$4 $5" ]; then echo "@$i differs";
  elif said=$(place "$@" 2>&1); then echo "@$i done"; tidy "$1" >/dev/null 2>&1;
  else printf "@%s failed %s\\n" "$i" "$said"; fi;
  i=$((i+1)); shift 5;
done;
echo @end
"""
_ARRANGE = """
rm -f "$1"; shift; i=0;
for d do said=$(mkdir -p "$d" 2>&1) || printf "@%s failed %s\\n" "$i" "$said"; i=$((i+1)); done;
echo @end
"""
_MEASURE = 'printf "@0 size %s\\n" "$(wc -c <"$1" | tr -d " ")"; echo @end'
_REMOVE = 'rm -rf "$@"; echo @end'
_SURVEY = f"""
find "$HOME/" -maxdepth 1 -name ".remote-sandbox-{_HEX}" -mmin +60 -exec rm -rf {{}} + 2>/dev/null;
mkdir -m 700 "$1" &&
if find -H "$2" -name ".remote-sandbox-*" -prune -o -exec sh -c "$3" sh {{}} +
  >"$1/raw" 2>"$1/said";
then base64 <"$1/raw" >"$1/list";
else printf "@0 failed %s\\n" "$(head -n 1 "$1/said")"; fi && echo @end
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
    said=$(h 2>&1 <"$2") && printf "@%s %s %s\\n" $1 "$(wc -c <"$2" | tr -d " ")" "$said"
    || printf "@%s failed %s\\n" $1 "$(cat "$2" 2>&1 >/dev/null)";
  fi;
  k=$3;
  while [ $k -lt $(($3+$4)) ]; do
    said=$( {{ dd if="$2" bs={BLOCK} skip=$k count=1 2>/dev/null | base64 >"$to/$1.$k"; }} 2>&1)
    || printf "@%s failed %s\\n" $1 "$said";
    k=$((k+1));
  done;
  shift 4;
done;
echo @end
"""
_LINE = re.compile(r"^@(\d+) (\w+) ?(.*?)\r?$", re.MULTILINE)
_WHY = {"l": LINK_TO_NOTHING, "t": LINK_TO_DIRECTORY, "o": NO_FILE}


@dataclass(frozen=True)
class PendingUpload:
    """A file that was sent under the name `part`, and what it has to be to get its own."""

    part: str
    path: str
    size: int
    digest: str
    manner: Manner = "plain"


@dataclass(frozen=True)
class Slice:
    """`count` blocks from number `start` on of a file, which goes by a number of ours."""

    number: int
    entry: FileEntry
    start: int
    count: int

    @property
    def is_last(self) -> bool:
        """Whether the file ends with it."""
        return (self.start + self.count) * BLOCK >= self.entry.size

    def names(self) -> list[str]:
        """Return what the blocks are called in the scratch directory."""
        return [f"{self.number}.{k}" for k in range(self.start, self.start + self.count)]


def slices(number: int, entry: FileEntry, most: int) -> list[Slice]:
    """Return a file in slices of at most so many blocks: one, where it is empty."""
    blocks = -(-entry.size // BLOCK)
    starts = range(0, max(blocks, 1), most)
    return [Slice(number, entry, start, min(most, blocks - start)) for start in starts]


def room(path: str) -> int:
    """Return how many characters of a command line a file takes, at most."""
    return 2 * len(_path(path)) + 105  # its part's name, its hash, its size


def commit(files: Sequence[PendingUpload]) -> str:
    """Give each file its name where it is what was sent; the names are relative."""
    words = [
        word
        for each in files
        for word in (_path(each.part), _path(each.path), each.manner, str(each.size), each.digest)
    ]
    return _command(_SETTLE, *words)


def arrange(marker: str, directories: Sequence[str]) -> str:
    """Make directories, and remove the file that has made the one they are in."""
    return _command(_ARRANGE, *map(_path, (marker, *directories)))


def measure(path: str) -> str:
    """Tell the size of a file."""
    return _command(_MEASURE, _path(path))


def remove(paths: Sequence[str]) -> str:
    """Remove files, where they are there."""
    return _command(_REMOVE, *map(_path, paths))


def survey(scratch: str, root: str) -> str:
    """Write down what is at `root` and below it, into a new scratch directory."""
    return _command(_SURVEY, _in_home(scratch), _path(root), quote(_one_line(_DESCRIBE)))


def pack(scratch: str, slices: Sequence[Slice]) -> str:
    """Write blocks of files as base64 into the scratch directory, and tell the files' hashes.

    The runtime reads text alone: base64 is what makes a block of any file such.
    """
    words = [
        word
        for each in slices
        for word in (str(each.number), _path(each.entry.path), str(each.start), str(each.count))
    ]
    return _command(_PACK, _in_home(scratch), *words)


def remove_scratch(scratch: str) -> str:
    """Remove the scratch directory."""
    return _command(_REMOVE, _in_home(scratch))


def read_lines(output: str) -> dict[int, tuple[str, str]]:
    """Read what a command told of its files by number: the last word on each, and what follows.

    Raises:
        FileRefused: the command did not come to its end.
    """
    if not re.search(r"^@end\r?$", output, re.MULTILINE):
        said = last_line(output) or "it printed nothing"
        raise FileRefused(
            f"A command on the sandbox's files ended early: {said}",
            advice="See with {run} whether the sandbox's shell and its disk are well.",
        )
    return {int(number): (word, last_line(rest)) for number, word, rest in _LINE.findall(output)}


def read_survey(content: str, base: str, name: str, *, is_file: bool) -> Tree:
    """Read what `survey` has written of a file or directory."""
    files: list[FileEntry] = []
    directories: list[str] = []
    skipped: list[Skipped] = []
    for record in read_block(content).split(b"\0")[:-1]:
        head, _, rest = record.partition(b" ")
        kind, size, path = head[:1].decode(), head[1:], _name(rest)
        if kind in {"f", "x"}:
            files.append(FileEntry(path, int(size) if size.isdigit() else 0, runs=kind == "x"))
        elif kind == "d" and path != ".":
            directories.append(path)
        elif kind in _WHY:
            skipped.append(Skipped(path, _WHY[kind]))
    return Tree(base, name, is_file, tuple(files), tuple(directories), tuple(skipped))


def read_block(content: str) -> bytes:
    """Read base64, which may stand in lines."""
    try:
        return base64.b64decode("".join(content.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidResponse("The sandbox's base64 cannot be read") from None


def _name(raw: bytes) -> str:
    try:
        path = raw.decode().removeprefix("./")
    except UnicodeDecodeError:
        raise FileRefused(
            f"A name in the sandbox is not UTF-8: {raw.decode(errors='replace')!a}",
            advice="Rename it with {run}, or copy what is beside it.",
        ) from None
    if path != "." and not is_below(path):
        raise InvalidResponse(f"The sandbox names a file that leads out of its directory: {path!r}")
    return path


def _path(path: str) -> str:
    return quote(path if path == "." else f"./{path}")  # a name may begin with a hyphen


def _in_home(scratch: str) -> str:
    return f'"$HOME"/{scratch}'


def _command(script: str, *words: str) -> str:
    return " ".join(["sh", "-c", quote(_one_line(script)), "sh", *words])


def _one_line(script: str) -> str:
    return " ".join(script.split())
