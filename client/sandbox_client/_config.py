"""The configuration: one frozen `Config` from one `load(environ)`.

Nobody else reads the environment or the file. No message holds the key, only its shape.
"""

from __future__ import annotations

import json
import os
import pwd
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from ._errors import ConfigError, counted, kind_of
from ._wire import KEY_PREFIX

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PATH = "~/.config/gemini-remote-sandbox/config.json"
DEFAULT_PORT = 8888
MAX_FILE_BYTES = 1024 * 1024

VARIABLES = {
    "proxyUrl": "REMOTE_SANDBOX_PROXY_URL",
    "apiKey": "REMOTE_SANDBOX_API_KEY",
    "defaultImage": "REMOTE_SANDBOX_DEFAULT_IMAGE",
    "defaultPort": "REMOTE_SANDBOX_DEFAULT_PORT",
}
_KEY_ADVICE = (
    "Ask the proxy's administrator for a user's API key (sk_live_ and 32 characters), and put it"
    " there."
)


@dataclass(frozen=True)
class Config:
    """Where the proxy is and who asks: `proxy_url` has no trailing slash and may have a path.

    `certificates` is a file of authorities that are trusted beside the machine's own.
    """

    proxy_url: str
    api_key: str = field(repr=False)
    default_image: str | None = None
    default_port: int = DEFAULT_PORT
    certificates: str | None = None


@dataclass(frozen=True)
class _Setting:
    """A value and the words for where it comes from."""

    name: str
    value: object
    place: str

    def fail(self, problem: str, advice: str) -> ConfigError:
        return ConfigError(f"{self.name} {problem} {self.place}", advice=advice)


