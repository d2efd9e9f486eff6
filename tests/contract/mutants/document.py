"""The catalogue of wrong proxies as a person reads it: `contract/MUTANTS.md`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from .catalogue import KINDS, MUTANTS

if TYPE_CHECKING:
    from .mutant import Kind, Mutant

DOCUMENT = Path(__file__).parents[3] / "contract" / "MUTANTS.md"
_INTRODUCTION = """\
# Wrong proxies

A conformance suite is as good as the mistakes that it finds. Below are {count} wrong proxies: each
is the fake proxy with one mistake, made without a change to the fake's own files.
`tests/contract/test_mutants.py` makes each proxy, judges it by the clauses named beside it, and
expects every one of them to fail. On the fake itself they all pass. `make test` tries the first
proxy of each kind, `make check` tries all of them.

**Read it:** a row is one wrong proxy: its id, its mistake, and the clauses that must find it. More
clauses may fail on it than are named.

**Add one:** add it to a kind in `tests/contract/mutants/`. A wrong component derives from the
fake's own class and is registered by `@KIND.of(id, mistake, *clauses)`. A wrong answer is one
`KIND.add(id, mistake, answered(…), *clauses)`, a misread request the same with `asked(…)`. Then
run `python -m tests.contract.mutants`, which writes this file; with `--check` it only compares.
"""


def document() -> str:
    """Return the whole document."""
    introduction = _INTRODUCTION.format(count=len(MUTANTS))
    return "\n".join([introduction, *(_section(kind) for kind in KINDS)])


def _section(kind: Kind) -> str:
    head = [f"## {kind.title} ({len(kind.mutants)})", "", "| Mutant | Mistake | Caught by |"]
    return "\n".join([*head, "|---|---|---|", *(_row(mutant) for mutant in kind.mutants), ""])


def _row(mutant: Mutant) -> str:
    clauses = ", ".join(f"`{clause}`" for clause in mutant.caught_by)
    return f"| `{mutant.id}` | {mutant.mistake.replace('|', chr(92) + '|')} | {clauses} |"
