"""A shell command line, as the shell API is asked for it."""

from dataclasses import dataclass, field
from typing import Literal

Status = Literal["running", "completed", "no_change_timeout", "hard_timeout", "terminated"]


@dataclass(frozen=True, slots=True)
class Command:
    """A command line to run in a session.

    `hard_timeout`, in seconds, ends it. `directory` is where the session goes first, as the
    sandbox names it; None stays where it is. Two commands are equal in whichever session.
    """

    text: str
    hard_timeout: float | None = None
    truncate: bool = True
    directory: str | None = None
    keep_links: bool = False  # what `pwd` says after going to a `directory` that is a link
    session: str = field(default="", compare=False)
