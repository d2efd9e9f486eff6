"""A run as one page that a person reads; it needs nothing beside itself."""

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

from .characters import visible
from .words import (
    MEANINGS,
    NOT_TOLD,
    TOLD,
    WORST_FIRST,
    by_area,
    by_missing_need,
    by_outcome,
    conclusion,
    coverage_of,
    duration,
    headline,
    plural,
    remarks,
    standing,
)

# An outcome is told by its word and by its sign; its colour only repeats them.
_SIGNS: Mapping[Outcome, str] = {
    Outcome.PASS: "✓",
    Outcome.FAIL: "✕",
    Outcome.FINDING: "△",
    Outcome.UNSUPPORTED: "○",
    Outcome.ERROR: "!",
}
_LEVELS: Mapping[str, str] = {
    Level.MUST: "If it is broken, the clause fails and so does the run.",
    Level.SHOULD: "A known bug of the deployed proxy: not met, it is a finding and no failure.",
}
_OPTION = re.compile(r"--\w[\w-]*")


@dataclass(frozen=True, slots=True)
class Area:
    """The clauses of an area."""

    name: str
    verdicts: Sequence[Verdict]

    @property
    def counts(self) -> Mapping[Outcome, int]:
        """Return how many clauses came to what, without what none came to."""
        counted = Counter(verdict.outcome for verdict in self.verdicts)
        return {outcome: counted[outcome] for outcome in WORST_FIRST if counted[outcome]}

    @property
    def is_told(self) -> bool:
        """Tell whether there is more to say than that its clauses hold, or are not judged."""
        return any(outcome in self.counts for outcome in TOLD)


def write(result: Result) -> str:
    """Return a run as a page."""
    environment = _environment()
    script = environment.get_template("report.js").render()
    return environment.get_template("report.html.jinja").render(
        result=result,
        headline=headline(result),
        target_version=result.target_version or NOT_TOLD,
        conclusion=conclusion(result),
        coverage=coverage_of(result),
        remarks=remarks(result),
        tone=standing(result),
        areas=[Area(*each) for each in by_area(result.verdicts).items()],
        told={outcome: by_outcome(result, outcome) for outcome in TOLD},
        lacks=by_missing_need(result),
        meanings=MEANINGS,
        levels=_LEVELS,
        signs=_SIGNS,
        script=Markup(script),  # noqa: S704  # it is this package's own, and nothing is put in
        script_hash=_hash(script),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__ or "", ""),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalized,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Any] = environment.filters
    filters.update(
        duration=duration,
        moment=_moment,
        options=_options,
        others=_others,
        plural=plural,
        pretty=_pretty,
    )
    return environment


def _finalized(value: object) -> object:
    """Return what a page can hold; markup of the template's own is that already."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _hash(script: str) -> str:
    """Return by what the page's own policy knows its script: a body's would not run."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _moment(started: str) -> str:
    """Return a timestamp as people write it, or as it is."""
    try:
        moment = datetime.fromisoformat(started)
    except ValueError:
        return started
    return f"{moment:%d %B %Y, %H:%M:%S} {moment.tzname() or ''}".strip().lstrip("0")


def _pretty(body: str) -> str:
    """Return a body of JSON on lines of its own, and any other as it is."""
    try:
        return json.dumps(json.loads(body), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return body


def _options(text: str) -> Markup:
    """Return text with command-line options as code, which no line breaks in two."""
    escaped = str(escape(visible(text)))
    return Markup(_OPTION.sub(r"<code>\g<0></code>", escaped))  # noqa: S704  # it is escaped


def _others(verdict: Verdict) -> list[Shown]:
    """Return a clause's exchanges but for the decisive one, which is shown by itself."""
    others = list(verdict.exchanges)
    if verdict.decisive in others:
        # The same may have been said before: the last time is what decided.
        del others[len(others) - 1 - others[::-1].index(verdict.decisive)]
    return others
