"""What holds Gemini CLI to this machine, and tells whom else it turned to."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.e2e.gemini.program import a_gemini
from tests.e2e.npm import NODE
from tests.integration.programs import DEADLINE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.e2e.gemini.program import Gemini

FETCH = """
fetch(process.argv[1]).then(
  (reply) => console.log(reply.status), (error) => console.log(error.cause.message));
"""


def fetched(gemini: Gemini, url: str) -> str:
    """Ask for a URL as Gemini CLI would, and return the reply's status or what went wrong."""
    return subprocess.run(
        [NODE, "-e", FETCH, url],
        check=True,
        env=gemini.environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    ).stdout


@pytest.mark.parametrize("url", ["http://192.0.2.1/", "https://sandbox.example/"])
def test_another_machine_is_refused_and_written_down(url: str, tmp_path: Path) -> None:
    gemini = a_gemini(tmp_path)
    host = url.split("/")[2]
    assert fetched(gemini, url) == f"{host} is not on this machine\n"
    assert gemini.strangers == {host}


def test_this_machine_is_reached(model_url: str, tmp_path: Path) -> None:
    gemini = a_gemini(tmp_path)
    assert fetched(gemini, model_url) == "404\n"
    assert fetched(gemini, model_url.replace("127.0.0.1", "localhost")) == "404\n"
    assert gemini.strangers == set()
