"""The Gemini CLI extension: manifest, commands and policy agree with the tools."""

from __future__ import annotations

import json
import re
import tomllib
from typing import TYPE_CHECKING

import pytest
from sandbox_client import ConfigError
from sandbox_client.config import load_config
from sandbox_client.mcp_server.tools import TOOLS

from tools.manifest import ROOT, server_parameters

if TYPE_CHECKING:
    from pathlib import Path

COMMANDS = {
    "create": "create_sandbox",
    "status": "get_sandbox_status",
    "prompt": "send_prompt_to_sandbox",
    "list": "list_sandboxes",
    "delete": "delete_sandbox",
    "pause": "pause_sandbox",
    "resume": "resume_sandbox",
    "agent": "run_agent",
    "output": "get_prompt_output",
    "cancel": "cancel_prompt",
    "doctor": "check_connection",
}
# Commands with a prompt file that does not contain {{args}}.
WITHOUT_ARGS = {"list", "doctor", "prompt", "agent"}
# Users copy files with `remote-sandbox cp`; /remote:agent leads through a repository's way.
WITHOUT_A_COMMAND = {
    "read_sandbox_file",
    "write_sandbox_file",
    "list_sandbox_files",
    "send_repository",
    "fetch_work",
}
VARIABLES = (
    "REMOTE_SANDBOX_CONFIG",
    "REMOTE_SANDBOX_PROXY_URL",
    "REMOTE_SANDBOX_API_KEY",
    "REMOTE_SANDBOX_DEFAULT_IMAGE",
    "REMOTE_SANDBOX_DEFAULT_PORT",
    "REMOTE_SANDBOX_AGENT_COMMAND",
    "REMOTE_SANDBOX_AGENT_ENVIRONMENT",
    "GEMINI_API_KEY",
    "GOOGLE_API_KEY",
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
)


def test_the_manifest_has_the_name_version_and_context_file() -> None:
    manifest = json.loads((ROOT / "gemini-extension.json").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert manifest["name"] == "async-remote-agent-extension"
    assert manifest["version"] == project["version"]
    assert (ROOT / manifest["contextFileName"]).read_text().startswith("# Remote sandboxes")
    assert "settings" not in manifest, "`gemini extensions link` would ask for each"


def test_the_servers_name_has_no_underscore_and_tool_names_fit_in_63_characters() -> None:
    name, parameters = server_parameters({})
    assert "_" not in name
    assert parameters.args[0] == str(ROOT / "client" / "launch")
    assert all(len(f"mcp_{name}_{tool.name}") <= 63 for tool in TOOLS)


@pytest.mark.parametrize("variable", VARIABLES)
def test_each_variable_reaches_the_server(variable: str) -> None:
    _, parameters = server_parameters({variable: "a-value"})
    assert parameters.env is not None
    assert parameters.env[variable] == "a-value"


def test_an_unset_variable_is_passed_as_blank_and_counts_as_unset() -> None:
    _, parameters = server_parameters({})
    assert parameters.env is not None
    assert {parameters.env[variable] for variable in VARIABLES} == {""}
    with pytest.raises(ConfigError, match="No configuration"):
        load_config(parameters.env | {"HOME": "/nonexistent"})


def test_each_tool_but_those_for_models_has_a_command() -> None:
    assert {path.stem for path in (ROOT / "commands/remote").glob("*.toml")} == set(COMMANDS)
    assert set(COMMANDS.values()) == {tool.name for tool in TOOLS} - WITHOUT_A_COMMAND


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_tells_the_model_to_call_its_tool_with_the_arguments(command: str) -> None:
    content = tomllib.loads((ROOT / f"commands/remote/{command}.toml").read_text())
    assert f"Call {COMMANDS[command]} once" in content["prompt"]
    usage, dash, _ = content["description"].partition(" - ")
    shown = f"`/remote:{command} {usage}`" if dash else f"`/remote:{command}`"
    assert shown in (ROOT / "README.md").read_text()
    assert len(content["description"]) <= 65, "Gemini CLI truncates it"
    # {{args}} collapses runs of spaces, which a shell command or a prompt has to keep.
    assert ("{{args}}" in content["prompt"]) == (command not in WITHOUT_ARGS)
    mentioned = set(re.findall(r"\b[a-z]+_\w+\b", content["prompt"]))
    assert mentioned <= {tool.name for tool in TOOLS}


def test_the_policy_asks_the_user_before_a_delete_and_before_a_repository_is_sent() -> None:
    name, _ = server_parameters({})
    rules = tomllib.loads((ROOT / "policies/remote-sandbox.toml").read_text())["rule"]
    # With `mcpName`, an interactive session with --yolo would not ask.
    assert [rule["toolName"] for rule in rules] == [
        f"mcp_{name}_delete_sandbox",
        f"mcp_{name}_send_repository",
    ]
    assert all("mcpName" not in rule and rule["decision"] == "ask_user" for rule in rules)


def test_the_template_is_refused_until_its_key_is_replaced(tmp_path: Path) -> None:
    template = json.loads((ROOT / "config.template.json").read_text())
    file = tmp_path / "config.json"
    file.touch(mode=0o600)
    file.write_text(json.dumps(template))
    with pytest.raises(ConfigError, match="apiKey is still the placeholder"):
        load_config({"REMOTE_SANDBOX_CONFIG": str(file)})
    file.write_text(json.dumps({**template, "apiKey": "sk_live_" + "x" * 32}))
    assert load_config({"REMOTE_SANDBOX_CONFIG": str(file)}).proxy_url == template["proxyUrl"]


def test_the_context_file_names_only_existing_tools() -> None:
    context = (ROOT / "GEMINI.md").read_text()
    mentioned = set(re.findall(r"`([a-z]+_\w+)`", context))
    arguments = {parameter.name for tool in TOOLS for parameter in tool.arguments}
    assert mentioned <= {tool.name for tool in TOOLS} | arguments | {
        "next_after",
        "next_stderr_after",
    }
    assert "delete_sandbox" in mentioned
