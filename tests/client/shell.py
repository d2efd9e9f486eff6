"""The shell that runs the scripts for a sandbox, on this machine."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def run(here: Path, command: str) -> str:
    """Run a command line of a sandbox with the usual tools in the directory `here`."""
    return subprocess.run(
        ["bash", "-c", command],
        cwd=here,
        env={"PATH": "/usr/bin:/bin", "HOME": str(here)},
        capture_output=True,
        text=True,
        timeout=20,
        check=True,
    ).stdout
