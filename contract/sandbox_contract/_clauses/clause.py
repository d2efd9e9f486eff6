"""A clause: one promise of the proxy, in one sentence, and where it was made."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum

_ID = re.compile(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*){2}")
_SENTENCE = re.compile(r"[A-Z0-9a-z/].*\.")


class Level(StrEnum):
    """How much a clause weighs: a MUST that is broken fails, a SHOULD is a finding."""

    MUST = "MUST"
    SHOULD = "SHOULD"


class Word(StrEnum):
    """How the wire contract sorts a fact.

    RULE is deliberate. Of a QUIRK either documented answer is right, and a run records which. BUG
    is what the deployed proxy does wrong; the clause states the sane answer.
    """

    RULE = "RULE"
    QUIRK = "QUIRK"
    BUG = "BUG"


class Need(Enum):
    """What a run must have for a clause to be judged, in words that say how to supply it."""

    USER = "a user's key: set API_KEY, or ADMIN_API_KEY to have users made"
    SECOND_USER = "a second user's key: set SECOND_API_KEY beside API_KEY, or ADMIN_API_KEY"
    ADMIN = "the admin key: set ADMIN_API_KEY"
    WAITING = "a sandbox that becomes ready, within --ready-timeout"
    RUNTIME = "a sandbox that runs commands"
    EXACT_CLOCK = "a clock that stands still until it is moved: only a fake in tests has one"
    LONG_WAIT = "five minutes for one command: pass --long"
    PROBE = "sandboxes whose runtime serves the suite's probe: only a fake in tests has them"
    FATES = "images whose sandboxes come to grief: pass --fate-image failed=IMAGE and its like"
    OUTAGE = "a way to take the database down: only a target in process has one"
    STORAGE = "a look at what the proxy stores: only a target in process has one"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a promise stands: a section of the wire contract, a row or sentence of it, its word."""

    section: str
    row: str
    word: Word

    def __str__(self) -> str:
        return f"wire contract, {self.section}: {self.row} ({self.word})"


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise. `id` is `area.subject.rule`, and stays what it is for good.

    Raises:
        ValueError: the id, the sentence, the source or the needs are malformed.
    """

    id: str
    sentence: str
    source: Source
    needs: tuple[Need, ...] = ()

    def __post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise ValueError(f"Clause id {self.id!r} is not area.subject.rule")
        if _SENTENCE.fullmatch(self.sentence) is None:
            raise ValueError(f"Clause {self.id}: {self.sentence!r} is not a sentence")
        if not self.source.row:
            raise ValueError(f"Clause {self.id}: the source names no row")
        if len(set(self.needs)) < len(self.needs):
            raise ValueError(f"Clause {self.id}: a need is repeated")

    @property
    def level(self) -> Level:
        """Return SHOULD for the sane answer in place of a known bug, and else MUST."""
        return Level.SHOULD if self.source.word is Word.BUG else Level.MUST

    @property
    def area(self) -> str:
        """Return the first part of the id."""
        return self.id.partition(".")[0]


class Section:
    """A section of the wire contract, and the clauses that it becomes."""

    def __init__(self, title: str) -> None:
        self.title = title
        self.clauses: list[Clause] = []

    def rule(self, clause_id: str, row: str, sentence: str, *needs: Need) -> None:
        """Add what is deliberate."""
        self._add(clause_id, row, sentence, Word.RULE, needs)

    def quirk(self, clause_id: str, row: str, sentence: str, *needs: Need) -> None:
        """Add what has two right answers."""
        self._add(clause_id, row, sentence, Word.QUIRK, needs)

    def bug(self, clause_id: str, row: str, sentence: str, *needs: Need) -> None:
        """Add the sane answer to what the deployed proxy does wrong."""
        self._add(clause_id, row, sentence, Word.BUG, needs)

    def _add(
        self, clause_id: str, row: str, sentence: str, word: Word, needs: tuple[Need, ...]
    ) -> None:
        self.clauses.append(Clause(clause_id, sentence, Source(self.title, row, word), needs))


def clauses_by_id(clauses: Iterable[Clause]) -> Mapping[str, Clause]:
    """Return the clauses by id.

    Raises:
        ValueError: two clauses have the same id, or make the same promise.
    """
    by_id: dict[str, Clause] = {}
    promises: dict[tuple[str, Source], str] = {}
    for clause in clauses:
        if clause.id in by_id:
            raise ValueError(f"Two clauses have the id {clause.id}")
        promise = clause.sentence, clause.source
        if promise in promises:
            raise ValueError(f"{promises[promise]} and {clause.id} make the same promise")
        by_id[clause.id] = clause
        promises[promise] = clause.id
    return by_id
