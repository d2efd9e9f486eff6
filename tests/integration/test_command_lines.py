"""Command lines of both APIs in real shells: the output and the exit code of the command.

Lines of the terminal API run in a pseudo-terminal, in shells with and without job control, since a
runtime may have either. Lines of the pipe API run with pipes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from sandbox_client.api import pipes
from sandbox_client.api.runtime import Task
from sandbox_client.api.shell import TIME_LIMIT_CODE, execute

from tests.integration.programs import DEADLINE, clean_environment
from tests.integration.pseudo_terminal import open_pseudo_terminal

if TYPE_CHECKING:
    from pathlib import Path

# Make the pseudo-terminal the controlling one, as it is in a session of the runtime's.
START = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execvp('bash', ['bash', '--norc', *sys.argv[1:]])"
)
SHELLS = {"no job control": "-c", "job control": "-ic"}
CTRL_C = "\x03"

# A command, whether Ctrl-C is typed after it has printed `up`, its output and its exit code.
COMMANDS: dict[str, tuple[str, bool, str, int]] = {
    "exit code": ("exit 3", False, "", 3),
    "SIGKILL": ("kill -KILL $$", False, "", 137),
    "SIGTERM": ("kill -TERM $$", False, "", 143),
    "SIGALRM": ("kill -ALRM $$", False, "", 142),
    "its own timeout": ("timeout 0.01 sleep 60", False, "", 124),
    "EXIT trap": ("trap 'echo bye' EXIT; echo err >&2", False, "err\nbye\n", 0),
    "tracing": ("set -x; (exit 4)", False, "+ exit 4\n", 4),
    "three descriptors": ("ls -d /proc/self/fd/3 2>&- || echo closed", False, "closed\n", 0),
    "syntax error": ("if", False, "bash: -c: line 2: syntax error: unexpected end of file\n", 2),
    "like an option": ("-n x", False, "bash: line 1: -n: command not found\n", 127),
    "empty input": ("cat; read || echo none", False, "none\n", 0),
    "kill its group": ("trap 'kill 0' EXIT; echo hi", False, "hi\n", 143),
    "terminal settings": ("stty sane <&1; echo ok", False, "ok\n", 0),
    "Ctrl-C": ("echo up; sleep 60", True, "up\n^C", 130),
    "Ctrl-C handled": (
        "trap 'echo caught; exit 9' INT; echo up; read <&1",
        True,
        "up\n^Ccaught\n",
        9,
    ),
    "Ctrl-C ignored": (
        "trap '' INT; echo up; read <&1; exit 4",
        True,
        "up\n^C\n",
        4,
    ),
}


def on_terminal(
    shell: str, command: str, home: Path, *, limit: float | None = None, is_typed: bool = False
) -> tuple[str, int]:
    """Return the output and the exit code of a session's shell for a command."""
    body = execute("box", "s1", Task(command, time_limit=limit)).body or {}
    argv = [sys.executable, "-c", START, SHELLS[shell], str(body["command"])]
    received = b""
    env = clean_environment(home)
    with open_pseudo_terminal(argv, env=env, size=(24, 80)) as terminal:
        while data := terminal.read(DEADLINE):
            received += data
            if is_typed and b"up\r\n" in received:
                terminal.type(CTRL_C + ("\n" if "exit 4" in command else ""))
                is_typed = False
        assert data is not None, f"no end after {received!r}"
        code = terminal.process.wait(DEADLINE)
    text = received.decode().replace("\r\n", "\n")
    return re.sub(
        r"\Abash: .*(terminal process group|job control in this shell).*\n", "", text
    ), code


@pytest.mark.parametrize("limit", [None, 60.0], ids=["no limit", "a limit"])
@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize("kind", COMMANDS)
def test_a_command_on_a_terminal_has_a_bash_of_its_own(
    kind: str, shell: str, limit: float | None, tmp_path: Path
) -> None:
    command, is_typed, output, code = COMMANDS[kind]

    printed = on_terminal(shell, command, tmp_path, limit=limit, is_typed=is_typed)

    assert printed == (output, code)


@pytest.mark.parametrize("shell", SHELLS)
@pytest.mark.parametrize(
    "command", ["sleep 60", "sleep 60 | cat", "trap 'exit 3' TERM; sleep 60 & wait"]
)
def test_a_time_limit_on_a_terminal_has_a_code_of_its_own(
    command: str, shell: str, tmp_path: Path, quick_sigkill: None
) -> None:
    assert on_terminal(shell, command, tmp_path, limit=0.05) == ("", TIME_LIMIT_CODE)


@pytest.mark.parametrize(
    "kind", [kind for kind, (_, is_typed, _, _) in COMMANDS.items() if not is_typed]
)
def test_a_command_with_pipes_has_a_bash_of_its_own(kind: str, tmp_path: Path) -> None:
    command, _, output, code = COMMANDS[kind]
    body = pipes.execute("box", "s1", Task(command)).body or {}
    done = subprocess.run(
        ["bash", "-c", str(body["command"])],
        env=clean_environment(tmp_path),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=DEADLINE,
        check=False,
        text=True,
        start_new_session=True,
    )

    if kind == "terminal settings":
        assert done.stdout.endswith("ok\n"), "there is no terminal"
        return
    ended = done.returncode if done.returncode >= 0 else 128 - done.returncode
    assert (done.stdout, ended) == (output, code)


@pytest.mark.parametrize("path", ["/nonexistent", ""])
def test_a_command_with_pipes_runs_whatever_its_path_is(path: str, tmp_path: Path) -> None:
    body = pipes.execute("box", "s1", Task("echo $PATH")).body or {}
    bash = subprocess.check_output(["bash", "-c", "echo $BASH"], text=True).strip()

    done = subprocess.run(
        [bash, "-c", str(body["command"])],
        env=clean_environment(tmp_path) | {"PATH": path},
        capture_output=True,
        timeout=DEADLINE,
        check=True,
        text=True,
    )

    assert (done.stdout, done.stderr) == (f"{path}\n", "")
