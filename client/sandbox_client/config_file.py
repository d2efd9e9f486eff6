"""The configuration's file: read as a whole, and changed in one step that keeps what is in it.

No message holds the key, and no other user of the machine can read the file at any time.
"""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sandbox_client.text import KEY_PREFIX, kind_of, pluralize

from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_FILE_BYTES = 1024 * 1024
_READ_BY_OTHERS = 0o044
_WRITE_BY_OTHERS = 0o022


@dataclass(frozen=True)
class ConfigFile:
    """What stands in the file at `path`, and its mode; None where there is no file."""

    path: Path
    content: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    mode: int | None = None

    def warning(self) -> str:
        """Return the warning that others have access to the key; empty if they have not."""
        access = access_of_others(self.mode or 0)
        if not access or not self.content.get("apiKey"):
            return ""
        place = place_of(self.path)
        return (
            f"{place} holds apiKey and has mode {self.mode:04o}: {access}. {private_advice(place)}"
        )


def read(path: Path, *, optional: bool) -> ConfigFile:
    """Return what the file holds.

    Raises:
        ConfigError: it is not there and not `optional`, or it is not a JSON object.
    """
    place = place_of(path)
    try:
        mode = _mode(path)
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if optional:
            return ConfigFile(path)
        raise _missing(place) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a path"
        raise ConfigError(
            f"{place} cannot be read: {reason}",
            advice=f"Make it readable for you alone: chmod 600 {place}",
        ) from exc
    return ConfigFile(path, _parse(place, raw), mode)


def access_of_others(mode: int) -> str:
    """Return what the bits of `mode` let other users do; empty if they let them do nothing."""
    rights = (("read", _READ_BY_OTHERS), ("change", _WRITE_BY_OTHERS))
    allowed = [verb for verb, bits in rights if mode & bits]
    return f"others on this machine can {' and '.join(allowed)} it" if allowed else ""


def private_advice(place: str) -> str:
    """Return the advice that makes a file private."""
    return f"Keep it to yourself: chmod 600 {place}"


def write(path: Path, changes: Mapping[str, object]) -> None:
    """Put `changes` into the file, with mode 0600, and keep what else is in it in its order.

    A link stays one: what it leads to is written.

    Raises:
        ConfigError: what is there is not a JSON object, or the file cannot be written.
    """
    content = {**read(path, optional=True).content, **changes}
    try:
        target = path.resolve()
        _make_folder(target.parent)
        _replace(target, _text(content))
    except OSError as exc:
        raise _unwritable(path, exc.strerror) from exc


def check_writable(path: Path) -> None:
    """Refuse a place that `write` could not write to.

    Raises:
        ConfigError: it is such a place.
    """
    folder = path.resolve().parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise _unwritable(path, f"{place_of(folder)} is not a folder")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise _unwritable(path, f"nothing can be made in {place_of(folder)}")


def place_of(path: Path) -> str:
    """Return the path in printable words; a key that was put in its place is still a key."""
    if KEY_PREFIX in str(path):
        return "the file in REMOTE_SANDBOX_CONFIG, whose name looks like a key,"
    return str(path).encode(errors="backslashreplace").decode()


def shape_of(value: object) -> str:
    """Return the words for a value's type and size, never the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return "a fraction"
        case str():
            return f"a string of {pluralize(len(value), 'character')}"
        case _:
            return kind_of(value)


def _mode(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # A pipe or a device would be waited for, and the server would hang.
        raise ConfigError(
            f"{place_of(path)} is not a file", advice="Name a JSON file in REMOTE_SANDBOX_CONFIG."
        )
    return stat.S_IMODE(status.st_mode)


def _missing(place: str) -> ConfigError:
    return ConfigError(
        f"No configuration: {place} does not exist",
        advice="Run `remote-sandbox login` in a terminal (in the extension's folder it is"
        " `sh client/launch remote-sandbox login`): it asks for proxyUrl and apiKey, which the"
        " proxy's administrator gives you, and writes the file. By hand, config.template.json shows"
        " the form; `chmod 600` it. Or set REMOTE_SANDBOX_PROXY_URL and REMOTE_SANDBOX_API_KEY."
        " Without a proxy, `make fake` in the clone starts one on this machine and says how to get"
        " a key.",
    )


def _unwritable(path: Path, reason: str | None) -> ConfigError:
    return ConfigError(
        f"{place_of(path)} cannot be written: {reason or 'no reason given'}",
        advice="Make its folder writable for you, or name another file in REMOTE_SANDBOX_CONFIG.",
    )


def _parse(place: str, raw: bytes) -> dict[str, object]:
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{place} is larger than {MAX_FILE_BYTES} bytes",
            advice="A configuration is a small JSON object, as in config.template.json.",
        )
    advice = (
        "Correct it there: config.template.json shows the form. Or move it away, and"
        " `remote-sandbox login` writes a new one."
    )
    content: object = None
    try:
        content = json.loads(raw.decode("utf-8-sig"))
        problem = ""
    except UnicodeDecodeError as exc:
        problem = f"is not UTF-8 text (byte {exc.start})"
    except json.JSONDecodeError as exc:
        problem = f"is not JSON: {exc.msg} at line {exc.lineno}, column {exc.colno}"
    except (ValueError, RecursionError):
        problem = "is not JSON that can be read"
    if problem:
        # Out here, away from the exceptions: they hold the whole text, and so the key.
        raise ConfigError(f"{place} {problem}", advice=advice)
    if not isinstance(content, dict):
        raise ConfigError(f"{place} holds {shape_of(content)}, not a JSON object", advice=advice)
    return cast("dict[str, object]", content)


def _text(content: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate, which JSON can spell and UTF-8 cannot
        return json.dumps(content, indent=2).encode() + b"\n"


def _make_folder(folder: Path) -> None:
    """Make a folder for its owner alone, and those above it that are missing."""
    if not folder.exists():
        _make_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


def _replace(target: Path, text: bytes) -> None:
    """Write the whole beside the file, for its owner alone, and put it in the file's place."""
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    beside = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(target)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
