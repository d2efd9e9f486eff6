"""The known problems of the fault matrix, and the outcomes that are by design; with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.fault_checks import CONTROLS, SHOWS_KEY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.integration.fault_cells import Api, Cell

ALWAYS, FIRST = None, 1


@dataclass(frozen=True)
class Known:
    """A problem of some tools under some faults, and its reason.

    `operations` are those that meet the fault; an empty one is any request. `times` is how many
    requests meet it, and `apis` are those that commands run with.
    """

    problem: str
    tools: tuple[str, ...]
    faults: tuple[str, ...]
    reason: str
    operations: tuple[str, ...] = ("",)
    times: tuple[int | None, ...] = (ALWAYS, FIRST)
    apis: tuple[Api, ...] = ("pipes", "terminal")

    def covers(self, cell: Cell) -> bool:
        """Tell whether a cell is one of these."""
        return (
            cell.tool in self.tools
            and cell.fault in self.faults
            and cell.operation in self.operations
            and cell.times in self.times
            and cell.api in self.apis
        )


KNOWN: tuple[Known, ...] = ()

# By design: the content of a file is the user's own data, and is passed on unchanged. Masked, a
# file that is read and written again would be another one. In JSON, control characters are escaped.
BY_DESIGN = (
    Known(
        SHOWS_KEY,
        ("read_sandbox_file",),
        ("key in a success",),
        "The content of a file is passed on unchanged.",
        operations=("readFile",),
        times=(ALWAYS,),
    ),
    Known(
        CONTROLS,
        ("read_sandbox_file",),
        ("control text in a success",),
        "The content of a file is passed on unchanged; the JSON beside it escapes them.",
        operations=("readFile",),
        times=(ALWAYS,),
    ),
    Known(
        SHOWS_KEY,
        ("list_sandbox_files",),
        ("key in a success",),
        "A file's name is passed on unchanged, since the other tools take it as a path.",
        operations=("listDirectory",),
        times=(ALWAYS,),
    ),
    Known(
        CONTROLS,
        ("list_sandbox_files",),
        ("control text in a success",),
        "A file's name is passed on unchanged in the object; in the text it is escaped.",
        operations=("listDirectory",),
        times=(ALWAYS,),
    ),
)


def expected_problems(cells: Iterable[Cell]) -> dict[str, list[str]]:
    """Return the problems of each cell that is expected to have some."""
    expected = {
        cell.name: sorted({each.problem for each in (*KNOWN, *BY_DESIGN) if each.covers(cell)})
        for cell in cells
    }
    return {name: problems for name, problems in expected.items() if problems}
