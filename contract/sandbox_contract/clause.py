"""A clause of the contract, and the decorator that defines one."""

import re
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from .harness.run import Run
from .target import Need

DOCUMENT = "docs/wire-contract.md"
_ID = re.compile(r"[a-z]+(\.[a-z0-9]+(-[a-z0-9]+)*){2}")
_SENTENCE = re.compile(r"[A-Z0-9a-z/].*\.")
_SOURCE = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

Check = Callable[[Run], Awaitable[None]]


class Level(StrEnum):
    """The level of a clause: a broken MUST is a failure, a broken SHOULD a finding.

    A SHOULD states the right answer where the deployed proxy is known to have a bug.
    """

    MUST = "MUST"
    SHOULD = "SHOULD"


@dataclass(frozen=True, slots=True)
class Clause:
    """One promise of the proxy, in one sentence, with the function that checks it.

    `id` is `area.subject.rule` and never changes, since reports are compared by it. `source` is the
    anchor of the heading in docs/wire-contract.md that makes the promise.

    Raises:
        ValueError: the id, the sentence, the source or the needs are malformed.
    """

    id: str
    sentence: str
    source: str
    check: Check
    level: Level = Level.MUST
    needs: tuple[Need, ...] = ()

    def __post_init__(self) -> None:
        if _ID.fullmatch(self.id) is None:
            raise ValueError(f"Clause id {self.id!r} is not area.subject.rule")
        if _SENTENCE.fullmatch(self.sentence) is None:
            raise ValueError(f"Clause {self.id}: {self.sentence!r} is not a sentence")
        if _SOURCE.fullmatch(self.source) is None:
            raise ValueError(f"Clause {self.id}: {self.source!r} is not an anchor of {DOCUMENT}")
        if len(set(self.needs)) < len(self.needs):
            raise ValueError(f"Clause {self.id}: a need is repeated")

    @property
    def area(self) -> str:
        """The first part of the id."""
        return self.id.partition(".")[0]

    @property
    def link(self) -> str:
        """The path of the source in the repository, with its anchor."""
        return f"{DOCUMENT}#{self.source}"


class Clauses:
    """A registry of clauses, in the order of their definition; the decorator `clause` adds one."""

    def __init__(self) -> None:
        self._by_id: dict[str, Clause] = {}

    def __iter__(self) -> Iterator[Clause]:
        return iter(self._by_id.values())

    def clause(
        self,
        clause_id: str,
        sentence: str,
        *,
        source: str,
        needs: Need | Iterable[Need] = (),
        level: Level = Level.MUST,
    ) -> Callable[[Check], Check]:
        """Define a clause whose check is the decorated function; see `Clause` for the arguments.

        Example:
            @clause("sandboxes.quota.held", "No user gets an 11th sandbox.", source="quota",
                    needs=Need.USER)
            async def quota_is_held(run: Run) -> None: ...

        Raises:
            ValueError: an argument is malformed, or another clause has the same id or makes the
                same promise.
        """
        all_needs = (needs,) if isinstance(needs, Need) else tuple(needs)

        def define(check: Check) -> Check:
            new = Clause(clause_id, sentence, source, check, level, all_needs)
            if clause_id in self._by_id:
                raise ValueError(f"Two clauses have the id {clause_id}")
            for other in self:
                if (other.area, other.sentence, other.source) == (new.area, sentence, source):
                    raise ValueError(f"{other.id} and {clause_id} make the same promise")
            self._by_id[clause_id] = new
            return check

        return define


ALL = Clauses()
clause = ALL.clause
