"""Gemini CLI as a person has it: a home folder, settings, a model, and words typed at it."""

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

DEADLINE = 240.0  # seconds: the first start of an installed extension makes its environment
NOBODY = "http://127.0.0.1:9"  # where no model listens
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
class Seen:
    """What a person sees of a run with `-o stream-json`."""

    events: list[dict[str, Any]]

    @property
    def words(self) -> str:
        """What the model says."""
        said = (each["content"] for each in self.events if each.get("role") == "assistant")
        return "".join(said)

    @property
    def result(self) -> dict[str, Any]:
        """How the only tool call ended."""
        (result,) = (each for each in self.events if each["type"] == "tool_result")
        return result


@dataclass(frozen=True)
class Gemini:
    """Gemini CLI with a home of its own, held to this machine."""

    home: Path
    model: str
    variables: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def workspace(self) -> Path:
        """The folder where it is started."""
        return self.home / "workspace"

    @property
    def strangers(self) -> set[str]:
        """The other machines that it turned to, in vain."""
        file = self.home / "strangers"
        return set(file.read_text().split()) if file.exists() else set()

    def environment(self) -> dict[str, str]:
        """Return the environment that it is started in."""
        return clean_environment(
            self.home,
            COLORTERM="truecolor",
            TERM="xterm-256color",
            GEMINI_API_KEY="none",
            GEMINI_CLI_NO_RELAUNCH="true",
            GEMINI_CLI_TRUST_WORKSPACE="true",
            GOOGLE_GEMINI_BASE_URL=self.model,
            NODE_OPTIONS=f'--require "{ONLY_LOOPBACK}"',
            STRANGERS=str(self.home / "strangers"),
            **self.variables,
        )

    def run(self, *words: str | Path) -> subprocess.CompletedProcess[str]:
        """Start it with `words` and nobody at the keyboard, and wait for its end."""
        ended = subprocess.run(
            [*GEMINI_CLI.command(), *words],
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

    def extensions(self, *words: str | Path) -> str:
        """Run one of its commands for extensions, and return what it says."""
        ended = self.run("extensions", *words)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    def type(self, prompt: str) -> Seen:
        """Give it a prompt without a terminal, with leave to use tools."""
        ended = self.run("-p", prompt, "--yolo", "-o", "stream-json")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return Seen([json.loads(line) for line in ended.stdout.splitlines()])


def a_gemini(home: Path, model: str = NOBODY) -> Gemini:
    """Give Gemini CLI its settings and a workspace."""
    gemini = Gemini(home, model)
    gemini.workspace.mkdir()
    (home / ".gemini").mkdir(exist_ok=True)
    (home / ".gemini" / "settings.json").write_text(json.dumps(SETTINGS))
    return gemini


def with_installers(gemini: Gemini) -> Gemini:
    """Let pip and uv find at its home what this machine has told them."""
    for settings in (".config/pip", ".config/uv", ".pip"):
        if (theirs := Path.home() / settings).exists():
            (gemini.home / settings).parent.mkdir(parents=True, exist_ok=True)
            (gemini.home / settings).symlink_to(theirs)
    told = ("PIP_", "UV_", "SSL_CERT_")
    variables = {name: os.environ[name] for name in os.environ if name.startswith(told)}
    return replace(gemini, variables=variables)
