"""The commands, settings and tools in the README exist."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox_client.cli.main import parser
from sandbox_client.config import DEFAULT_PATH, DEFAULT_PORT, VARIABLES
from sandbox_client.mcp_server.tools import TOOLS

from tests.integration.programs import clean_environment
from tests.integration.test_extension import WITHOUT_A_COMMAND
from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", README, re.MULTILINE | re.DOTALL))
SHELL_LINES = [
    line
    for block in re.findall(r"^```sh\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
]


def rows(section: str) -> list[list[str]]:
    """Return the cells of a section's first table, without its heading."""
    lines = [line for line in SECTIONS[section].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def test_every_make_target_in_the_readme_exists_with_a_description() -> None:
    named = set(re.findall(r"(?:^|`)make ([a-z0-9-]+)", README, re.MULTILINE))
    explained = set(re.findall(r"^([a-z0-9-]+):.*## ", MAKEFILE, re.MULTILINE))
    assert {"demo", "test", "check", "fake", "lint"} <= named <= explained


def test_make_help_lists_every_target() -> None:
    output = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert set(re.findall(r"make ([a-z0-9-]+)", output)) == set(
        re.findall(r"^([a-z0-9-]+):", MAKEFILE, re.MULTILINE)
    )


def test_the_tools_table_lists_every_tool_with_its_commands() -> None:
    table = rows("In Gemini CLI")
    assert {code(tool)[0] for tool, *_ in table} == {tool.name for tool in TOOLS}
    for tool, gemini, shell, _ in table:
        if not gemini:
            assert code(tool)[0] in WITHOUT_A_COMMAND
            continue
        command, *words = code(gemini)[0].split()
        stem = command.removeprefix("/remote:")
        assert (ROOT / f"commands/remote/{stem}.toml").exists()
        wanted = ["remote-sandbox", stem, *(word for word in words if word != "[IMAGE]")]
        assert code(shell)[0].split() == wanted


@pytest.mark.parametrize(
    "line", [line for line in SHELL_LINES if line.startswith("remote-sandbox")]
)
def test_every_terminal_command_parses(line: str) -> None:
    for part in line.split(" && "):
        words = shlex.split(part, comments=True)[1:]
        arguments = parser(words).parse_args(words)
        assert arguments.verb


@pytest.mark.parametrize("line", [line for line in SHELL_LINES if "/sandbox-fakeproxy " in line])
def test_every_option_of_the_fake_proxy_exists(line: str) -> None:
    program, verb, *options = line.split()
    assert program == ".venv/bin/sandbox-fakeproxy"
    output = subprocess.run(
        [sys.executable, "-m", "sandbox_fakeproxy", verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert {option for option in options if option.startswith("--")} <= set(output.split())


def test_the_template_is_installed_readable_by_its_owner_only(tmp_path: Path) -> None:
    lines = re.findall(r"^(?:mkdir|install) .*", SECTIONS["Configuration"], re.MULTILINE)
    subprocess.run(
        ["sh", "-c", "\n".join(lines)], cwd=ROOT, env=clean_environment(tmp_path), check=True
    )
    path = tmp_path / DEFAULT_PATH.removeprefix("~/")
    assert path.read_bytes() == (ROOT / "config.template.json").read_bytes()
    assert path.stat().st_mode & 0o777 == 0o600


def test_every_variable_in_a_shell_block_is_set_in_its_section() -> None:
    for title, section in SECTIONS.items():
        for block in re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL):
            used = set(re.findall(r"\$([A-Z_]+)", block)) - {"ADMIN_API_KEY", "PWD", "PATH"}
            assert used <= set(re.findall(r"^([A-Z_]+)=", section, re.MULTILINE)), title


def test_the_settings_table_matches_the_configuration() -> None:
    settings = {code(field)[0]: code(variable) for field, variable, _ in rows("Configuration")}
    assert settings.pop("workspaces") == [], "a list of paths has no variable"
    assert settings == {field: [variable] for field, variable in VARIABLES.items()}
    assert DEFAULT_PATH in SECTIONS["Configuration"]
    assert str(DEFAULT_PORT) in SECTIONS["Configuration"]
    assert "REMOTE_SANDBOX_CONFIG" in SECTIONS["Configuration"]


def test_the_exit_codes_match_the_help() -> None:
    output = subprocess.run(
        [sys.executable, "-m", "sandbox_client", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for exit_code in re.findall(r"^  (\d+) ", output, re.MULTILINE):
        assert re.search(rf"\b{exit_code}\b", SECTIONS["In a terminal"])
    assert "125" in output


def test_every_path_in_the_table_exists() -> None:
    for path in [cell for where, _ in rows("How it is built") for cell in code(where)]:
        assert (ROOT / path).exists(), path


def test_no_lock_file_is_committed() -> None:
    committed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    lock = re.compile(r"(^|/)(uv\.lock|pylock.*|.*-lock\.json)$")
    assert "LICENSE" in committed
    assert not [path for path in committed if lock.search(path)]
