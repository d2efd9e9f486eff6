"""The links in all pages have targets, and the commands in docs/ exist."""

from __future__ import annotations

import re
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING

import pytest

from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(ROOT / package / "README.md" for package in ("client", "contract", "fakeproxy")),
]
DOCS = PAGES[1:-3]
PROGRAMS = {
    "remote-sandbox": "sandbox_client",
    "sandbox-contract": "sandbox_contract",
    "sandbox-fakeproxy": "sandbox_fakeproxy",
}


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub generates from the headings of a page."""
    without_code = re.sub(r"^ *```.*?^ *```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=[str(page.relative_to(ROOT)) for page in PAGES])
def test_every_link_has_a_target(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        path, _, anchor = link.partition("#")
        if "://" in path:
            continue
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@cache
def help_of(program: str, verb: str) -> str:
    """Return the help of a program's command; an unknown command raises CalledProcessError."""
    return subprocess.run(
        [sys.executable, "-m", PROGRAMS[program], verb, "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("page", DOCS, ids=[page.name for page in DOCS])
def test_every_inline_command_exists_with_its_options(page: Path) -> None:
    named = re.findall(rf"`({'|'.join(PROGRAMS)}) ([a-z]+)([^`]*)`", page.read_text())
    assert named
    for program, verb, rest in named:
        options = set(re.findall(r"(?<=\s)--?[a-z][a-z-]*", rest))
        assert options <= set(re.findall(r"--?[a-z][a-z-]*", help_of(program, verb))), rest
