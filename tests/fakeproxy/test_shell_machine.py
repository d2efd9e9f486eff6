"""A session beside a plain bash: the same commands, and the same to be seen after each.

The session is in a jail where jails work. The plain bash then sees its directory by the same name.
"""

import asyncio
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from sandbox_fakeproxy import LocalRuntime
from sandbox_fakeproxy.runtime.paths import HOME, SandboxPaths

from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS
from tests.fakeproxy.shell_api import ShellApi

NAMES = st.sampled_from(["a", "b", "PATHS"])
TEXTS = st.text(st.sampled_from("xyzé \t\n'\"\\$*~;&|#"), max_size=6)
DIRECTORIES = st.sampled_from(["/", "/usr", "/usr/bin", "..", ".", "-", "/none"])
# Shows the directory, the exit code, and variables and functions, exported or not.
LOOK = (
    'printf "%s|" "$PWD" "$?" "${a-unset}" "${b-unset}" "${PATHS-unset}" "${list[*]-unset}" "$-";'
    " type -t f g; bash -c 'echo \"[${a-}|${b-}|${PATHS-}]\"'; umask"
)


def quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


class PlainBash:
    """A bash that is not kept: for each command, a new one runs all that came before it too.

    What ended a shell is left out there: what the session knew then, it must still know.
    """

    def __init__(self, paths: SandboxPaths) -> None:
        self._paths = paths
        self._before: list[str] = []

    def run(self, text: str) -> tuple[str, int]:
        """Run everything anew up to the last command; return its output and exit code."""
        mark = "-- the last command --"
        parts = [f"eval {quoted(before)} >/dev/null 2>&1 </dev/null" for before in self._before]
        script = "\n".join(
            [
                "shopt -s expand_aliases",
                f"now() {{ local code=$?; echo {quoted(mark)}; return $code; }}",
                *parts,
                "now",
                f"eval {quoted(text)}",
            ]
        )
        done = subprocess.run(
            [*self._jail(), "bash", "--norc", "--noprofile", "-c", script, "bash"],
            cwd=self._paths.home,
            env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/usr"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=30,
        )
        return done.stdout.decode().partition(f"{mark}\n")[2], done.returncode

    def _jail(self) -> list[str]:
        """Return a command that runs bash below /home/gem, where the session is."""
        if not self._paths.isolated:
            return []
        files = ["--ro-bind", "/", "/", "--dev", "/dev", "--tmpfs", "/home"]
        return ["bwrap", *files, "--bind", str(self._paths.home), HOME, "--chdir", HOME, "--"]

    def keep(self, text: str) -> None:
        """Run `text` before each later command."""
        self._before.append(text)


class ASessionIsABash(RuleBasedStateMachine):
    """A session and a plain bash show the same after each command."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.new_event_loop()
        self._temporary = tempfile.TemporaryDirectory()
        root = Path(self._temporary.name).resolve()
        self._runtime = LocalRuntime(root, isolation=AVAILABLE_ISOLATIONS[-1])
        self._box = ShellApi(self._runtime)
        self._plain = PlainBash(self._runtime.paths("one"))

    def teardown(self) -> None:
        self._loop.run_until_complete(self._runtime.close())
        self._loop.close()
        self._temporary.cleanup()

    @initialize()
    def make(self) -> None:
        self._session("true")

    def _session(self, text: str) -> tuple[str, int]:
        data: Any = self._loop.run_until_complete(self._exec(text))
        assert data["status"] == "completed"
        return data["output"], data["exit_code"]

    async def _exec(self, text: str) -> Any:
        await self._box.session(id="it")
        return await self._box.exec(text, id="it")

    def _both(self, text: str, *, kept: str | None = None) -> None:
        """Run a command on both sides; `kept` replaces it before later commands."""
        assert self._session(text) == self._plain.run(text), text
        self._plain.keep(text if kept is None else kept)
        self._look()

    def _look(self) -> None:
        output, code = self._session(LOOK)
        expected, expected_code = self._plain.run(LOOK)
        # How the shell was started shows in `$-`, and is not the session's to keep.
        assert (output, code) == (expected, expected_code)
        self._plain.keep(":")

    @rule(name=NAMES, text=TEXTS)
    def assign(self, name: str, text: str) -> None:
        self._both(f"{name}={quoted(text)}")

    @rule(name=NAMES, text=TEXTS)
    def export(self, name: str, text: str) -> None:
        self._both(f"export {name}={quoted(text)}")

    @rule(name=NAMES)
    def unset(self, name: str) -> None:
        self._both(f"unset {name}")

    @rule(directory=DIRECTORIES)
    def change_directory(self, directory: str) -> None:
        self._both(f"cd {directory} 2>/dev/null")

    @rule(texts=st.lists(TEXTS, max_size=3))
    def make_a_list(self, texts: list[str]) -> None:
        self._both(f"list=({' '.join(map(quoted, texts))})")

    @rule(name=st.sampled_from("fg"), text=TEXTS)
    def define(self, name: str, text: str) -> None:
        self._both(f"{name}() {{\n  a=$1\n  printf %s {quoted(text)}\n  return 3\n}}")

    @rule(name=st.sampled_from("fg"), text=TEXTS)
    def call(self, name: str, text: str) -> None:
        self._both(f"{name} {quoted(text)} 2>/dev/null")

    @rule(mask=st.sampled_from(["022", "077"]))
    def mask(self, mask: str) -> None:
        self._both(f"umask {mask}")

    @rule(option=st.sampled_from(["-f", "+f", "-u", "+u", "-C"]))
    def option(self, option: str) -> None:
        self._both(f"set {option}")

    @rule(text=TEXTS, code=st.integers(0, 255))
    def write(self, text: str, code: int) -> None:
        self._both(f"printf %s {quoted(text)}; echo err >&2; (exit {code})")

    @rule(text=TEXTS)
    def here(self, text: str) -> None:
        self._both(f"cat <<'END' | tr x y\n{text}\nEND")

    @rule(code=st.integers(0, 9))
    def pipeline(self, code: int) -> None:
        self._both(f"echo a | (cat; exit {code}) && echo yes || echo no ${{PIPESTATUS[*]}}")

    @rule(code=st.integers(0, 9))
    def in_the_background(self, code: int) -> None:
        self._both(f"(exit {code}) & wait $!; echo $?")

    @rule(text=st.sampled_from(["if", "echo (", "for", "}", "a=('"]))
    def syntax_error(self, text: str) -> None:
        output, code = self._session(text)
        expected, expected_code = self._plain.run(text)
        # The number of the line is that of another file.
        assert code == expected_code
        assert output.rpartition(": ")[2] == expected.rpartition(": ")[2]
        self._plain.keep(text)
        self._look()

    @rule(code=st.integers(0, 255), name=NAMES, text=TEXTS)
    def leave(self, code: int, name: str, text: str) -> None:
        before = f"{name}={quoted(text)}; echo bye"
        self._both(f"{before}; exit {code}", kept=f"{before}; (exit {code})")


ASessionIsABash.TestCase.settings = settings(
    max_examples=20, stateful_step_count=8, deadline=None, derandomize=True
)
TestASessionIsABash = ASessionIsABash.TestCase
