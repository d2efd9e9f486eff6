"""Separate the reports of a shell from the output of its commands, on the same terminal."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FIELDS = 3
_NUMBERS = re.compile(rb"[0-9]{1,18} [0-9]{0,3}")  # of a command, and its exit code if it has ended
_LONGEST = 64 * 1024  # bytes of a report; a path has at most 4 KB


@dataclass(frozen=True, slots=True)
class Report:
    """A command has ended, and where its shell is now; without an exit code, it has begun."""

    number: int
    exit_code: int | None
    directory: str


class Reports:
    """Split a terminal's output. A report is its mark and three fields, each ended by a NUL."""

    def __init__(self, mark: str) -> None:
        self._mark = b"\0" + mark.encode() + b"\0"
        self._rest = b""

    def read(self, chunk: bytes) -> Iterator[bytes | Report]:
        """Return output and reports in the order in which they came."""
        rest = self._rest + chunk
        while (found := rest.find(self._mark)) >= 0:
            begin = found + len(self._mark)
            fields = rest[begin:].split(b"\0", _FIELDS)
            if len(fields) <= _FIELDS and len(rest) - begin < _LONGEST:
                break
            report = _report(fields)
            if report is None:  # a command has written the mark, which it can find out
                yield rest[:begin]
                rest = rest[begin:]
                continue
            if found:
                yield rest[:found]
            yield report
            rest = fields[_FIELDS]
        else:
            found = len(rest) - self._begun(rest)
        if found:
            yield rest[:found]
        self._rest = rest[found:]

    def flush(self) -> bytes:
        """Return the bytes that were held back as the possible start of a report."""
        rest, self._rest = self._rest, b""
        return rest

    def _begun(self, rest: bytes) -> int:
        """Return how much of the end may be the beginning of a mark."""
        for size in range(min(len(self._mark) - 1, len(rest)), 0, -1):
            if rest.endswith(self._mark[:size]):
                return size
        return 0


def _report(fields: list[bytes]) -> Report | None:
    if len(fields) <= _FIELDS or not _NUMBERS.fullmatch(b" ".join(fields[:2])):
        return None
    number, code, directory, _ = fields
    ended = int(code) if code else None
    return Report(int(number), ended, directory.decode(errors="replace"))
