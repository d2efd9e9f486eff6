"""`only_loopback.cjs` refuses connections to other hosts and records them."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gemini.gemini_cli import set_up_gemini
from tests.e2e.npm import NODE
from tests.integration.programs import DEADLINE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gemini.gemini_cli import GeminiCLI

FETCH = """
fetch(process.argv[1]).then(
  (reply) => console.log(reply.status), (error) => console.log(error.cause.message));
"""


def fetch(gemini: GeminiCLI, url: str) -> str:
    """Fetch a URL in the environment of Gemini CLI and return the status or the error."""
    return subprocess.run(
        [NODE, "-e", FETCH, url],
        check=True,
        env=gemini.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    ).stdout


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "https://sandbox.example/"])
def test_another_host_is_refused_and_recorded(url: str, tmp_path: Path) -> None:
    gemini = set_up_gemini(tmp_path)
    host = url.split("/")[2]
    assert fetch(gemini, url) == f"{host} is not on this machine\n"
    assert gemini.refused_hosts == {host}


def test_this_machine_is_not_refused(model_url: str, tmp_path: Path) -> None:
    gemini = set_up_gemini(tmp_path)
    assert fetch(gemini, model_url) == "404\n"
    assert fetch(gemini, model_url.replace("127.0.0.1", "localhost")) == "404\n"
    assert gemini.refused_hosts == set()
