"""The report that is printed at the end of a run, wrapped on a terminal and not in a pipe."""

from collections.abc import Mapping

from rich.console import Console
from rich.text import Text

from sandbox_contract.result import Outcome, Result, Verdict

from .summary import (
    NOTEWORTHY,
    by_missing_needs,
    by_outcome,
    describe_versions,
    escape_line,
    escape_unsafe,
    headline,
    leftover_sections,
    overall_outcome,
    tally,
    truncate,
)

STYLES: Mapping[Outcome, str] = {
    Outcome.PASS: "green",
    Outcome.FAIL: "bold red",
    Outcome.FINDING: "yellow",
    Outcome.UNSUPPORTED: "cyan",
    Outcome.ERROR: "bold magenta",
}
# Facts are cut to this many characters; the other reports have them in full.
_FACT_LENGTH = 600
_FINDING_FACT_LENGTH = 120
_MIN_WIDTH = 20


def render(result: Result, console: Console) -> None:
    """Print the verdicts that need attention, the worst first, then the totals and the headline."""
    for outcome in NOTEWORTHY:
        for verdict in by_outcome(result, outcome):
            _render_verdict(verdict, console)
    _render_missing_needs(result, console)
    if result.stopped:
        stopped = f"The target stopped answering: {result.stopped}"
        _print(console, _hanging_indent("", stopped, console))
    _render_leftovers(result, console)
    versions = describe_versions(result.suite_version, result.target_version)
    _print(console, _hanging_indent("", versions, console))
    _print(console, Text(tally(result)))
    conclusion = _hanging_indent("", f"{headline(result)}.", console)
    conclusion.stylize(f"bold {STYLES[overall_outcome(result)]}")
    _print(console, conclusion)


def _render_verdict(verdict: Verdict, console: Console) -> None:
    outcome = verdict.outcome
    _print(console, Text.assemble((outcome, STYLES[outcome]), "  ", (verdict.clause.id, "bold")))
    _print(console, _hanging_indent("  ", verdict.clause.sentence, console))
    for name, fact in _facts(verdict).items():
        if fact:
            _print(console, _hanging_indent(f"  {name:9} ", fact, console))
    _print(console, Text())


def _facts(verdict: Verdict) -> dict[str, str]:
    decisive = verdict.decisive
    if verdict.outcome is Outcome.FINDING:
        request = f"{decisive.method} {decisive.path}" if decisive else ""
        facts = {"request": request, "expected": verdict.expected, "received": verdict.received}
        return {
            name: truncate(" ".join(fact.split()), _FINDING_FACT_LENGTH)
            for name, fact in facts.items()
        }
    facts = {
        "broke": verdict.detail,
        "request": decisive.request if decisive else "",
        "expected": verdict.expected,
        "received": verdict.received,
    }
    return {name: truncate(fact, _FACT_LENGTH) for name, fact in facts.items()}


def _render_missing_needs(result: Result, console: Console) -> None:
    missing_needs = by_missing_needs(result)
    if not missing_needs:
        return
    heading = "  what the run would need to judge more clauses"
    _print(console, Text.assemble((Outcome.UNSUPPORTED, STYLES[Outcome.UNSUPPORTED]), heading))
    for missing in missing_needs:
        needed = "\n".join(("\nand ".join(missing.needs), *missing.reasons))
        _print(console, _hanging_indent(f"  {len(missing.verdicts):5}  ", needed, console))
    _print(console, Text())


def _render_leftovers(result: Result, console: Console) -> None:
    for heading, items in leftover_sections(result.left, result.listing_error, result.out_of_reach):
        title = _hanging_indent("", heading, console)
        title.stylize("bold yellow")
        _print(console, title)
        for item in items:
            _print(console, _hanging_indent("  ", escape_line(item), console))
        _print(console, Text())


def _hanging_indent(label: str, content: str, console: Console) -> Text:
    """Return text with a hanging indent below `label`, wrapped unless the console soft-wraps."""
    text = Text(escape_unsafe(content).expandtabs(2))
    width = max(_MIN_WIDTH, console.width - len(label))
    lines = text.wrap(console, width) if not console.soft_wrap else text.split("\n")
    for line in lines:
        line.rstrip()
    return Text.assemble((label, "dim"), Text("\n" + " " * len(label)).join(lines))


def _print(console: Console, text: Text) -> None:
    # `_hanging_indent` has wrapped the text already; in a pipe it is not to be wrapped.
    console.print(text, soft_wrap=True)
