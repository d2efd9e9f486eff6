"""Two runs side by side: where one target answers otherwise than another."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from sandbox_contract.result import Outcome

from .characters import visible
from .json_report import Judged, Summary
from .terminal import STYLES
from .words import plural

_UNJUDGED = {Outcome.UNSUPPORTED, Outcome.ERROR}
_WIDTH = max(map(len, Outcome)) + 2


@dataclass(frozen=True, slots=True)
class Pair:
    """What two runs found of the same clause."""

    a: Judged
    b: Judged

    @property
    def differs(self) -> bool:
        """Tell whether the outcomes differ."""
        return self.a.outcome is not self.b.outcome

    @property
    def is_judged(self) -> bool:
        """Tell whether both runs judged the clause."""
        return not _UNJUDGED & {self.a.outcome, self.b.outcome}


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two runs differ, in the clauses that both tried.

    `contradictions` were judged by both, and otherwise. `unjudged` were not judged by one of them
    at least, which contradicts nothing. `notes` came to the same, by another right answer.
    `only_a` and `only_b` were tried by one run, and are no difference.
    """

    a: Summary
    b: Summary
    compared: int
    contradictions: Sequence[Pair]
    unjudged: Sequence[Pair]
    notes: Sequence[Pair]
    only_a: Sequence[Judged]
    only_b: Sequence[Judged]

    @property
    def is_none(self) -> bool:
        """Tell whether the runs found the same of the clauses that both tried."""
        return not any((self.contradictions, self.unjudged, self.notes))


def compare(a: Summary, b: Summary) -> Difference:
    """Return where two runs differ."""
    pairs = [Pair(each, b.judged[each.id]) for each in a.judged.values() if each.id in b.judged]
    return Difference(
        a=a,
        b=b,
        compared=len(pairs),
        contradictions=[each for each in pairs if each.differs and each.is_judged],
        unjudged=[each for each in pairs if each.differs and not each.is_judged],
        notes=[
            each
            for each in pairs
            if not each.differs and each.is_judged and each.a.notes != each.b.notes
        ],
        only_a=_missing(a, b),
        only_b=_missing(b, a),
    )


def render(difference: Difference, names: tuple[str, str], console: Console) -> None:
    """Print where two runs differ, or that they do not; `names` say which run is which."""
    if difference.is_none and not (difference.only_a or difference.only_b):
        _print(console, Text(visible(f"No difference between {names[0]} and {names[1]}.")))
        return
    for letter, name, run in zip("AB", names, (difference.a, difference.b), strict=True):
        _print(console, Text.assemble((letter, "bold"), f"  {visible(name)}{_selected(run)}"))
    if difference.is_none:
        number = plural(difference.compared, "clause")
        _print(console, Text(f"\nNo difference in the {number} that both runs tried", "bold"))
    _render_pairs(console, "judged differently", difference.contradictions)
    _render_notes(console, difference.notes)
    _render_pairs(
        console, "judged in one run at most, which is no contradiction", difference.unjudged
    )
    _render_only(console, "A", difference.only_a, difference.b)
    _render_only(console, "B", difference.only_b, difference.a)


def _missing(here: Summary, there: Summary) -> list[Judged]:
    return [each for each in here.judged.values() if each.id not in there.judged]


def _render_pairs(console: Console, what: str, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    _heading(console, len(pairs), what)
    _print(console, Text(f"  {'A':{_WIDTH}}{'B':{_WIDTH}}", "bold"))
    for pair in pairs:
        words = (_word(pair.a.outcome), _word(pair.b.outcome))
        _print(console, Text.assemble("  ", *words, visible(pair.a.id)))
        _print(console, Text(f"  {'':{2 * _WIDTH}}{visible(pair.a.sentence)}", "dim"))


def _render_notes(console: Console, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    _heading(console, len(pairs), "answered otherwise, and rightly both times")
    for pair in pairs:
        _print(console, Text(f"  {visible(pair.a.id)}"))
        for letter, notes in (("A", pair.a.notes), ("B", pair.b.notes)):
            _print(console, Text(f"    {letter}  {visible('; '.join(notes) or 'no note')}"))


def _selected(run: Summary) -> str:
    if run.total is None:
        return ""
    return f"  ({run.selected} of {plural(run.total, 'clause')} selected, {len(run.judged)} tried)"


def _render_only(console: Console, letter: str, only: Sequence[Judged], other: Summary) -> None:
    """Print which clauses one run tried alone: by name where the other's contract lacks them."""
    if not only:
        return
    _heading(console, len(only), f"tried in {letter} only, not compared")
    for judged in only if other.has_tried_all else ():
        _print(console, Text.assemble("  ", _word(judged.outcome), visible(judged.id)))


def _heading(console: Console, number: int, what: str) -> None:
    _print(console, Text(f"\n{plural(number, 'clause')} {what}", "bold"))


def _word(outcome: Outcome) -> Text:
    return Text(outcome.ljust(_WIDTH), STYLES[outcome])


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
