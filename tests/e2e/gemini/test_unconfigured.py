"""Gemini CLI with the extension, and no configuration of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client._tools import TOOLS

from tests.e2e.gemini.model import PREFIX, call, pass_on
from tools.manifest import ROOT

if TYPE_CHECKING:
    from tests.e2e.gemini.model import ScriptedModel
    from tests.e2e.gemini.program import Gemini

pytestmark = pytest.mark.timeout(300)  # the first test may install the program

ADVICE = (
    "No configuration: ",
    "Next: Run `remote-sandbox login`",
    "Without a proxy, `make fake` in the clone",
)


def test_all_tools_are_there_and_the_advice_reaches_the_model(
    gemini: Gemini, model: ScriptedModel
) -> None:
    model.script(call("list_sandboxes"), pass_on)
    seen = gemini.type("/remote:list")

    first, second = model.requests
    assert {name for name in first.tools if name.startswith(PREFIX)} == {
        PREFIX + tool.name for tool in TOOLS
    }
    assert seen.result["status"] == "error"
    for words in ADVICE:
        assert words in second.received
        assert words in seen.result["error"]["message"]


def test_a_person_sees_the_advice_by_way_of_the_model(gemini: Gemini, model: ScriptedModel) -> None:
    model.script(call("list_sandboxes"), pass_on)
    ended = gemini.run("-p", "/remote:list", "--yolo")
    assert ended.returncode == 0
    for words in ADVICE:
        assert words in ended.stdout
    # This much Gemini CLI tells by itself; what it is, the model has to say, as it is asked to.
    assert "MCP tool 'list_sandboxes' reported an error." in ended.stderr
    assert (ROOT / "GEMINI.md").read_text().strip() in model.requests[0].context
