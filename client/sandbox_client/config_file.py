"""Read and update the JSON file with the configuration; `config` validates the values in it.

An update replaces the file atomically and keeps unknown members. The file is readable by its owner
only at every moment, and no error message contains the API key.
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
    """The content of the file at `path`, and its permission bits; `mode` is None without a file."""

    path: Path
    content: Mapping[str, object] = field(default_factory=dict[str, object], repr=False)
    mode: int | None = None

    def access_warning(self) -> str:
        """Return a warning if other users can read or change the key; otherwise empty."""
        access = describe_access(self.mode or 0)
        if not access or not self.content.get("apiKey"):
            return ""
        place = printable_path(self.path)
        return f"{place} holds apiKey and has mode {self.mode:04o}: {access}. {chmod_advice(place)}"


def read_config_file(path: Path, *, optional: bool) -> ConfigFile:
    """Read the file; if it is missing and `optional`, its content is empty.

    Raises:
        ConfigError: the file is missing, cannot be read, or does not hold a JSON object.
    """
    place = printable_path(path)
    try:
        mode = _file_mode(path)
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if optional:
            return ConfigFile(path)
        raise _file_missing(place) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a path"
        raise ConfigError(
            f"{place} cannot be read: {reason}",
            advice=f"Make it readable by you only: chmod 600 {place}",
        ) from exc
    return ConfigFile(path, _parse(place, raw), mode)


def describe_access(mode: int) -> str:
    """Describe the access of other users by permission bits; empty if they have none."""
    rights = (("read", _READ_BY_OTHERS), ("change", _WRITE_BY_OTHERS))
    allowed = [verb for verb, bits in rights if mode & bits]
    return f"others on this machine can {' and '.join(allowed)} it" if allowed else ""


def chmod_advice(place: str) -> str:
    """Return the advice to make a file private to its owner."""
    return f"Make it private: chmod 600 {place}"


def update_config_file(path: Path, changes: Mapping[str, object]) -> None:
    """Set `changes` in the file, with mode 0600; other members and their order stay.

    If `path` is a symbolic link, its target is written.

    Raises:
        ConfigError: the file does not hold a JSON object, or cannot be written.
    """
    content = {**read_config_file(path, optional=True).content, **changes}
    try:
        target = path.resolve()
        _make_directory(target.parent)
        _replace_file(target, _encode(content))
    except OSError as exc:
        raise _cannot_be_written(path, exc.strerror) from exc


def check_writable(path: Path) -> None:
    """Check that `update_config_file` can write to `path`, before a user enters anything.

    Raises:
        ConfigError: it cannot.
    """
    directory = path.resolve().parent
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    if not directory.is_dir():
        raise _cannot_be_written(path, f"{printable_path(directory)} is not a directory")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise _cannot_be_written(path, f"no write permission in {printable_path(directory)}")


def printable_path(path: Path) -> str:
    """Return the path in printable characters, or a description if it looks like an API key."""
    if KEY_PREFIX in str(path):
        return "the file in REMOTE_SANDBOX_CONFIG, whose name looks like a key,"
    return str(path).encode(errors="backslashreplace").decode()


def describe_value(value: object) -> str:
    """Describe a value by its type and size; the value itself may be a secret."""
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


def _file_mode(path: Path) -> int:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        # Reading a pipe or a device could block the server forever.
        raise ConfigError(
            f"{printable_path(path)} is not a file",
            advice="Name a JSON file in REMOTE_SANDBOX_CONFIG.",
        )
    return stat.S_IMODE(status.st_mode)


def _file_missing(place: str) -> ConfigError:
    return ConfigError(
        f"No configuration: {place} does not exist",
        advice="Run `remote-sandbox login` in a terminal (in the extension's directory it is"
        " `sh client/launch remote-sandbox login`): it asks for proxyUrl and apiKey, which the"
        " proxy's administrator gives you, and writes the file. Or copy config.template.json there,"
        " edit it, and `chmod 600` it. Or set REMOTE_SANDBOX_PROXY_URL and REMOTE_SANDBOX_API_KEY."
        " Without a proxy, `make fake` in the clone starts one on this machine and says how to get"
        " a key.",
    )


def _cannot_be_written(path: Path, reason: str | None) -> ConfigError:
    return ConfigError(
        f"{printable_path(path)} cannot be written: {reason or 'no reason given'}",
        advice="Make its directory writable, or name another file in REMOTE_SANDBOX_CONFIG.",
    ).but(cause="the permissions or the disk of this machine.")


def _parse(place: str, raw: bytes) -> dict[str, object]:
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{place} is larger than {MAX_FILE_BYTES} bytes",
            advice="A configuration is a small JSON object: see config.template.json.",
        )
    advice = (
        "Correct it: config.template.json is an example. Or move it away, and"
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
        # Not in the except clauses: the exceptions hold the whole text, and so the key.
        raise ConfigError(f"{place} {problem}", advice=advice)
    if not isinstance(content, dict):
        problem = f"holds {describe_value(content)}, not a JSON object"
        raise ConfigError(f"{place} {problem}", advice=advice)
    return cast("dict[str, object]", content)


def _encode(content: Mapping[str, object]) -> bytes:
    try:
        return json.dumps(content, indent=2, ensure_ascii=False).encode() + b"\n"
    except UnicodeEncodeError:  # a lone surrogate: valid in JSON as an escape, not in UTF-8
        return json.dumps(content, indent=2).encode() + b"\n"


def _make_directory(directory: Path) -> None:
    """Create a directory and its missing parents, each with mode 0700."""
    if not directory.exists():
        _make_directory(directory.parent)
        directory.mkdir(mode=0o700, exist_ok=True)


def _replace_file(target: Path, data: bytes) -> None:
    """Write `data` to a temporary file with mode 0600, and rename it to `target`."""
    import tempfile

    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