def load(environ: Mapping[str, str]) -> Config:
    """Return the configuration from the file and the variables, which win over it.

    Raises:
        ConfigError: it names the file or variable, the field, the value's shape and the fix.
    """
    path = config_path(environ)
    named = bool(environ.get("REMOTE_SANDBOX_CONFIG", "").strip())
    variables = {name: environ.get(variable, "").strip() for name, variable in VARIABLES.items()}
    complete = bool(variables["proxyUrl"] and variables["apiKey"])
    content = _read(path, optional=complete and not named)

    def setting(name: str) -> _Setting:
        if variables[name]:
            return _Setting(name, variables[name], f"in the environment variable {VARIABLES[name]}")
        return _Setting(name, content.get(name), f"in {_place(path)}")

    return Config(
        proxy_url=_proxy_url(_required(setting("proxyUrl"), content)),
        api_key=_api_key(_required(setting("apiKey"), content)),
        default_image=_text(setting("defaultImage"), "an image's name") or None,
        default_port=_port(setting("defaultPort")),
        certificates=environ.get("SSL_CERT_FILE", "").strip() or None,
    )


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the file that `load` reads, whether it exists or not."""
    named = environ.get("REMOTE_SANDBOX_CONFIG", "").strip()
    path = named or DEFAULT_PATH
    # Not expanduser(): it would look at another environment than the one that was passed in.
    return Path(_home(environ), path[2:]) if path.startswith("~/") else Path(path)


def _home(environ: Mapping[str, str]) -> str:
    if "HOME" in environ:
        return environ["HOME"].strip() or "/"
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container may run as somebody whom it does not know
        return "/"


def _place(path: Path) -> str:
    """Return the path in printable words; a key that was put in its place is still a key."""
    if KEY_PREFIX in str(path):
        return "the file in REMOTE_SANDBOX_CONFIG, whose name looks like a key,"
    return str(path).encode(errors="backslashreplace").decode()


def _read(path: Path, *, optional: bool) -> dict[str, object]:
    place = _place(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            # A pipe or a device would be waited for, and the server would hang.
            raise ConfigError(
                f"{place} is not a file", advice="Name a JSON file in REMOTE_SANDBOX_CONFIG."
            )
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        if optional:
            return {}
        raise _missing(place) from None
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not a path"
        raise ConfigError(
            f"{place} cannot be read: {reason}",
            advice=f"Make it readable for you and nobody else: chmod 600 {place}",
        ) from exc
    content = _parse(place, raw)
    mode = stat.S_IMODE(status.st_mode)
    if content.get("apiKey") and mode & 0o077:
        raise ConfigError(
            f"{place} holds apiKey and has mode {mode:04o}:"
            " others on this machine can read the key",
            advice=f"Keep it to yourself: chmod 600 {place}",
        )
    return content


def _missing(place: str) -> ConfigError:
    return ConfigError(
        f"No configuration: {place} does not exist",
        advice=f'Create {place} with {{"proxyUrl": "https://your-proxy", "apiKey": "sk_live_…"}}'
        " and `chmod 600` it (config.template.json is a start), or set REMOTE_SANDBOX_PROXY_URL"
        " and REMOTE_SANDBOX_API_KEY. The proxy's administrator gives you both values; without a"
        " proxy, `make fake` in the clone starts one on this machine and says how to get a key.",
    )


def _parse(place: str, raw: bytes) -> dict[str, object]:
    if len(raw) > MAX_FILE_BYTES:
        raise ConfigError(
            f"{place} is larger than {MAX_FILE_BYTES} bytes",
            advice="A configuration is a small JSON object, as in config.template.json.",
        )
    advice = "Correct it there; config.template.json shows the form."
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
        raise ConfigError(f"{place} holds {_shape(content)}, not a JSON object", advice=advice)
    return cast("dict[str, object]", content)


def _required(setting: _Setting, content: Mapping[str, object]) -> _Setting:
    if setting.value is None or (isinstance(setting.value, str) and not setting.value.strip()):
        near = [
            name
            for name in content
            if name != setting.name and name.lower() == setting.name.lower()
        ]
        spelled = f" (there is {near[0]!r}: names are case-sensitive)" if near else ""
        raise ConfigError(
            f"{setting.name} is required {setting.place}{spelled}",
            advice=f"Add it there, or set {VARIABLES[setting.name]}."
            " config.template.json shows the form.",
        )
    return setting


def _text(setting: _Setting, expected: str) -> str:
    if setting.value is None:
        return ""
    if not isinstance(setting.value, str):
        raise setting.fail(f"is {_shape(setting.value)}", f"Make it a string: {expected}.")
    text = setting.value.strip()
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise setting.fail("holds characters that cannot be sent", f"Make it {expected}.")
    return text


def _proxy_url(setting: _Setting) -> str:
    advice = 'Write it like "https://proxy.example.com" or "http://127.0.0.1:8080/prefix".'
    url = _text(setting, 'a URL such as "http://127.0.0.1:8080"')
    if not url.isascii() or " " in url:
        raise setting.fail("holds a space or a character outside ASCII", advice)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # Without the parser's words, which quote parts of what may be a password.
        raise setting.fail("is not a URL: its host or port cannot be read", advice) from None
    if parts.username is not None or parts.password is not None:
        # Its value stays out of the message: it may be a password.
        raise setting.fail("holds a user name or password, which would be sent", advice)
    if parts.scheme not in {"http", "https"} or not host:
        # A key that was put into the wrong field is still a key.
        shown = "a key" if KEY_PREFIX in url or "@" in url else repr(url)
        raise setting.fail(f"has value {shown}, without http:// or https:// and a host,", advice)
    if KEY_PREFIX in url.lower():
        raise setting.fail("holds what looks like an API key", "Put the key into apiKey.")
    if parts.query or parts.fragment:
        raise setting.fail("has a query or fragment, which a path cannot follow,", advice)
    return url.rstrip("/")


def _api_key(setting: _Setting) -> str:
    key = _text(setting, "a user's API key")
    if "YOUR_API_KEY" in key.upper():
        raise setting.fail("is still the placeholder of config.template.json", _KEY_ADVICE)
    if not key.startswith(KEY_PREFIX):
        raise setting.fail(
            f"has {counted(len(key), 'character')} and does not start with {KEY_PREFIX}: it looks"
            " like the admin key or another secret, not a user's API key,",
            _KEY_ADVICE + " An admin key stays with the administrator.",
        )
    if not key.isascii() or " " in key:
        raise setting.fail("holds a space or a character outside ASCII", _KEY_ADVICE)
    return key


def _port(setting: _Setting) -> int:
    value = setting.value
    if value is None or (isinstance(value, str) and not value.strip()):
        return DEFAULT_PORT
    if isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) <= 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        shape = _shape(value)
        shape += " out of range" if shape == "a number" else ""
        raise setting.fail(f"is {shape}", "Make it a whole number from 1 to 65535.")
    return value


def _shape(value: object) -> str:
    """Return the words for a value's type and size, never the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case float():
            return "a fraction"
        case str():
            return f"a string of {counted(len(value), 'character')}"
        case _:
            return kind_of(value)
