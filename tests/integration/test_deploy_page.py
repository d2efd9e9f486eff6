"""The commands of docs/deploy.md, run against the fake proxy.

A block that starts with "```sh" is run, and a "```text" block after it is its expected output, in
which `...` stands for any text. A block that starts with "```sh cluster" needs a cluster, docker or
a network, and is not run.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.programs import ADMIN_KEY, clean_environment
from tools.manifest import ROOT

if TYPE_CHECKING:
    from tests.integration.programs import FakeProcess

PAGE = (ROOT / "docs" / "deploy.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```([^\n]*)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)
END = "(the end of a block)"
DEADLINE = 50  # seconds; all blocks together take six

# Commands that list the ids which the page tells readers to paste, newest first.
ID_COMMANDS = {
    "USER_ID": 'admin "$URL/api/admin/users"',
    "KEY_ID": 'admin "$URL/api/admin/users/$USER_ID/apikeys"',
}

# A replacement of kubectl that answers the two queries of the page.
KUBECTL = """\
#!/bin/sh
case "$*" in
  "get svc sandbox-proxy -o jsonpath={.status.loadBalancer.ingress[0].ip}") printf %s '@HOST@' ;;
  "get secret admin-credentials -o jsonpath={.data.ADMIN_API_KEY}") printf %s '@SECRET@' ;;
  *) echo "unexpected: kubectl $*" >&2; exit 1 ;;
esac
"""


def steps() -> list[tuple[str, str]]:
    """Return each block to run, with its expected output, "" if the page shows none."""
    following = [*BLOCKS[1:], ("", "")]
    return [
        (commands, after if kind == "text" else "")
        for (language, commands), (kind, after) in zip(BLOCKS, following, strict=True)
        if language == "sh"
    ]


def with_ids(commands: str) -> str:
    """Return the commands with PASTE-THE-ID replaced by a command that prints the id."""
    for name, list_command in ID_COMMANDS.items():
        first = 'grep -o \'"id":"[^"]*\' | head -n 1 | cut -d \'"\' -f 4'
        commands = commands.replace(f"{name}=PASTE-THE-ID", f"{name}=$({list_command} | {first})")
    return commands


def write_kubectl(folder: Path, url: str) -> None:
    """Write a `kubectl` that returns the address of the fake and its admin key."""
    program = folder / "kubectl"
    secret = base64.b64encode(ADMIN_KEY.encode()).decode()
    host = url.removeprefix("http://")
    program.write_text(KUBECTL.replace("@HOST@", host).replace("@SECRET@", secret))
    program.chmod(0o755)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, fake: FakeProcess) -> tuple[Path, list[str]]:
    """Run all blocks in one shell; return its directory and the output of each block."""
    folder, programs = tmp_path_factory.mktemp("deploy"), tmp_path_factory.mktemp("programs")
    write_kubectl(programs, fake.url)
    blocks = [f"{with_ids(commands)}\necho '{END}'" for commands, _ in steps()]
    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["bash", "-ec", "set -o pipefail\n" + "\n".join(blocks)],
        cwd=folder,
        env={**clean_environment(folder), "PATH": path},
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder, done.stdout.split(END)[:-1]


def test_the_commands_print_the_output_in_the_page(results: tuple[Path, list[str]]) -> None:
    _, outputs = results
    assert len(steps()) >= 9
    for (commands, expected), output in zip(steps(), outputs, strict=True):
        pattern = ".*?".join(re.escape(part) for part in expected.strip().split("..."))
        if expected:
            assert re.fullmatch(pattern, output.strip(), re.DOTALL), f"{commands}\n{output}"


def test_the_key_is_written_to_a_file_that_only_its_owner_can_read(
    results: tuple[Path, list[str]],
) -> None:
    folder, outputs = results
    key = (folder / "grace.key").read_text()
    assert re.fullmatch(r"sk_live_[\w-]{32}\n", key)
    assert (folder / "grace.key").stat().st_mode & 0o777 == 0o600
    assert key.strip() not in "".join(outputs)
    assert ADMIN_KEY not in "".join(outputs)


def test_no_key_is_a_command_line_argument() -> None:
    """A process list shows arguments, except those of `printf`, which is built into the shell."""
    for language, commands in BLOCKS:
        if language.startswith("sh"):
            for line in commands.splitlines():
                if re.search(r"\$\{?\w*KEY\b", line):
                    assert line.lstrip().startswith("printf "), line
                assert not re.search(r"-H ['\"]Authorization", line), line
