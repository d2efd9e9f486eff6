"""The installed distribution: the command that installs missing packages."""

import shlex
import sys
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]  # the repository, if the package runs from a clone


def install_command(extra: str, root: Path = _ROOT) -> str:
    """Return the shell command that installs the packages of an extra.

    The distribution is on no package index, so it is installed from a clone: from `root`, if that
    is one.
    """
    if not (root / "pyproject.toml").is_file():
        return f"pip install '/path/to/the/clone[{extra}]'"
    if Path(sys.prefix) == root / ".venv":  # created by uv, possibly without pip
        return f"sh {shlex.quote(str(root / 'client' / 'launch'))} --extras {extra}"
    return f"pip install {shlex.quote(f'{root}[{extra}]')}"
