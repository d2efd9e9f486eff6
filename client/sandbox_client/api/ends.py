"""Notes of the ends of commands, without I/O, as the runtime does not report the end of one.

Each command is started together with a small process in the sandbox. When the command has ended,
this process makes an empty file in ENDS, named after the session, the duration and the end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from .runtime import SESSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

ENDS = ".remote-sandbox/ends"  # a directory in the home directory
ENDS_KEPT = 24 * 60  # minutes
# Matches the result of `note_end`.
NOTE_END = r"\(setsid sh -c [^\n]*? 2>&1 &\); "
_END = re.compile(rf"({SESSION.pattern})\.([0-9]{{1,9}})\.([0-9]{{1,10}})")


@dataclass(frozen=True)
class CommandEnd:
    """The duration of a command, to about a second, and the time of its end."""

    ran: timedelta
    at: datetime


def note_end(session: str) -> str:
    """Return shell code that starts a process to note the end of its shell, even after `exec`.

    If the process cannot run, nothing is noted, and the shell goes on. It uses neither the streams
    nor the directory of the command, and ends about a second after it.
    """
    start = r"[ -e /proc/self ] && cd \"\${HOME:?}\" || exit; b=\$(date +%s)"
    wait = r"while [ -d /proc/$$ ]; do sleep 1 || exit; done; e=\$(date +%s)"
    make = f"mkdir -p {ENDS} || exit; find {ENDS} -type f -mmin +{ENDS_KEPT} -delete"
    note = rf": >{ENDS}/{session}.\$((e - b)).\$e"
    return f'(setsid sh -c "{start}; {wait}; {make}; {note}" </dev/null >/dev/null 2>&1 &); '


def can_note_end(env: Mapping[str, str]) -> bool:
    """Return whether the end of a command with these variables can be noted."""
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
