"""The programs of docs/python.md print what the page says, and pass the type checker."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.integration.programs import DEADLINE, clean_environment
from tools.manifest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PAGE = (ROOT / "docs" / "python.md").read_text()
PROGRAMS: list[tuple[str, str]] = re.findall(
    r"^```python\n(.*?)^```\n+```text\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL
)


def test_each_program_of_the_page_is_followed_by_its_output() -> None:
    assert len(PROGRAMS) == PAGE.count("```python\n") >= 6


def test_the_programs_print_what_the_page_says(home: Path) -> None:
    for program, output in PROGRAMS:
        result = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            cwd=home,
            env=clean_environment(home),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        assert (result.stdout, result.stderr) == (output, ""), program


def test_the_programs_pass_the_type_checker(tmp_path: Path) -> None:
    for number, (program, _) in enumerate(PROGRAMS):
        (tmp_path / f"program{number}.py").write_text(program)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", str(tmp_path)],
        cwd=tmp_path,
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
