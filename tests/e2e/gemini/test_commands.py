"""Each `/remote:` command, typed where nobody is at the keyboard."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gemini.commands import BOX, ROWS, SESSION, Row
from tests.e2e.gemini.model import PREFIX, call, pass_on
from tools.manifest import ROOT

if TYPE_CHECKING:
    from tests.e2e.gemini.model import ScriptedModel
    from tests.e2e.gemini.owner import Owner
    from tests.e2e.gemini.program import Gemini

pytestmark = pytest.mark.timeout(300)  # the first test may install the program

COMMANDS = ROOT / "commands" / "remote"


def expanded(command: str, words: str) -> str:
    """Return what the model is to be told when a person types a command."""
    prompt: str = tomllib.loads((COMMANDS / f"{command}.toml").read_text())["prompt"]
    if not words or "{{args}}" in prompt:
        return prompt.replace("{{args}}", words)
    return f"{prompt}\n\n/remote:{command} {words}"


def test_every_command_of_the_extension_is_typed_here() -> None:
    assert set(ROWS) == {path.stem for path in COMMANDS.glob("*.toml")}


@pytest.mark.parametrize(("command", "row"), ROWS.items(), ids=ROWS)
def test_a_command_reaches_the_proxy_the_model_and_the_person(
    command: str, row: Row, gemini: Gemini, model: ScriptedModel, owner: Owner
) -> None:
    for name, phase in row.before.items():
        owner.make(name, paused=phase == "paused")
    if row.runs:
        owner.run(BOX, SESSION, row.runs)
    before = len(owner.asked())
    model.script(call(row.tool, **row.arguments), pass_on)

    seen = gemini.type(f"/remote:{command} {row.words}".rstrip())

    asked = owner.asked()[before:]
    assert asked.count(row.asked) == 1 if row.asked else asked == []
    assert owner.sandboxes() == row.after
    first, second = model.requests
    assert PREFIX + row.tool in first.tools
    assert first.said == expanded(command, row.words)
    assert re.search(row.told, second.received)
    assert seen.result["status"] == ("success" if row.asked else "error")
    assert re.search(row.told, seen.result["output"])
    assert seen.words == second.received
