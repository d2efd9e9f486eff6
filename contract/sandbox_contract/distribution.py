"""The installed distribution: its version, and the command that installs what it lacks."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as version_of
from pathlib import Path

_NAME = "async-remote-agent"
_ROOT = Path(__file__).resolve().parents[2]  # of the clone, where this is one


def version() -> str:
    """Return the version of the suite."""
    try:
        return version_of(_NAME)
    except PackageNotFoundError:
        return "unknown"


def install_command(extra: str, root: Path = _ROOT) -> str:
    """Return a shell command that installs the packages of an extra.

    No package index has this distribution, so it is installed from a clone: from `root` if that is
    one.
    """
    if not (root / "pyproject.toml").is_file():
        return f"pip install '/path/to/the/clone[{extra}]'"
    if Path(sys.prefix) == root / ".venv":  # which uv may have made, without pip
        return f"sh {shlex.quote(str(root / 'client' / 'launch'))} --extras {extra}"
    return f"pip install {shlex.quote(f'{root}[{extra}]')}"
