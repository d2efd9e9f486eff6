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

Whether a conformance suite is worth anything shows on proxies that do not conform. Below are
{count} of them: each is the fake proxy with one mistake, seeded without a change to the fake's own
files. `tests/contract/test_mutants.py` makes every one and tries the clauses named beside it, and
each of those must fail; on the fake as it is, all of them pass.

**To read it:** a row is one wrong proxy: its id, its mistake, and the clauses that are meant to
find it. More clauses may fail on it than are named.

**To add one:** add it to a kind in `tests/contract/mutants/`. A component that is wrong derives
from the fake's own and is registered by `@KIND.of(id, mistake, *clauses)`; what is wrong in a
request or an answer is one `KIND.add(id, mistake, asked(…) or answered(…), *clauses)`. Then run
`python -m tests.contract.mutants`, which writes this file; `--check` compares only.
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
