"""MCP Inspector with the server that `gemini-extension.json` starts, in each protocol era."""

from __future__ import annotations

import json
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.repository_stub import make_repository
from tests.e2e.npm import INSPECTOR
from tests.integration.programs import (
    DEADLINE,
    clean_environment,
    config_path,
    processes_with_home,
)
from tools.manifest import server_parameters

if TYPE_CHECKING:
    from pathlib import Path

# A test starts the Inspector and the server a dozen times, a second each; the first test may
# install the Inspector.
pytestmark = pytest.mark.timeout(300)

ERAS = {"legacy": "2025-11-25", "auto": "2026-07-28", "modern": "2026-07-28"}
BOX = "inspected"
EARLIER = object()  # replaced by the value of that name in an earlier result

# Calls in order, with their arguments and a pattern of the result; every tool is called.
CALLS: list[tuple[str, dict[str, object], str]] = [
    ("list_sandboxes", {}, r"^No sandboxes"),
    ("create_sandbox", {"name": BOX}, r"is ready after"),
    ("get_sandbox_status", {"name": EARLIER}, r"^Sandbox 'inspected' is ready"),
    (
        "send_prompt_to_sandbox",
        {"name": BOX, "command": "echo $((6*7))"},
        r"^\[exit code 0(?s:.+)\n42$",
    ),
    (
        "send_prompt_to_sandbox",
        {"name": BOX, "command": "echo begun; sleep 60", "wait_seconds": 0},
        r"still running in session",
    ),
    (
        "get_prompt_output",
        {"name": BOX, "session": EARLIER, "after": 0},
        r"^\[still running(?s:.+)\nbegun$",
    ),
    ("cancel_prompt", {"name": BOX, "session": EARLIER}, r"^\[killed by SIGINT(?s:.+)\nbegun$"),
    # There is no agent in the sandbox, which the answer may tell already.
    (
        "run_agent",
        {"name": BOX, "prompt": "it's $(hostname)"},
        r"^\[still running in session|gemini: command not found",
    ),
    ("get_prompt_output", {"name": BOX}, r"^3 sessions of 'inspected'"),
    ("check_connection", {}, r"passed"),
    (
        "write_sandbox_file",
        {"name": BOX, "path": "note.txt", "content": "first\nsecond\n"},
        r"note\.txt",
    ),
    ("read_sandbox_file", {"name": BOX, "path": "note.txt"}, r"^first\nsecond"),
    ("list_sandbox_files", {"name": BOX}, r"note\.txt"),
    (
        "send_repository",
        {"name": BOX, "directory": "~/project"},
        r"inspected:/sandbox/project is at \w+",
    ),
    ("fetch_work", {"name": BOX, "directory": "~/project"}, r"^inspected has no work yet"),
    ("pause_sandbox", {"name": BOX}, r"is paused"),
    ("resume_sandbox", {"name": BOX}, r"is ready after"),
    ("delete_sandbox", {"name": BOX}, r"was deleted"),
]

# For each listed resource or template: a URI to read, and a pattern of the content.
RESOURCES: dict[str, tuple[str, str]] = {
    "sandbox://list": ("sandbox://list", r'"name": "inspected"'),
    "sandbox://{name}": (f"sandbox://{BOX}", r'"state": "ready"'),
}


@dataclass(frozen=True)
class Inspector:
    """The Inspector's command line, with a home directory and a protocol era."""

    home: Path
    era: str

    def run(self, method: str, *words: str) -> Any:
        """Return the result of a method, which has to succeed without a warning."""
        done = self.start("--method", method, *words)
        assert done.returncode == 0, done.stderr + done.stdout
        assert warnings(done.stderr) == []
        answer = json.loads(done.stdout)
        assert answer.keys() == {"result"}, answer  # a finding would be another key
        return answer["result"]

    def call(self, tool: str, arguments: dict[str, object]) -> Any:
        """Return the result of a tool, which has to succeed."""
        words = ["--tool-name", tool, "--tool-args-json", json.dumps(arguments)]
        return self.run("tools/call", *words)

    def start(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run the Inspector with the server of `gemini-extension.json`."""
        name, server = server_parameters({})
        settings = {"command": server.command, "args": server.args, "env": server.env}
        config = self.home / "servers.json"
        config.write_text(json.dumps({"mcpServers": {name: settings}}))
        options = ["--config", str(config), "--server", name, "--protocol-era", self.era]
        return subprocess.run(
            [*INSPECTOR.command(), "--cli", *options, "--format", "json", *words],
            env=clean_environment(self.home, MCP_INSPECTOR_SECRET_STORE="memory"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )


@pytest.fixture(params=ERAS)
def inspector(home: Path, request: pytest.FixtureRequest) -> Inspector:
    make_repository(home / "project", {"a.txt": "one"})
    config = json.loads(config_path(home).read_text())
    config_path(home).write_text(json.dumps({**config, "workspaces": ["~/project"]}))
    return Inspector(home, request.param)


def warnings(stderr: str) -> list[str]:
    """Return the lines of stderr, except those about the Inspector's secret store."""
    store = ("[mcp-inspector] Secrets are not", "[mcp-inspector] How the secret store")
    return [line for line in stderr.splitlines() if line and not line.startswith(store)]


def test_every_era_of_the_inspector_is_tested(tmp_path: Path) -> None:
    refused = Inspector(tmp_path, "none").start("--method", "tools/list")
    (known,) = re.findall(r"Valid eras are: ([\w, ]+)", refused.stderr)
    assert set(known.split(", ")) == set(ERAS)


def test_each_tool_is_listed_without_a_finding_and_called(inspector: Inspector) -> None:
    assert inspector.run("initialize")["protocolVersion"] == ERAS[inspector.era]
    listed = inspector.run("tools/list", "--strict")["tools"]
    assert {tool["name"] for tool in listed} == {tool for tool, _, _ in CALLS}
    earlier: dict[str, object] = {}
    for tool, given, pattern in CALLS:
        arguments = {k: earlier[k] if v is EARLIER else v for k, v in given.items()}
        result = inspector.call(tool, arguments)
        (block,) = result["content"]
        assert re.search(pattern, block["text"]), f"{tool} returned: {block['text']}"
        earlier |= result["structuredContent"]
    assert processes_with_home(inspector.home) == []


def test_each_resource_is_listed_and_read(inspector: Inspector) -> None:
    inspector.call("create_sandbox", {"name": BOX})
    listed = inspector.run("resources/list")["resources"]
    templates = inspector.run("resources/templates/list")["resourceTemplates"]
    named = {each["uri"] for each in listed} | {each["uriTemplate"] for each in templates}
    assert named == set(RESOURCES)
    for uri, pattern in RESOURCES.values():
        (content,) = inspector.run("resources/read", "--uri", uri)["contents"]
        assert re.search(pattern, content["text"]), f"{uri} contains: {content['text']}"


def test_a_failed_tool_call_fails_the_inspectors_run(inspector: Inspector) -> None:
    words = ["--tool-name", "get_sandbox_status", "--tool-arg", "name=missing"]
    done = inspector.start("--method", "tools/call", *words)
    assert done.returncode == 5, done.stderr
    (block,) = json.loads(done.stdout)["result"]["content"]
    assert block["text"].startswith("No sandbox 'missing' of yours")
