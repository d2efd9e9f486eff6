"""The installed distribution: its version, and the command that installs its extras."""

import shlex
import sys
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path

_NAME = "async-remote-agent"
_ROOT = Path(__file__).resolve().parents[2]  # of the clone, if this is in one


def version() -> str:
    """Return the version of the suite, or `unknown` if it is not installed."""
    try:
        return installed_version(_NAME)
    except PackageNotFoundError:
        return "unknown"


def install_command(extra: str, root: Path = _ROOT) -> str:
    """Return a shell command that installs the packages of an extra.

    No package index has this distribution, so the command installs it from a clone: from `root` if
    that is one.
    """
    if not (root / "pyproject.toml").is_file():
        return f"pip install '/path/to/the/clone[{extra}]'"
    if Path(sys.prefix) == root / ".venv":  # uv may have created it without pip
        return f"sh {shlex.quote(str(root / 'client' / 'launch'))} --extras {extra}"
    return f"pip install {shlex.quote(f'{root}[{extra}]')}"
