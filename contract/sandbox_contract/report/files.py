"""Write the reports on a run into a directory."""

import os
from pathlib import Path

from sandbox_contract.result import Result

from . import html, json_report, junit

_WRITERS = {
    "report.html": html.write,
    "junit.xml": junit.write,
    "report.json": json_report.write,
}


def write_reports(result: Result, directory: Path) -> list[Path]:
    """Write every report into `directory`, which is created if missing; return the paths.

    Each file is replaced atomically: a reader sees the previous report or the new one.

    Raises:
        OSError: a file or the directory could not be written.
    """
    texts = {name: write(result) for name, write in _WRITERS.items()}
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _replace(directory / name, text)
    return [directory / name for name in texts]


def _replace(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # UTF-8 cannot encode a lone surrogate; backslashreplace writes the escape that JSON uses.
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
