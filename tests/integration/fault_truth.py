"""What is true after a cell of the fault matrix, by the state of the fake and its files."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.fakeproxy import processes
from tests.integration.fault_cells import BOX, FILE, NEW, OUTPUT, PAUSED, PROJECT, TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from mcp.types import CallToolResult

    from tests.integration.fault_cells import Cell

    Content = Mapping[str, Any]


WORK_BRANCH = f"sandbox/{BOX}"


@dataclass(frozen=True)
class Outcome:
    """What there is in the end: a user's sandboxes by name, and the files of the ready one."""

    cell: Cell
    boxes: Mapping[str, Mapping[str, Any]]
    work: Path

    def status(self, name: str) -> tuple[str, bool]:
        """Return the state of a sandbox, and whether it is ready."""
        state = self.boxes[name]["phase"] if name in self.boxes else "missing"
        return state, state == "ready"


def is_true(tool: str, result: CallToolResult, outcome: Outcome) -> bool:
    """Tell whether a success of a tool says only what is so; an error says nothing of the sort."""
    content = result.structured_content
    if result.is_error or content is None:
        return True
    return _TRUTHS[tool](content, outcome)


def _standing_is(content: Content, outcome: Outcome, name: str) -> bool:
    return (content["state"], content["ready"]) == outcome.status(name)


def _status_is_true(content: Content, outcome: Outcome) -> bool:
    created = content["created_at"] == outcome.boxes[BOX]["created_at"]
    return created and _standing_is(content, outcome, BOX)


def _list_is_true(content: Content, outcome: Outcome) -> bool:
    listed = {each["name"]: each["state"] for each in content["sandboxes"]}
    actual = {name: outcome.status(name)[0] for name in outcome.boxes}
    # Where the fault has met its status, a sandbox is in the list and its state is unknown.
    listed |= {name: actual.get(name, "") for name in listed if listed[name] == "unknown"}
    return listed == actual


def _ending_is(content: Content, output: str) -> bool:
    ending = [content.get(name) for name in ("status", "output", "exit_code")]
    return ending == ["completed", output, 0]


def _begun_is_true(content: Content, _: Outcome) -> bool:
    # Whether it still runs, or has ended just now, is a matter of chance.
    return content["status"] in {"running", "completed"}


def _files_are_true(content: Content, outcome: Outcome) -> bool:
    rows = content["entries"]
    listed = {(each["name"], each["is_directory"], each.get("size")) for each in rows}
    with os.scandir(outcome.work) as entries:
        return listed == {
            (each.name, each.is_dir(), None if each.is_dir() else each.stat().st_size)
            for each in entries
        }


def _checks_are_true(content: Content, outcome: Outcome) -> bool:
    """Tell whether the connection is called good when it is, and each check that passed is true.

    Of the faults, only a delay leaves it good.
    """
    rows = {each["check"]: each for each in content["checks"]}
    facts = {
        "key": f"it belongs to {outcome.cell.username}",
        "sandboxes": f"{len(outcome.boxes)} of ",
    }
    return content["ok"] == (outcome.cell.fault == "slow") and all(
        words in rows[name]["words"]
        for name, words in facts.items()
        if rows[name]["outcome"] in {"passed", "warned"}
    )


_TRUTHS: Mapping[str, Callable[[Content, Outcome], bool]] = {
    "create_sandbox": lambda content, outcome: _standing_is(content, outcome, NEW),
    "get_sandbox_status": _status_is_true,
    "list_sandboxes": _list_is_true,
    "delete_sandbox": lambda _, outcome: BOX not in outcome.boxes,
    "pause_sandbox": lambda content, outcome: content["state"] == outcome.status(BOX)[0],
    "resume_sandbox": lambda content, outcome: _standing_is(content, outcome, PAUSED),
    "send_prompt_to_sandbox": lambda content, _: _ending_is(content, ""),
    "get_prompt_output": lambda content, _: _ending_is(content, OUTPUT),
    "cancel_prompt": lambda content, outcome: (
        (content["status"] == "running") == is_running(outcome.work)
    ),
    "run_agent": _begun_is_true,
    "send_repository": lambda content, outcome: (
        content["commit"] == commit_of(outcome.work / PROJECT, "HEAD")
    ),
    "fetch_work": lambda content, outcome: (
        (content["has_work"], content["files_changed"]) == (True, 1)
        and commit_of(outcome.cell.repository, content["branch"]) != ""
    ),
    "read_sandbox_file": lambda content, _: content["content"] == TEXT,
    "write_sandbox_file": lambda content, _: content["bytes"] == len("written"),
    "list_sandbox_files": _files_are_true,
    "check_connection": _checks_are_true,
}


def times_done(outcome: Outcome) -> int | None:
    """Return how often the change that a tool makes was made; None for one that makes none."""
    boxes, work, repository = outcome.boxes, outcome.work, outcome.cell.repository
    match outcome.cell.tool:
        case "create_sandbox" | "delete_sandbox" as tool:
            return int(NEW in boxes if tool == "create_sandbox" else BOX not in boxes)
        case "pause_sandbox" | "resume_sandbox" as tool:
            is_pause = tool == "pause_sandbox"
            return int(boxes[BOX if is_pause else PAUSED]["is_paused"] == is_pause)
        case "send_prompt_to_sandbox" | "run_agent":
            runs = work / "runs"
            return len(runs.read_text().splitlines()) if runs.exists() else 0
        case "write_sandbox_file":
            return int((work / "new").exists() and (work / "new").read_text() == "written")
        case "send_repository" | "fetch_work" as tool:
            is_sent = (work / PROJECT / FILE).exists()
            is_done = is_sent if tool == "send_repository" else commit_of(repository, WORK_BRANCH)
            return int(bool(is_done))
        case "cancel_prompt":
            return int(not is_running(work))
        case _:
            return None


def commit_of(repository: Path | str, revision: str) -> str:
    """Return the id of a revision in a repository; empty if there is none."""
    # The processes of a sandbox may have another owner.
    git = ["git", "-c", "safe.directory=*", "-C", str(repository)]
    command = [*git, "rev-parse", "-q", "--verify", revision]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def is_running(work: Path) -> bool:
    """Tell whether the command in the session `running` runs."""
    (pid,) = processes.pids_in(work / "pid")
    return processes.is_running(pid)
