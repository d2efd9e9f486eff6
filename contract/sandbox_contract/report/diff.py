"""The comparison of two runs by their JSON reports."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.text import Text

from sandbox_contract.result import Outcome

from .json_report import SavedRun, SavedVerdict
from .summary import escape_unsafe, pluralize
from .terminal import STYLES

_UNJUDGED = {Outcome.UNSUPPORTED, Outcome.ERROR}
_WIDTH = max(map(len, Outcome)) + 2


@dataclass(frozen=True, slots=True)
class Pair:
    """The verdicts of two runs on the same clause."""

    a: SavedVerdict
    b: SavedVerdict

    @property
    def differs(self) -> bool:
        """Whether the outcomes differ."""
        return self.a.outcome is not self.b.outcome

    @property
    def is_judged(self) -> bool:
        """Whether both runs judged the clause."""
        return not _UNJUDGED & {self.a.outcome, self.b.outcome}


@dataclass(frozen=True, slots=True)
class Difference:
    """The differences between two runs in the clauses that both tried.

    `contradictions` are clauses that both runs judged, with different outcomes. `unjudged` have
    different outcomes too, but a run did not judge them, which is no contradiction. `notes` have
    the same outcome and different notes: the targets gave different permitted answers.
    `only_a` and `only_b` are the clauses that one run alone tried, and are not differences.
    """

    a: SavedRun
    b: SavedRun
    compared: int
    contradictions: Sequence[Pair]
    unjudged: Sequence[Pair]
    notes: Sequence[Pair]
    only_a: Sequence[SavedVerdict]
    only_b: Sequence[SavedVerdict]

    @property
    def is_empty(self) -> bool:
        """Whether the runs agree on the clauses that both tried."""
        return not any((self.contradictions, self.unjudged, self.notes))


def compare(a: SavedRun, b: SavedRun) -> Difference:
    """Compare two runs."""
    pairs = [
        Pair(verdict, b.verdicts[id_]) for id_, verdict in a.verdicts.items() if id_ in b.verdicts
    ]
    return Difference(
        a=a,
        b=b,
        compared=len(pairs),
        contradictions=[pair for pair in pairs if pair.differs and pair.is_judged],
        unjudged=[pair for pair in pairs if pair.differs and not pair.is_judged],
        notes=[
            pair
            for pair in pairs
            if not pair.differs and pair.is_judged and pair.a.notes != pair.b.notes
        ],
        only_a=_tried_only_in(a, b),
        only_b=_tried_only_in(b, a),
    )


def render(difference: Difference, names: tuple[str, str], console: Console) -> None:
    """Print the differences between two runs, or that there are none."""
    if difference.is_empty and not (difference.only_a or difference.only_b):
        _print(console, Text(escape_unsafe(f"No difference between {names[0]} and {names[1]}.")))
        return
    for letter, name, run in zip("AB", names, (difference.a, difference.b), strict=True):
        _print(
            console, Text.assemble((letter, "bold"), f"  {escape_unsafe(name)}{_selection(run)}")
        )
    if difference.is_empty:
        number = pluralize(difference.compared, "clause")
        _print(console, Text(f"\nNo difference in the {number} that both runs tried", "bold"))
    _render_pairs(console, "judged differently", difference.contradictions)
    _render_notes(console, difference.notes)
    _render_pairs(
        console, "judged in at most one run, which is no contradiction", difference.unjudged
    )
    _render_only(console, "A", difference.only_a, difference.b)
    _render_only(console, "B", difference.only_b, difference.a)


def _tried_only_in(run: SavedRun, other: SavedRun) -> list[SavedVerdict]:
    return [verdict for id_, verdict in run.verdicts.items() if id_ not in other.verdicts]


def _render_pairs(console: Console, description: str, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    _render_heading(console, len(pairs), description)
    _print(console, Text(f"  {'A':{_WIDTH}}{'B':{_WIDTH}}", "bold"))
    for pair in pairs:
        outcomes = (_styled(pair.a.outcome), _styled(pair.b.outcome))
        _print(console, Text.assemble("  ", *outcomes, escape_unsafe(pair.a.id)))
        _print(console, Text(f"  {'':{2 * _WIDTH}}{escape_unsafe(pair.a.sentence)}", "dim"))


def _render_notes(console: Console, pairs: Sequence[Pair]) -> None:
    if not pairs:
        return
    _render_heading(console, len(pairs), "answered differently, each time as permitted")
    for pair in pairs:
        _print(console, Text(f"  {escape_unsafe(pair.a.id)}"))
        for letter, notes in (("A", pair.a.notes), ("B", pair.b.notes)):
            _print(console, Text(f"    {letter}  {escape_unsafe('; '.join(notes) or 'no note')}"))


def _selection(run: SavedRun) -> str:
    if run.total is None:
        return ""
    total = pluralize(run.total, "clause")
    return f"  ({run.selected} of {total} selected, {len(run.verdicts)} tried)"


def _render_only(
    console: Console, letter: str, only: Sequence[SavedVerdict], other: SavedRun
) -> None:
    """Print the number of clauses that one run alone tried.

    Name them if the other run tried all of its contract, which lacks them then.
    """
    if not only:
        return
    _render_heading(console, len(only), f"tried in {letter} only, not compared")
    for verdict in only if other.has_tried_all else ():
        _print(console, Text.assemble("  ", _styled(verdict.outcome), escape_unsafe(verdict.id)))


def _render_heading(console: Console, number: int, description: str) -> None:
    _print(console, Text(f"\n{pluralize(number, 'clause')} {description}", "bold"))


def _styled(outcome: Outcome) -> Text:
    return Text(outcome.ljust(_WIDTH), STYLES[outcome])


def _print(console: Console, text: Text) -> None:
    console.print(text, soft_wrap=True)
