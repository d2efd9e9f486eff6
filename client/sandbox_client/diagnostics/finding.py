"""The result of a check, and its formats: lines of text, a dictionary, and a summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sandbox_client.presentation.errors import format_verbs
from sandbox_client.text import mask_keys, pluralize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_client.presentation.errors import FormatVerb


Outcome = Literal["passed", "warned", "failed", "not tried"]


@dataclass(frozen=True)
class Finding:
    """The result of a check; `fix` says how to fix a problem, with verbs in braces.

    API keys in the texts are masked.
    """

    outcome: Outcome
    message: str
    fix: str = ""
    check: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "message", mask_keys(self.message))
        object.__setattr__(self, "fix", mask_keys(self.fix))


def has_no_failure(findings: Sequence[Finding]) -> bool:
    """Return False if a check failed; a warning is not a failure."""
    return all(each.outcome != "failed" for each in findings)


def summarize(findings: Sequence[Finding]) -> str:
    """Return one sentence with the number of failures or warnings."""
    failed = sum(each.outcome == "failed" for each in findings)
    warned = sum(each.outcome == "warned" for each in findings)
    if failed:
        return (
            f"The connection does not work: {pluralize(failed, 'check')} of {len(findings)} failed."
        )
    if warned:
        return f"The connection works, with {pluralize(warned, 'warning')}."
    return f"The connection works: all {len(findings)} checks passed."


def format_findings(findings: Sequence[Finding], format_verb: FormatVerb) -> str:
    """Return the summary, a line for each finding, and a line below it for its fix.

    `format_verb` replaces the verbs in braces, with names of tools or with command lines.
    """
    lines = [summarize(findings)]
    for each in findings:
        lines.append(f"{each.outcome}: {each.check}: {each.message}")
        if each.fix:
            lines.append(f"  Fix: {format_verbs(each.fix, format_verb)}")
    return "\n".join(lines)


def findings_as_dict(findings: Sequence[Finding], format_verb: FormatVerb) -> dict[str, object]:
    """Return all findings as an object for JSON."""
    return {
        "ok": has_no_failure(findings),
        "checks": [_as_dict(each, format_verb) for each in findings],
    }


def _as_dict(finding: Finding, format_verb: FormatVerb) -> dict[str, object]:
    content: dict[str, object] = {
        "check": finding.check,
        "outcome": finding.outcome,
        "words": finding.message,
    }
    if finding.fix:
        content["fix"] = format_verbs(finding.fix, format_verb)
    return content
