"""What a run found, at the end of it: on a terminal, or as plain lines where there is none."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from sandbox_contract.result import Outcome, Result, Verdict

from .characters import cut, visible
from .words import (
    TOLD,
    by_missing_need,
    by_outcome,
    headline,
    plural,
    standing,
    tally,
    told_versions,
)

STYLES: Mapping[Outcome, str] = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.FINDING: "yellow",
    Outcome.UNSUPPORTED: "cyan",
    Outcome.ERROR: "bold magenta",
}
# Characters of a fact, and of a finding's; the other reports have all of it.
_LENGTH, _SHORT = 600, 120
_NARROWEST = 20


def render(result: Result, console: Console) -> None:
    """Print what was found, the worst first, and at the end what it comes to."""
    for outcome in TOLD:
        for verdict in by_outcome(result, outcome):
            _render_verdict(verdict, console)
    _render_lacks(result, console)
    _render_left(result, console)
    versions = told_versions(result.suite_version, result.target_version)
    _print(console, _hung("", versions, console))
    _print(console, Text(tally(result)))
    said = _hung("", f"{headline(result)}.", console)
    said.stylize(f"bold {STYLES[standing(result)]}")
    _print(console, said)


def _render_verdict(verdict: Verdict, console: Console) -> None:
    outcome = verdict.outcome
    _print(console, Text.assemble((outcome, STYLES[outcome]), "  ", (verdict.clause.id, "bold")))
    _print(console, _hung("  ", verdict.clause.sentence, console))
    for name, fact in _facts(verdict).items():
        if fact:
            _print(console, _hung(f"  {name:9} ", fact, console))
    _print(console, Text())


def _facts(verdict: Verdict) -> dict[str, str]:
    decisive = verdict.decisive
    if verdict.outcome is Outcome.FINDING:
        request = f"{decisive.method} {decisive.path}" if decisive else ""
        facts = {"request": request, "expected": verdict.expected, "received": verdict.received}
        return {name: cut(" ".join(fact.split()), _SHORT) for name, fact in facts.items()}
    facts = {
        "broke": verdict.detail,
        "request": decisive.request if decisive else "",
        "expected": verdict.expected,
        "received": verdict.received,
    }
    return {name: cut(fact, _LENGTH) for name, fact in facts.items()}


def _render_lacks(result: Result, console: Console) -> None:
    lacks = by_missing_need(result)
    if not lacks:
        return
    heading = "  what the run would need to judge more clauses"
    _print(console, Text.assemble((Outcome.UNSUPPORTED, STYLES[Outcome.UNSUPPORTED]), heading))
    for lack in lacks:
        needed = "\n".join(("\nand ".join(lack.needs), *lack.reasons))
        _print(console, _hung(f"  {len(lack.verdicts):5}  ", needed, console))
    _print(console, Text())


def _render_left(result: Result, console: Console) -> None:
    if not result.remains:
        return
    _print(
        console, Text(f"{plural(len(result.remains), 'thing')} left on the target", "bold yellow")
    )
    for what in result.remains:
        _print(console, _hung("  ", what, console))
    _print(console, Text())


def _hung(label: str, said: str, console: Console) -> Text:
    """Return text with its later lines set below its first, wrapped unless lines stay lines."""
    text = Text(visible(said).expandtabs(2))
    room = max(_NARROWEST, console.width - len(label))
    lines = text.wrap(console, room) if not console.soft_wrap else text.split("\n")
    for line in lines:
        line.rstrip()
    return Text.assemble((label, "dim"), Text("\n" + " " * len(label)).join(lines))


def _print(console: Console, text: Text) -> None:
    # A line stays a line where no terminal wraps it, and is wrapped already where one does.
    console.print(text, soft_wrap=True)
