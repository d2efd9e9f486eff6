"""Parse the reports of a shell out of the output of its commands, on the same terminal."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_FIELDS = 3
_NUMBERS = re.compile(
    rb"[0-9]{1,18} [0-9]{0,3}"
)  # of the command, and its exit code if it has ended
_LENGTH_LIMIT = 64 * 1024  # bytes of a report; a path has at most 4 KB


@dataclass(frozen=True, slots=True)
class Report:
    """A report that a command has ended, or, without an exit code, that it has begun.

    `directory` is the current directory of the shell.
    """

    number: int
    exit_code: int | None
    directory: str


class ReportParser:
    """Split a terminal's output into reports and the output of commands.

    A report is a NUL, the mark and three fields; the mark and each field end with a NUL.
    """

    def __init__(self, mark: str) -> None:
        self._mark = b"\0" + mark.encode() + b"\0"
        self._rest = b""

    def feed(self, chunk: bytes) -> Iterator[bytes | Report]:
        """Yield output and reports in their order."""
        rest = self._rest + chunk
        while (found := rest.find(self._mark)) >= 0:
            start = found + len(self._mark)
            fields = rest[start:].split(b"\0", _FIELDS)
            if len(fields) <= _FIELDS and len(rest) - start < _LENGTH_LIMIT:
                break
            report = _parse(fields)
            if report is None:  # a command wrote the mark, which it can read in a variable
                yield rest[:start]
                rest = rest[start:]
                continue
            if found:
                yield rest[:found]
            yield report
            rest = fields[_FIELDS]
        else:
            found = len(rest) - self._partial_mark_length(rest)
        if found:
            yield rest[:found]
        self._rest = rest[found:]

    def flush(self) -> bytes:
        """Return the bytes that were held back as the possible start of a report."""
        rest, self._rest = self._rest, b""
        return rest

    def _partial_mark_length(self, rest: bytes) -> int:
        """Return how many of the last bytes may be the beginning of a mark."""
        for length in range(min(len(self._mark) - 1, len(rest)), 0, -1):
            if rest.endswith(self._mark[:length]):
                return length
        return 0


def _parse(fields: list[bytes]) -> Report | None:
    if len(fields) <= _FIELDS or not _NUMBERS.fullmatch(b" ".join(fields[:2])):
        return None
    number, code, directory, _ = fields
    exit_code = int(code) if code else None
    return Report(int(number), exit_code, directory.decode(errors="replace"))
