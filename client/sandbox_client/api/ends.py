"""Notes of the ends of commands, without I/O: the runtime does not report when one has ended.

With a command, a process is started in the sandbox that waits for its end and makes an empty file
in ENDS, whose name has the session, how long the command has run, and when it has ended.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENDS = ".remote-sandbox/ends"  # a directory in the home directory
ENDS_KEPT = 24 * 60  # minutes
# Matches the result of `note_end`.
NOTE_END = r"\(setsid sh -c [^\n]*? 2>&1 &\); "
_END = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})\.([0-9]{1,9})\.([0-9]{1,10})")


@dataclass(frozen=True)
class CommandEnd:
    """How long a command has run, to about a second, and when it has ended."""

    ran: timedelta
    at: datetime


def note_end(session: str) -> str:
    """Return shell code that notes the end of its shell, or of what replaces it, for a session.

    Where that cannot be done, nothing is noted, and the shell goes on all the same. The process has
    no other directory and no stream of the command, and ends within a second of it.
    """
    start = r"[ -e /proc/self ] && cd \"\${HOME:?}\" || exit; b=\$(date +%s)"
    wait = r"while [ -d /proc/$$ ]; do sleep 1 || exit; done; e=\$(date +%s)"
    make = f"mkdir -p {ENDS} || exit; find {ENDS} -type f -mmin +{ENDS_KEPT} -delete"
    note = rf": >{ENDS}/{session}.\$((e - b)).\$e"
    return f'(setsid sh -c "{start}; {wait}; {make}; {note}" </dev/null >/dev/null 2>&1 &); '


def can_note_end(env: Mapping[str, str]) -> bool:
    """Return whether a process with the variables of a command finds its programs and the home."""
    return env.keys().isdisjoint({"HOME", "PATH"})


def read_ends(names: Iterable[str]) -> dict[str, CommandEnd]:
    """Return the ends of the commands of sessions, from the names of the files in ENDS."""
    found = [_END.fullmatch(each) for each in names]
    return {
        each[1]: CommandEnd(
            timedelta(seconds=int(each[2])), datetime.fromtimestamp(int(each[3]), UTC)
        )
        for each in found
        if each is not None
    }
