"""A run as one self-contained HTML page."""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from sandbox_contract.clause import Level
from sandbox_contract.http.exchange import Shown
from sandbox_contract.result import Outcome, Result, Verdict

from .summary import (
    MEANINGS,
    NOTEWORTHY,
    UNKNOWN_VERSION,
    WORST_FIRST,
    by_area,
    by_missing_needs,
    by_outcome,
    conclusion,
    describe_run_coverage,
    escape_unsafe,
    format_duration,
    headline,
    leftover_sections,
    overall_outcome,
    pluralize,
    remarks,
)

# Each outcome is shown by its word and its sign; its colour only repeats them.
_SIGNS: Mapping[Outcome, str] = {
    Outcome.PASS: "✓",
    Outcome.FAIL: "✕",
    Outcome.FINDING: "△",
    Outcome.UNSUPPORTED: "○",
    Outcome.ERROR: "!",
}
_LEVELS: Mapping[str, str] = {
    Level.MUST: "A proxy that breaks the clause fails it, and the run fails.",
    Level.SHOULD: "The deployed proxy is known to break it: that is a finding, not a failure.",
}
_OPTION = re.compile(r"--\w[\w-]*")


@dataclass(frozen=True, slots=True)
class Area:
    """The clauses of an area."""

    name: str
    verdicts: Sequence[Verdict]

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """The number of clauses with each outcome, without the outcomes that no clause has."""
        counted = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: counted[outcome] for outcome in WORST_FIRST if counted[outcome]}

    @property
    def is_noteworthy(self) -> bool:
        """Whether a clause failed, broke the suite or is a finding."""
        return any(outcome in self.counts for outcome in NOTEWORTHY)


def write(result: Result) -> str:
    """Return a run as an HTML page."""
    environment = _environment()
    script = environment.get_template("report.js").render()
    return environment.get_template("report.html.jinja").render(
        result=result,
        headline=headline(result),
        target_version=result.target_version or UNKNOWN_VERSION,
        conclusion=conclusion(result),
        coverage=describe_run_coverage(result),
        remarks=remarks(result),
        overall_outcome=overall_outcome(result),
        areas=[Area(name, verdicts) for name, verdicts in by_area(result.verdicts).items()],
        noteworthy={outcome: by_outcome(result, outcome) for outcome in NOTEWORTHY},
        missing_needs=by_missing_needs(result),
        leftovers=leftover_sections(result.left, result.listing_error, result.out_of_reach),
        meanings=MEANINGS,
        levels=_LEVELS,
        signs=_SIGNS,
        script=Markup(script),  # noqa: S704  # this package's own file, with nothing interpolated
        script_hash=_csp_hash(script),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__ or "", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_escape,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = environment.filters
    filters.update(
        duration=format_duration,
        timestamp=_format_timestamp,
        options=_mark_options,
        other_exchanges=_other_exchanges,
        pluralize=pluralize,
        indented=_indent_json,
    )
    return environment


def _escape(value: object) -> object:
    """Escape unsafe characters in text; the template's own markup stays as it is."""
    return (
        escape_unsafe(value) if isinstance(value, str) and not isinstance(value, Markup) else value
    )


def _csp_hash(script: str) -> str:
    """Return the script's hash for the Content-Security-Policy, which blocks any other script."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _format_timestamp(started: str) -> str:
    """Return an ISO 8601 timestamp in readable form, and other text unchanged."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    return f"{moment:%d %B %Y, %H:%M:%S} {moment.tzname() or ''}".strip().lstrip("0")


def _indent_json(body: str) -> str:
    """Return a JSON body indented, and any other body unchanged."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _mark_options(text: str) -> Markup:
    """Return text with its command-line options in `code` elements, which do not wrap."""
    escaped = str(escape(escape_unsafe(text)))
    return Markup(_OPTION.sub(r"<code>\g<0></code>", escaped))  # noqa: S704  # escaped above


def _other_exchanges(verdict: Verdict) -> list[Shown]:
    """Return the exchanges of a clause without the decisive one, which is shown separately."""
    others = list(verdict.exchanges)
    if verdict.decisive in others:
        # An equal exchange may have happened earlier: the last one is the decisive one.
        del others[len(others) - 1 - others[::-1].index(verdict.decisive)]
    return others
