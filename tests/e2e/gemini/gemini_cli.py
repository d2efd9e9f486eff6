"""Gemini CLI as a process, with its own home directory and a scripted model."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.e2e.npm import GEMINI_CLI
from tests.integration.programs import clean_environment, processes_with_home

if TYPE_CHECKING:
    from collections.abc import Mapping

DEADLINE = 240.0  # seconds; the first start of an installed extension creates its environment
NO_MODEL = "http://127.0.0.1:9"  # a port without a listener
EXTENSION = "async-remote-agent-extension"
ONLY_LOOPBACK = Path(__file__).with_name("only_loopback.cjs")
SETTINGS: dict[str, object] = {
    "general": {"enableAutoUpdate": False, "enableAutoUpdateNotification": False},
    "model": {"name": "gemini-2.5-flash"},
    "privacy": {"usageStatisticsEnabled": False},
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "telemetry": {"enabled": False},
}


@dataclass(frozen=True)
class StreamedRun:
    """The events that Gemini CLI prints with `-o stream-json`."""

    events: list[dict[str, Any]]

    @property
    def model_text(self) -> str:
        """The text of the model."""
        parts = (each["content"] for each in self.events if each.get("role") == "assistant")
        return "".join(parts)

    @property
    def tool_result(self) -> dict[str, Any]:
        """The result of the only tool call."""
        (result,) = (each for each in self.events if each["type"] == "tool_result")
        return result


@dataclass(frozen=True)
class GeminiCLI:
    """Gemini CLI with its own home directory; it can connect only to this machine."""

    home: Path
    model_url: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def workspace(self) -> Path:
        """The working directory of Gemini CLI."""
        return self.home / "workspace"

    @property
    def refused_hosts(self) -> set[str]:
        """The other hosts that Gemini CLI tried to connect to."""
        file = self.home / "refused-hosts"
        return set(file.read_text().split()) if file.exists() else set()

    def environment(self) -> dict[str, str]:
        """Return the environment variables of Gemini CLI."""
        return clean_environment(
            self.home,
            COLORTERM="truecolor",
            TERM="xterm-256color",
            GEMINI_API_KEY="none",
            GEMINI_CLI_NO_RELAUNCH="true",
            GEMINI_CLI_TRUST_WORKSPACE="true",
            GOOGLE_GEMINI_BASE_URL=self.model_url,
            NODE_OPTIONS=f'--require "{ONLY_LOOPBACK}"',
            REFUSED_HOSTS=str(self.home / "refused-hosts"),
            **self.variables,
        )

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run Gemini CLI without a terminal; check that no process is left."""
        ended = subprocess.run(
            [*GEMINI_CLI.command(), *arguments],
            check=False,
            cwd=self.workspace,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE,
        )
        assert processes_with_home(self.home) == []
        return ended

    def extensions(self, *arguments: str | Path) -> str:
        """Run `gemini extensions` and return its output."""
        ended = self.run("extensions", *arguments)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def prompt(self, prompt: str) -> StreamedRun:
        """Run a prompt without a terminal and with --yolo, which approves tool calls."""
        ended = self.run("-p", prompt, "--yolo", "-o", "stream-json")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return StreamedRun([json.loads(line) for line in ended.stdout.splitlines()])


def set_up_gemini(home: Path, model_url: str = NO_MODEL) -> GeminiCLI:
    """Write the settings of Gemini CLI and create its workspace."""
    gemini = GeminiCLI(home, model_url)
    gemini.workspace.mkdir()
    (home / ".gemini").mkdir(exist_ok=True)
    (home / ".gemini" / "settings.json").write_text(json.dumps(SETTINGS))
    return gemini


def with_installer_settings(gemini: GeminiCLI) -> GeminiCLI:
    """Return a copy that has this machine's settings of pip and uv, to install the extension."""
    for settings in (".config/pip", ".config/uv", ".pip"):
        if (source := Path.home() / settings).exists():
            (gemini.home / settings).parent.mkdir(parents=True, exist_ok=True)
            (gemini.home / settings).symlink_to(source)
    prefixes = ("PIP_", "UV_", "SSL_CERT_")
    variables = {name: os.environ[name] for name in os.environ if name.startswith(prefixes)}
    return replace(gemini, variables=variables)
