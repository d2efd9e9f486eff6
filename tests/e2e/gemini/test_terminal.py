"""Gemini CLI with a person at the keyboard."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gemini.commands import BOX
from tests.e2e.gemini.model import call, pass_on, say
from tests.e2e.gemini.terminal import ESCAPE, Terminal, a_terminal
from tests.integration.programs import processes_with_home

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.e2e.gemini.model import ScriptedModel
    from tests.e2e.gemini.owner import Owner
    from tests.e2e.gemini.program import Gemini

pytestmark = pytest.mark.timeout(300)  # the first test may install the program

QUESTION = 'Allow execution of MCP tool "delete_sandbox" from server "remote-sandbox"?'
DELETE = f"DELETE /api/sandboxes/{BOX} 200"


@contextlib.contextmanager
def a_session(gemini: Gemini, model: ScriptedModel, *words: str) -> Generator[Terminal]:
    """Start Gemini CLI in a terminal, and leave it again.

    Until the extension's server is there, it keeps a person's words waiting, but no command.
    """
    model.script(say("Good day."))
    with a_terminal(gemini, *words) as terminal:
        terminal.wait_for("Type your message")
        terminal.submit("hello")
        terminal.wait_for("Good day.")
        terminal.wait_until_still()
        yield terminal
        terminal.wait_until_still()
        terminal.submit("/quit")
        assert terminal.wait_for_the_end() == 0
        assert "Goodbye" in terminal.shown
    assert processes_with_home(gemini.home) == []


def test_a_person_sees_which_commands_there_are_and_what_a_tool_answers(
    gemini: Gemini, model: ScriptedModel, owner: Owner
) -> None:
    owner.make(BOX)
    with a_session(gemini, model, "--yolo") as terminal:
        terminal.press("/remote:")
        terminal.wait_for("NAME COMMAND - run a shell command in a sandbox")
        terminal.press("list")
        terminal.wait_for("* /remote:list")
        model.script(call("list_sandboxes"), pass_on)
        terminal.enter()
        terminal.wait_for("✓  list_sandboxes (remote-sandbox MCP Server)")
        terminal.wait_for(f"- {BOX}: ready")


@pytest.mark.parametrize("mode", [(), ("--yolo",)], ids=["by default", "with --yolo"])
def test_a_person_is_asked_before_a_sandbox_is_deleted(
    gemini: Gemini, model: ScriptedModel, owner: Owner, mode: tuple[str, ...]
) -> None:
    owner.make(BOX)
    delete = call("delete_sandbox", name=BOX)
    with a_session(gemini, model, *mode) as terminal:
        model.script(delete)
        terminal.submit(f"/remote:delete {BOX}")
        terminal.wait_for(QUESTION)
        terminal.press(ESCAPE)
        terminal.wait_for("Request cancelled.")
        terminal.wait_until_still()
        assert QUESTION not in terminal.shown
        assert DELETE not in owner.asked()

        model.script(delete, pass_on)
        terminal.submit(f"/remote:delete {BOX}")
        terminal.wait_for(QUESTION)
        assert owner.sandboxes() == {BOX: "ready"}
        terminal.enter()
        terminal.wait_for(f"Sandbox '{BOX}' and its files were deleted.")
        assert owner.asked().count(DELETE) == 1
        assert owner.sandboxes() == {}
