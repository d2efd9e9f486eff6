"""Gemini CLI in a terminal."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest

from tests.client.repository_stub import make_repository
from tests.e2e.gemini.commands import BOX
from tests.e2e.gemini.model import call_tool, repeat_tool_result, say
from tests.e2e.gemini.terminal import ESCAPE, GeminiTerminal, open_gemini_terminal
from tests.integration.programs import processes_with_home

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.e2e.gemini.gemini_cli import GeminiCLI
    from tests.e2e.gemini.model import ScriptedModel
    from tests.e2e.gemini.proxy_user import ProxyUser

pytestmark = pytest.mark.timeout(300)  # the first test may install the program

QUESTION = 'Allow execution of MCP tool "delete_sandbox" from server "remote-sandbox"?'
SEND_QUESTION = QUESTION.replace("delete_sandbox", "send_repository")
DELETE = f"DELETE /api/sandboxes/{BOX} 200"


@contextlib.contextmanager
def gemini_session(
    gemini: GeminiCLI, model: ScriptedModel, *words: str
) -> Generator[GeminiTerminal]:
    """Start Gemini CLI in a terminal, and leave it with /quit.

    The first prompt waits until the extension's server has started; a command would not.
    """
    model.add_turns(say("Good day."))
    with open_gemini_terminal(gemini, *words) as terminal:
        terminal.wait_for("Type your message")
        terminal.submit("hello")
        terminal.wait_for("Good day.")
        terminal.wait_until_still()
        yield terminal
        terminal.wait_until_still()
        terminal.submit("/quit")
        assert terminal.finish() == 0
        assert "Goodbye" in terminal.shown
    assert processes_with_home(gemini.home) == []


def test_commands_are_completed_and_the_result_of_a_tool_is_shown(
    gemini: GeminiCLI, model: ScriptedModel, user: ProxyUser
) -> None:
    user.create_sandbox(BOX)
    with gemini_session(gemini, model, "--yolo") as terminal:
        terminal.type("/remote:")
        terminal.wait_for("NAME COMMAND - run a shell command in a sandbox")
        terminal.type("list")
        terminal.wait_for("* /remote:list")
        model.add_turns(call_tool("list_sandboxes"), repeat_tool_result)
        terminal.enter()
        terminal.wait_for("✓  list_sandboxes (remote-sandbox MCP Server)")
        terminal.wait_for(f"- {BOX}: ready")


@pytest.mark.parametrize("mode", [(), ("--yolo",)], ids=["by default", "with --yolo"])
def test_a_delete_needs_the_users_confirmation(
    gemini: GeminiCLI, model: ScriptedModel, user: ProxyUser, mode: tuple[str, ...]
) -> None:
    user.create_sandbox(BOX)
    delete = call_tool("delete_sandbox", name=BOX)
    with gemini_session(gemini, model, *mode) as terminal:
        model.add_turns(delete)
        terminal.submit(f"/remote:delete {BOX}")
        terminal.wait_for(QUESTION)
        terminal.type(ESCAPE)
        terminal.wait_for("Request cancelled.")
        terminal.wait_until_still()
        assert QUESTION not in terminal.shown
        assert DELETE not in user.requests()

        model.add_turns(delete, repeat_tool_result)
        terminal.submit(f"/remote:delete {BOX}")
        terminal.wait_for(QUESTION)
        assert user.sandbox_phases() == {BOX: "ready"}
        terminal.enter()
        terminal.wait_for(f"Sandbox '{BOX}' was deleted, with")
        assert user.requests().count(DELETE) == 1
        assert user.sandbox_phases() == {}


def test_a_repository_of_the_workspace_is_sent_after_the_users_confirmation(
    gemini: GeminiCLI, model: ScriptedModel, user: ProxyUser
) -> None:
    user.create_sandbox(BOX)
    make_repository(gemini.workspace / "project", {"a.txt": "one"})
    send = call_tool("send_repository", name=BOX, directory="project")
    with gemini_session(gemini, model, "--yolo") as terminal:
        before = user.requests()
        model.add_turns(send)
        terminal.submit("send it")
        terminal.wait_for(SEND_QUESTION)
        assert user.requests() == before
        terminal.type(ESCAPE)
        terminal.wait_for("Request cancelled.")
        terminal.wait_until_still()
        assert user.requests() == before

        model.add_turns(send, repeat_tool_result)
        terminal.submit("send it")
        terminal.wait_for(SEND_QUESTION)
        terminal.enter()
        terminal.wait_for(f"{BOX}:/sandbox/project is at")

        model.add_turns(call_tool("send_repository", name=BOX, directory=".."), repeat_tool_result)
        terminal.submit("send all")
        terminal.wait_for(SEND_QUESTION)
        terminal.enter()
        terminal.wait_for(".. is not below")
