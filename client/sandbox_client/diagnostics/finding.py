"""What an examination found, as a line for a model, as an object, and in a sum."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox_client.errors import format_verbs
from sandbox_client.text import mask_keys, pluralize

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import timedelta

    from sandbox_client.errors import Verb

Outcome = Literal["passed", "warned", "failed", "not tried"]


@dataclass(frozen=True)
class Finding:
    """What a check found; `fix` says what to do, with verbs in braces."""

    outcome: Outcome
    words: str
    fix: str = ""
    check: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "words", mask_keys(self.words))
        object.__setattr__(self, "fix", mask_keys(self.fix))


def is_well(findings: Sequence[Finding]) -> bool:
    """Tell whether nothing failed; a warning is no failure."""
    return all(each.outcome != "failed" for each in findings)


def summary(findings: Sequence[Finding]) -> str:
    """Return how it stands in one sentence."""
    failed = sum(each.outcome == "failed" for each in findings)
    warned = sum(each.outcome == "warned" for each in findings)
    if failed:
        return (
            f"The connection does not work: {pluralize(failed, 'check')} of {len(findings)} failed."
        )
    if warned:
        return f"The connection works, with {pluralize(warned, 'warning')}."
    return f"The connection works: all {len(findings)} checks passed."


def told(findings: Sequence[Finding], spell: Callable[[Verb], str]) -> str:
    """Return a line for each finding, and one below it for what to do."""
    lines = [summary(findings)]
    for each in findings:
        lines.append(f"{each.outcome}: {each.check}: {each.words}")
        if each.fix:
            lines.append(f"  Fix: {format_verbs(each.fix, spell)}")
    return "\n".join(lines)


def findings_content(
    findings: Sequence[Finding], spell: Callable[[Verb], str]
) -> dict[str, object]:
    """Return all findings as an object."""
    return {"ok": is_well(findings), "checks": [_content(each, spell) for each in findings]}


def _content(each: Finding, spell: Callable[[Verb], str]) -> dict[str, object]:
    content: dict[str, object] = {
        "check": each.check,
        "outcome": each.outcome,
        "words": each.words,
    }
    return {**content, "fix": format_verbs(each.fix, spell)} if each.fix else content


def span(length: timedelta) -> str:
    """Return a length of time in its largest fitting unit."""
    seconds = length.total_seconds()
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s"
