"""A run's reports as files: a page for people, and what programs read."""

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
    """Write every report into a directory, made if need be; return the files.

    Each file is whole at any time: another run's, or this one's.

    Raises:
        OSError: something could not be written.
    """
    texts = {name: write(result) for name, write in _WRITERS.items()}
    directory.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        _replace(directory / name, text)
    return [directory / name for name in texts]


def _replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        # Half a surrogate pair has no UTF-8; so written, JSON reads it as what it was.
        new.write_text(text, encoding="utf-8", errors="backslashreplace", newline="\n")
        new.replace(path)
    finally:
        new.unlink(missing_ok=True)
