"""The three programs at startup: with odd environment variables, and interrupted by Ctrl-C."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import DEADLINE, clean_environment
from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROGRAMS = {
    "remote-sandbox": "sandbox_client",
    "sandbox-fakeproxy": "sandbox_fakeproxy",
    "sandbox-contract": "sandbox_contract",
}
# Runs a program and sends it SIGINT when it imports the module in the first argument.
INTERRUPTED_IMPORT = """\
import os, signal, sys
from importlib import import_module

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == interrupting:
            os.kill(os.getpid(), signal.SIGINT)

interrupting, package = sys.argv[1:3]
del sys.argv[1:3]
sys.meta_path.insert(0, Interrupt())
sys.exit(import_module(f"{package}.__main__").main())
"""


def start_command(module: str, *arguments: str) -> list[str]:
    """Return the command line of the script in `.venv/bin` that runs `module`."""
    return [sys.executable, "-I", "-S", str(ROOT / "client" / "start.py"), module, *arguments]


@pytest.mark.parametrize("program", PROGRAMS)
def test_version_ignores_environment_variables_of_python(program: str, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('shadowed')")
    odd_environment = {
        "PYTHONPATH": str(tmp_path),
        "PYTHONHOME": "/nonexistent",
        "PYTHONHASHSEED": "x",
        "PYTHONWARNINGS": "error",
        "PYTHONINSPECT": "1",
        "PYTHONOPTIMIZE": "2",
        "PYTHONIOENCODING": "ascii",
        "PYTHONVERBOSE": "1",
        "LC_ALL": "xx_YY",
        "COLUMNS": "0",
    }

    result = subprocess.run(
        start_command(PROGRAMS[program], "--version"),
        env=clean_environment(tmp_path, **odd_environment),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith(f"{program} 0.")


@pytest.mark.parametrize("module", PROGRAMS.values())
def test_ctrl_c_before_python_can_handle_it_ends_the_program_silently(
    module: str, tmp_path: Path
) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # as `env --block-signal` does
    try:
        process = subprocess.Popen(
            start_command(module, "--help"),
            env=clean_environment(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])

    process.send_signal(signal.SIGINT)

    assert process.communicate(timeout=DEADLINE) == (b"", b"")
    assert process.returncode == -signal.SIGINT


def interrupt_import(
    home: Path, module: str, package: str, *arguments: str, is_ignored: bool = False
) -> subprocess.CompletedProcess[str]:
    """Run a program and interrupt it when it imports `module`."""
    start = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" if is_ignored else ""
    return subprocess.run(
        [sys.executable, "-c", start + INTERRUPTED_IMPORT, module, package, *arguments],
        env=clean_environment(home),
        cwd=ROOT,
        input="\n",  # a message that no first answer of the MCP server is for
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )


@pytest.mark.parametrize(
    ("package", "arguments", "module"),
    [
        ("sandbox_client", ["list"], "sandbox_client.cli.main"),
        ("sandbox_client", ["list"], "httpx"),
        ("sandbox_client", ["mcp"], "sandbox_client.mcp_server.handshake"),
        ("sandbox_client", ["mcp"], "sandbox_client.mcp_server.server"),
        ("sandbox_client", ["mcp"], "pydantic"),
        ("sandbox_fakeproxy", ["serve", "--ephemeral"], "sandbox_fakeproxy.serving.cli"),
        ("sandbox_fakeproxy", ["serve", "--ephemeral"], "uvicorn"),
        ("sandbox_contract", ["list"], "sandbox_contract.options"),
        ("sandbox_contract", ["list"], "httpx"),
    ],
)
def test_ctrl_c_during_an_import_ends_the_program_silently(
    package: str, arguments: list[str], module: str, tmp_path: Path
) -> None:
    result = interrupt_import(tmp_path, module, package, *arguments)

    assert (result.returncode, result.stdout, result.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.parametrize(
    ("package", "module"),
    [
        ("sandbox_client", "httpx"),
        ("sandbox_fakeproxy", "uvicorn"),
        ("sandbox_contract", "httpx"),
    ],
)
def test_an_ignored_sigint_stays_ignored(package: str, module: str, tmp_path: Path) -> None:
    result = interrupt_import(tmp_path, module, package, "--help", is_ignored=True)

    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("usage: ")
