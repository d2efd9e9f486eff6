"""The commands of docs/deploy.md, run as a person types them, against the fake proxy.

A block that starts with "```sh" runs here, and "```text" after it is what it shows; `...` stands
for what differs from run to run. A block that starts with "```sh cluster" needs a cluster, docker
or a network, and does not run.
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

PASTED = {  # whose answers begin with the newest
    "USER_ID": 'admin "$URL/api/admin/users"',
    "KEY_ID": 'admin "$URL/api/admin/users/$USER_ID/apikeys"',
}

# Answers the two questions of the page that the fake has no cluster for.
KUBECTL = """\
#!/bin/sh
case "$*" in
  "get svc sandbox-proxy -o jsonpath={.status.loadBalancer.ingress[0].ip}") printf %s '@HOST@' ;;
  "get secret admin-credentials -o jsonpath={.data.ADMIN_API_KEY}") printf %s '@SECRET@' ;;
  *) echo "unexpected: kubectl $*" >&2; exit 1 ;;
esac
"""


def steps() -> list[tuple[str, str]]:
    """Return each block that runs here with the output that the page shows for it, if any."""
    following = [*BLOCKS[1:], ("", "")]
    return [
        (commands, after if kind == "text" else "")
        for (language, commands), (kind, after) in zip(BLOCKS, following, strict=True)
        if language == "sh"
    ]


def filled_in(commands: str) -> str:
    """Return the commands with the ids that a person pastes from the answers."""
    for name, question in PASTED.items():
        first = 'grep -o \'"id":"[^"]*\' | head -n 1 | cut -d \'"\' -f 4'
        commands = commands.replace(f"{name}=PASTE-THE-ID", f"{name}=$({question} | {first})")
    return commands


def kubectl_in(folder: Path, url: str) -> None:
    program = folder / "kubectl"
    secret = base64.b64encode(ADMIN_KEY.encode()).decode()
    host = url.removeprefix("http://")
    program.write_text(KUBECTL.replace("@HOST@", host).replace("@SECRET@", secret))
    program.chmod(0o755)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory, fake: FakeProcess) -> tuple[Path, list[str]]:
    """Run all blocks in one shell; return its directory and the output of each block."""
    folder, programs = tmp_path_factory.mktemp("deploy"), tmp_path_factory.mktemp("programs")
    kubectl_in(programs, fake.url)
    blocks = [f"{filled_in(commands)}\necho '{END}'" for commands, _ in steps()]
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


def test_the_commands_show_what_the_page_says(shown: tuple[Path, list[str]]) -> None:
    _, answers = shown
    assert len(steps()) >= 9
    for (commands, said), answer in zip(steps(), answers, strict=True):
        pattern = ".*?".join(re.escape(part) for part in said.strip().split("..."))
        if said:
            assert re.fullmatch(pattern, answer.strip(), re.DOTALL), f"{commands}\n{answer}"


def test_a_key_is_kept_in_a_file_that_only_its_owner_can_read(
    shown: tuple[Path, list[str]],
) -> None:
    folder, answers = shown
    key = (folder / "grace.key").read_text()
    assert re.fullmatch(r"sk_live_[\w-]{32}\n", key)
    assert (folder / "grace.key").stat().st_mode & 0o777 == 0o600
    assert key.strip() not in "".join(answers)
    assert ADMIN_KEY not in "".join(answers)


def test_no_key_is_an_argument_of_a_program() -> None:
    """A process list shows arguments; `printf`, which the shell has built in, is no process."""
    for language, commands in BLOCKS:
        if language.startswith("sh"):
            for line in commands.splitlines():
                if re.search(r"\$\{?\w*KEY\b", line):
                    assert line.lstrip().startswith("printf "), line
                assert not re.search(r"-H ['\"]Authorization", line), line
