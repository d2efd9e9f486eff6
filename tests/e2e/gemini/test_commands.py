"""Each `/remote:` command, run by Gemini CLI without a terminal."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.client.repository_stub import make_repository
from tests.e2e.gemini.commands import BOX, CASES, SESSION, CommandCase
from tests.e2e.gemini.model import PREFIX, call_tool, repeat_tool_result
from tools.manifest import ROOT

if TYPE_CHECKING:
    from tests.e2e.gemini.gemini_cli import GeminiCLI
    from tests.e2e.gemini.model import ScriptedModel
    from tests.e2e.gemini.proxy_user import ProxyUser

pytestmark = pytest.mark.timeout(300)  # the first test may install the program

COMMANDS = ROOT / "commands" / "remote"


def expanded_prompt(command: str, typed: str) -> str:
    """Return the text that the model receives for a command and its arguments."""
    prompt: str = tomllib.loads((COMMANDS / f"{command}.toml").read_text())["prompt"]
    if not typed or "{{args}}" in prompt:
        return prompt.replace("{{args}}", typed)
    return f"{prompt}\n\n/remote:{command} {typed}"


def test_every_command_of_the_extension_has_a_case() -> None:
    assert set(CASES) == {path.stem for path in COMMANDS.glob("*.toml")}


@pytest.mark.parametrize(("command", "case"), CASES.items(), ids=CASES)
def test_a_command_has_the_expected_request_and_result(
    command: str, case: CommandCase, gemini: GeminiCLI, model: ScriptedModel, user: ProxyUser
) -> None:
    for name, phase in case.phases_before.items():
        user.create_sandbox(name, paused=phase == "paused")
    if case.running:
        user.start_command(BOX, SESSION, case.running)
    before = len(user.requests())
    model.add_turns(call_tool(case.tool, **case.arguments), repeat_tool_result)

    run = gemini.prompt(f"/remote:{command} {case.typed}".rstrip())

    requests = user.requests()[before:]
    assert requests.count(case.request) == 1 if case.request else requests == []
    assert user.sandbox_phases() == case.phases_after
    first, second = model.requests
    assert PREFIX + case.tool in first.tools
    assert first.user_text == expanded_prompt(command, case.typed)
    assert re.search(case.pattern, second.tool_result)
    assert run.tool_result["status"] == ("success" if case.request else "error")
    assert re.search(case.pattern, run.tool_result["output"])
    assert run.model_text == second.tool_result


def test_a_repository_is_not_sent_where_nobody_can_be_asked(
    gemini: GeminiCLI, model: ScriptedModel, user: ProxyUser
) -> None:
    user.create_sandbox(BOX)
    make_repository(gemini.workspace / "project", {"a.txt": "one"})
    before = user.requests()
    model.add_turns(call_tool("send_repository", name=BOX, directory="project"), repeat_tool_result)

    run = gemini.prompt("send it")

    assert user.requests() == before
    assert run.tool_result["status"] == "error"
    assert re.search("send_repository .+ requires user confirmation", run.tool_result["output"])
