"""Where the machine allows it, commands see their directories under the names of the runtime.

With bubblewrap: /sandbox, /home/gem and /tmp are the sandbox's own, and the rest of the machine
is there to read. Processes stay the machine's, as one session must see what another has started.
It is about names, and still no jail.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sandbox_fakeproxy._runtime.place import HOME, SCRATCH, WORK, Place

CHANNELS = "/.channels"
_PATIENCE = 5.0  # seconds for the probe
_OWN = {WORK, SCRATCH, "/dev", "/proc", "/home", CHANNELS}

Choice = Literal["auto", "bubblewrap", "none"]


class IsolationUnavailable(Exception):
    """The isolation that was asked for does not work on this machine."""


@dataclass(frozen=True, slots=True)
class Isolation:
    """How the commands of a place are isolated, and how to say so when the fake starts."""

    wrapper: Callable[[Place], Sequence[str]] | None
    sentence: str


_NONE = Isolation(None, "run as you, on this machine, each sandbox in its own directory")


def isolation(choice: Choice) -> Isolation:
    """Return what was chosen; `auto` is bubblewrap where that works.

    Raises:
        IsolationUnavailable: bubblewrap was chosen and does not work.
    """
    if choice == "none":
        return _NONE
    try:
        return _bubblewrap()
    except IsolationUnavailable:
        if choice == "auto":
            return _NONE
        raise


def _bubblewrap() -> Isolation:
    program = shutil.which("bwrap")
    if program is None:
        raise IsolationUnavailable(
            "Isolation 'bubblewrap' needs the program bwrap, which is not on the PATH."
            " Install bubblewrap, or choose auto or none."
        )

    def wrapper(place: Place) -> Sequence[str]:
        return [program, *_arguments(place)]

    _probe(wrapper)
    return Isolation(
        wrapper,
        "run as you, on this machine, with a /sandbox and /home/gem of their own",
    )


def _arguments(place: Place) -> list[str]:
    arguments = ["--die-with-parent", "--new-session"]
    for path in [
        *Path("/").iterdir(),
        *(Path("/home").iterdir() if Path("/home").is_dir() else ()),
    ]:
        arguments += _read_only(path)
    for name, directory in ((WORK, place.work), (HOME, place.home), (SCRATCH, place.scratch)):
        arguments += ["--bind", str(directory), name]
    arguments += ["--ro-bind", str(place.channels), CHANNELS]
    # The terminal is one of the machine's; and a /proc of its own needs processes of its own.
    arguments += ["--dev-bind", "/dev", "/dev", "--bind", "/proc", "/proc"]
    return [*arguments, "--chdir", WORK, "--"]


def _read_only(path: Path) -> list[str]:
    if str(path) in {*_OWN, HOME}:
        return []
    if path.is_symlink():
        return ["--symlink", os.readlink(path), str(path)]  # noqa: PTH115  (verbatim)
    return ["--ro-bind-try", str(path), str(path)]


def _probe(wrapper: Callable[[Place], Sequence[str]]) -> None:
    with tempfile.TemporaryDirectory(prefix="sandbox-fakeproxy-") as directory:
        place = Place(Path(directory).resolve())
        place.make()
        try:
            subprocess.run(  # noqa: S603  (a program of the machine's own)
                [*wrapper(place), "/bin/sh", "-c", "test -w . && test -r /proc/self/stat"],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE,
                check=True,
            )
        except (OSError, subprocess.SubprocessError) as exc:
            said = str(getattr(exc, "stderr", None) or exc).strip()
            raise IsolationUnavailable(
                f"Isolation 'bubblewrap' does not work on this machine: {said}."
                " Choose auto or none."
            ) from exc
