"""The checks of each cell of the fault matrix; each yields the problems of the cell."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.integration.fault_cells import CHANGES, FORGED, REFUSALS
from tests.integration.fault_truth import is_true, times_done

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp.types import CallToolResult

    from tests.integration.fault_cells import Cell
    from tests.integration.fault_truth import Outcome

UNANSWERED = "is not answered"
LATE = "is late"
NO_FAULT = "has met no fault"
NEXT_CALL = "leaves the next call without success"
SHOWS_KEY = "shows the key"
LOGS_KEY = "logs the key"
CONTROLS = "shows control characters"
FORGES = "has a line that is not the client's"
NO_HELP = "advises what cannot help"
TWICE = "does it twice"
CLAIMS = "claims what is not so"
HIDES = "hides what may have been done"
BROKEN = "has an internal error"

CONTROL = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|[\U000e0000-\U000e007f]"
)
# A command's output comes after its length, and the content of a file is passed on unchanged.
OUTPUT = re.compile(r"^\[Below: .*", re.MULTILINE | re.DOTALL)
# What each tool advises against an error of its own request, and would fail as it did.
USELESS: dict[str, str] = {
    "list_sandboxes": r"\blist_sandboxes\b",
    "get_sandbox_status": r"\bget_sandbox_status\b",
    "list_sandbox_files": r"\blist_sandbox_files\b",
    "check_connection": r"_sandbox|check_connection|remote-sandbox doctor",
}

# Seconds after which each tool has answered, by the limits that the client sets itself: 20 for a
# repeatable request, repetitions included, and 30 for a change.
DEADLINES: dict[str, float] = {
    "create_sandbox": 60,  # as its description says
    "get_sandbox_status": 20,
    "list_sandboxes": 40,  # the list, then all statuses at once
    "delete_sandbox": 50,  # the change, then 10 to look whether it was made, and 10 for a last look
    "pause_sandbox": 65,  # the same, then 15 until the pause shows
    "resume_sandbox": 60,  # as its description says
    "send_prompt_to_sandbox": 50,  # wait_seconds, and 5 for a last look
    "get_prompt_output": 50,  # the same
    "cancel_prompt": 50,  # three signals, 9 to send each; 15 until they show; looks between them
    "run_agent": 45,  # a session, 10 for the start, 10 to look whether it began, and a last look
    # They report each step. A step lasts for an outage of 30, then for an attempt that has begun: a
    # lost command is one of 20. It may need 30 requests, one after the other, each of 3 if slow.
    "send_repository": 120,
    "fetch_work": 120,
    "read_sandbox_file": 25,  # and 5 for the sandbox's state, which explains a failure
    "write_sandbox_file": 60,  # it sets itself none; the default limit of MCP's TypeScript SDK
    "list_sandbox_files": 25,  # as read_sandbox_file
    "check_connection": 36,  # six steps of 6
}
BUSY = 5.0  # seconds that the other cells may add to what the event loop itself is late

_LOST_CHANGE = r"The proxy may have done it all the same: look with"
_LOST_COMMAND = (
    r"The command may have run, or may still be running, in the sandbox: look with"
    r"|session '(?:command|prompt)-[0-9a-f]+' (?s:.+) It may still be run: look with get_prompt_out"
)
# The sentences by which each tool admits that its change may have been made.
ADMISSIONS: dict[str, str] = {
    "create_sandbox": _LOST_CHANGE,
    "delete_sandbox": _LOST_CHANGE,
    "pause_sandbox": _LOST_CHANGE,
    "resume_sandbox": _LOST_CHANGE,
    "send_prompt_to_sandbox": _LOST_COMMAND,
    "run_agent": _LOST_COMMAND,
    "cancel_prompt": _LOST_CHANGE,
    "send_repository": r"The sandbox may have it all the same: send it again with send_repository",
    "write_sandbox_file": r"/sandbox/new in sandbox 'box' may have been written",
}
DENIAL = re.compile(r"[Nn]othing was (?:done|sent|fetched)")
PART_LEFT = "Temporary files may remain: /sandbox/.*.part-*"


def check(outcome: Outcome, logged: str) -> Iterator[str]:
    """Yield the problems of a cell, some of them twice.

    `logged` is all that was logged or written to standard error during the matrix.
    """
    cell = outcome.cell
    if cell.result is None:
        yield UNANSWERED
        return
    yield from check_the_call(cell, logged)
    if cell.next_result is None or not is_success(cell.next_result, outcome):
        yield NEXT_CALL
    if not cell.is_invented:
        yield from check_the_change(cell, cell.result, outcome)
        if not is_true(cell.tool, cell.result, outcome):
            yield CLAIMS


def check_the_call(cell: Cell, logged: str) -> Iterator[str]:
    """Yield the problems of any answer."""
    said, secret = cell.said(), cell.key.removeprefix("sk_live_")
    deadline = DEADLINES[cell.tool]
    if cell.seconds > deadline + BUSY or cell.real_seconds > 2 * deadline + BUSY:
        yield LATE
    if not cell.sent or (cell.operation and not cell.has_sent(cell.operation)):
        yield NO_FAULT
    if secret.lower() in said.lower():
        yield SHOWS_KEY
    if secret in logged:
        yield LOGS_KEY
    if any(CONTROL.search(text) for text in cell.texts()):
        yield CONTROLS
    is_content = cell.tool == "read_sandbox_file" and cell.is_invented
    if (
        not is_content
        and FORGED in "\n".join(OUTPUT.sub("", text) for text in cell.blocks()).splitlines()
    ):
        yield FORGES
    if any(re.search(USELESS.get(cell.tool, r"(?!)"), advice) for advice in advice_of(cell)):
        yield NO_HELP
    if "internal error" in said.lower().replace("internal server error", ""):
        yield BROKEN


def advice_of(cell: Cell) -> Iterator[str]:
    """Yield each advice of an answer."""
    if cell.result is not None and cell.result.is_error:
        yield from re.findall(r"^Next: (.*)", "\n".join(cell.blocks()), re.MULTILINE)
    if cell.tool == "check_connection" and cell.result is not None:
        content: dict[str, Any] = cell.result.structured_content or {}
        yield from (each["fix"] for each in content.get("checks", []) if "fix" in each)


def is_success(listed: CallToolResult, outcome: Outcome) -> bool:
    """Tell whether list_sandboxes has succeeded and told the truth, with each state known."""
    content = listed.structured_content
    if listed.is_error or content is None:
        return False
    is_known = all(each["state"] != "unknown" for each in content["sandboxes"])
    return is_known and is_true("list_sandboxes", listed, outcome)


def check_the_change(cell: Cell, result: CallToolResult, outcome: Outcome) -> Iterator[str]:
    """Yield the problems of the number of changes, and of the answer about them."""
    done = times_done(outcome)
    if done is None:
        return
    if done > 1:
        yield TWICE
    if not result.is_error and not done:
        yield CLAIMS
    if result.is_error and (done or may_be_done(cell)) and not admits(cell):
        yield HIDES
    if done and DENIAL.search(cell.said()):
        yield CLAIMS
    if is_part_left(outcome.work) and PART_LEFT not in cell.said():
        yield HIDES


def admits(cell: Cell) -> bool:
    """Tell whether the tool says that its change may have been made."""
    admission = ADMISSIONS.get(cell.tool)  # an error of any other tool means that nothing changed
    return admission is not None and re.search(admission, cell.said()) is not None


def is_part_left(work: Path) -> bool:
    """Tell whether a part of the file that was to be written is still there."""
    return any(work.glob(".new.part-*"))


def may_be_done(cell: Cell) -> bool:
    """Tell whether a change was asked for, and nothing says that the proxy did not make it."""
    if cell.fault in REFUSALS or cell.tool not in CHANGES:
        return False
    *_, operation = CHANGES[cell.tool]
    if cell.tool in {"write_sandbox_file", "send_repository"} and cell.operation != operation:
        return False  # no part arrived: the commands that ran have looked, measured and removed it
    return cell.has_sent(operation)
