"""The progress of a run: the current clause, the number that remain, and the current wait."""

from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from sandbox_contract.clause import Clause
from sandbox_contract.report.summary import NOTEWORTHY, escape_unsafe
from sandbox_contract.report.terminal import STYLES

from .result import Verdict

if TYPE_CHECKING:
    from rich.status import Status

_EVERY = 10.0  # seconds of waiting between two lines, where lines stay


class Progress:
    """Show progress on one changing line in a terminal, and as a log of lines elsewhere.

    With `is_brief`, there is no log.
    """

    def __init__(self, console: Console, total: int, *, is_brief: bool = False) -> None:
        self._is_brief = is_brief
        self._console = console
        self._total = total
        self._number = 0
        self._clause = ""
        self._told = 0.0
        self._status: Status | None = None

    def begins(self, clause: Clause) -> None:
        """Show the clause and the number that remain."""
        self._number += 1
        self._clause = clause.id
        self._told = 0.0
        self._show(self._place)

    def waits(self, what: str, waited: float, budget: float) -> None:
        """Show the subject of a wait."""
        said = f"waiting for {what}: {waited:.0f} s of {budget:.0f} s at most"
        self._show(f"{self._place} · {said}")
        if self._status is None and waited >= self._told:
            self._told = waited + _EVERY
            self._say(f"{self._place}   {said}")

    def ends(self, verdict: Verdict) -> None:
        """Show a verdict; on a terminal only one that a person should read."""
        style = STYLES[verdict.outcome]
        if self._status is None:
            line = f"{verdict.outcome:<11} {verdict.clause.id}  {verdict.seconds:.1f} s"
            self._say(f"{self._number:>3}/{self._total} {line}")
        elif verdict.outcome in NOTEWORTHY:
            self._console.print(Text.assemble((f"{verdict.outcome:<8}", style), verdict.clause.id))

    def cleans(self) -> None:
        """Show that the cleanup has begun."""
        said = "removing what this run has created; Ctrl-C twice leaves it"
        self._show(said)
        if self._status is None:
            self._say(said)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._status is not None:
            self._status.stop()

    @property
    def _place(self) -> str:
        left = self._total - self._number
        return f"{self._number}/{self._total} {self._clause} · {left} to go"

    def _show(self, text: str) -> None:
        if not self._console.is_interactive:
            return
        if self._status is None:  # not before: a question may come first
            spinner = "line" if self._console.options.ascii_only else "dots"
            self._status = self._console.status("", spinner=spinner)
            self._status.start()
        self._status.update(escape(escape_unsafe(text)))

    def _say(self, text: str) -> None:
        if self._is_brief:
            return
        self._console.print(escape_unsafe(text), markup=False, highlight=False, soft_wrap=True)
