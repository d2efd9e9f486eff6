"""The repository of the demo: a failing test, and a script that stands in for a coding agent."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

FILES: Final = {
    ".gitignore": "__pycache__/\n",
    "price.py": "def total(prices):\n    return sum(prices[1:])\n",
    "test_price.py": (
        "import unittest\n\nfrom price import total\n\n\n"
        "class TotalTest(unittest.TestCase):\n"
        "    def test_all_prices_count(self):\n"
        "        self.assertEqual(total([1, 2]), 3)\n"
    ),
}
# What a real agent would do by itself: an edit, a commit, and a file that it does not commit.
AGENT_COMMAND: Final = (
    "sleep 1 && sed -i.old 's/prices\\[1:\\]/prices/' price.py && rm price.py.old"
    " && git commit -qam 'Count the first price, too'"
    " && echo 'total() left out the first price.' > FIX.md"
    " && echo Done: {prompt}"
)
MAKE: Final = "git init price-list; …; git commit -m 'A price list'; python3 -m unittest"
MERGE: Final = "git merge sandbox/my-sandbox; python3 -m unittest"
DEADLINE: Final = 60.0  # seconds


def make_repository(directory: Path) -> str:
    """Make the repository with one commit, and return the result of its test."""
    directory.mkdir()
    for name, content in FILES.items():
        (directory / name).write_text(content)
    _git(directory, "init", "--quiet")
    _git(directory, "symbolic-ref", "HEAD", "refs/heads/main")
    _git(directory, "add", ".")
    _git(directory, "commit", "--quiet", "--message=A price list")
    return run_test(directory)


def merge(directory: Path, branch: str) -> str:
    """Merge a branch, and return the result of the test."""
    _git(directory, "merge", "--quiet", branch)
    return run_test(directory)


def run_test(directory: Path) -> str:
    """Return the last line that unittest prints: OK, or the number of failures."""
    result = subprocess.run(
        [sys.executable, "-m", "unittest"],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    return result.stderr.strip().rpartition("\n")[2]


def _git(directory: Path, *words: str) -> None:
    """Run git with an identity of its own, without hooks and signatures of the person's."""
    settings = (
        *("user.name=Ada", "user.email=ada@example.com"),
        *("commit.gpgSign=false", "core.hooksPath=/dev/null"),
    )
    options = [word for setting in settings for word in ("-c", setting)]
    subprocess.run(
        ["git", *options, *words],  # noqa: S607  # the git that the person uses
        cwd=directory,
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
