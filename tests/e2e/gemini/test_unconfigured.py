"""Gemini CLI with the extension but without its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client.mcp_server.tools import TOOLS

from tests.e2e.gemini.model import PREFIX, call_tool, repeat_tool_result
from tools.manifest import ROOT

if TYPE_CHECKING:
    from tests.e2e.gemini.gemini_cli import GeminiCLI
    from tests.e2e.gemini.model import ScriptedModel

pytestmark = pytest.mark.timeout(300)  # the first test may install the program

ADVICE = (
    "No configuration: ",
    "Next: Run `remote-sandbox login`",
    "Without a proxy, `make fake` in the clone",
)


def test_all_tools_are_listed_and_the_model_receives_the_advice(
    gemini: GeminiCLI, model: ScriptedModel
) -> None:
    model.add_turns(call_tool("list_sandboxes"), repeat_tool_result)
    run = gemini.prompt("/remote:list")

    first, second = model.requests
    assert {name for name in first.tools if name.startswith(PREFIX)} == {
        PREFIX + tool.name for tool in TOOLS
    }
    assert run.tool_result["status"] == "error"
    for line in ADVICE:
        assert line in second.tool_result
        assert line in run.tool_result["error"]["message"]


def test_the_user_sees_the_advice_in_the_models_text(
    gemini: GeminiCLI, model: ScriptedModel
) -> None:
    model.add_turns(call_tool("list_sandboxes"), repeat_tool_result)
    ended = gemini.run("-p", "/remote:list", "--yolo")
    assert ended.returncode == 0
    for line in ADVICE:
        assert line in ended.stdout
    # Gemini CLI prints only that there was an error; GEMINI.md tells the model to print the advice.
    assert "MCP tool 'list_sandboxes' reported an error." in ended.stderr
    assert (ROOT / "GEMINI.md").read_text().strip() in model.requests[0].context
