"""The known problems of the fault matrix, and the outcomes that are by design; with reasons."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.integration.fault_checks import CLAIMS, CONTROLS, HIDES, LATE, SHOWS_KEY

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


UNREADABLE = ("not-json", "html", "204", "empty object")
FAILURES = ("500", "502 page", "503", "504")
ANSWERED_AT_ONCE = ("create_sandbox", "delete_sandbox", "pause_sandbox")
CHANGING = (*ANSWERED_AT_ONCE, "resume_sandbox")

KNOWN = (
    Known(
        LATE,
        ("write_sandbox_file",),
        ("hang",),
        "Four attempts at the same part take 20 s each, and nothing limits them together.",
        operations=("writeFile",),
        times=(ALWAYS,),
    ),
    Known(
        HIDES,
        ANSWERED_AT_ONCE,
        UNREADABLE[:-1],
        "A lost connection, a time-out and a 5xx say that the change may have been made. A 2xx that"
        " cannot be read does not.",
        operations=("", "createSandbox", "deleteSandbox", "pauseSandbox"),
    ),
    Known(
        HIDES,
        ("delete_sandbox", "pause_sandbox"),
        ("empty object",),
        "An answer without `success` is one that cannot be read, and says as little.",
        operations=("", "deleteSandbox", "pauseSandbox"),
    ),
    Known(
        HIDES,
        ("create_sandbox",),
        ("empty object",),
        "A 200 without any field counts as created; then there is no sandbox of that name, and the"
        " message speaks of that alone.",
        operations=("createSandbox",),
    ),
    Known(
        HIDES,
        ("create_sandbox",),
        ("empty object",),
        "The same, since the first request is the creation.",
        times=(FIRST,),
    ),
    Known(
        CLAIMS,
        ("create_sandbox",),
        ("empty object",),
        "A 200 without any field counts as created, and a status that cannot be read as not ready.",
        times=(ALWAYS,),
    ),
    Known(
        HIDES,
        ("resume_sandbox",),
        UNREADABLE,
        "As for the other changes; here the first request looks whether the sandbox is ready.",
        operations=("resumeSandbox",),
    ),
    Known(
        HIDES,
        ("resume_sandbox",),
        UNREADABLE,
        "The same where every request fails, and its looks with them.",
        times=(ALWAYS,),
    ),
    Known(
        HIDES,
        CHANGING,
        ("wrong-type",),
        "The change is made, and neither its answer nor a status after it can be read.",
        times=(ALWAYS,),
    ),
    Known(
        HIDES,
        ("write_sandbox_file",),
        (*("reset-before-headers", "hang", "large", "garbage"), *UNREADABLE, *FAILURES),
        "The part was sent, and the answer to the command that names it was lost: the error speaks"
        " of a command and a session that are the client's own, not of the file.",
        operations=("executePiped",),
    ),
)

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
