"""Load the configuration from the environment and the configuration file.

No other module reads either of them. A message never holds the key, only its shape.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sandbox_client.text import KEY_PREFIX, pluralize

from . import config_file as _config_file
from .config_file import place_of, shape_of
from .errors import ConfigError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .config_file import ConfigFile

DEFAULT_PATH = "~/.config/gemini-remote-sandbox/config.json"
DEFAULT_PORT = 8888
PLACEHOLDER = "{prompt}"
DEFAULT_AGENT_COMMAND = f"cd /sandbox && gemini -y -p {PLACEHOLDER}"

VARIABLES = {
    "proxyUrl": "REMOTE_SANDBOX_PROXY_URL",
    "apiKey": "REMOTE_SANDBOX_API_KEY",
    "defaultImage": "REMOTE_SANDBOX_DEFAULT_IMAGE",
    "defaultPort": "REMOTE_SANDBOX_DEFAULT_PORT",
    "agentCommand": "REMOTE_SANDBOX_AGENT_COMMAND",
}
CONFIG_VARIABLE = "REMOTE_SANDBOX_CONFIG"
CERTIFICATES_VARIABLE = "SSL_CERT_FILE"
_REFERENCE = re.compile(r"\$\{[^{}]*\}")
_KEY_ADVICE = (
    "Ask the proxy's administrator for a user's API key (sk_live_ and 32 characters), and give it"
    " to `remote-sandbox login`, which checks it and writes it."
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
    agent_command: str = DEFAULT_AGENT_COMMAND
    certificates: str | None = None

    @property
    def is_in_clear(self) -> bool:
        """Whether the key travels over a network where others can read it."""
        parts = urlsplit(self.proxy_url)
        return parts.scheme == "http" and not _is_this_machine(parts.hostname or "")


@dataclass(frozen=True)
class _Setting:
    """A value and the words for where it comes from."""

    name: str
    value: object
    place: str

    def fail(self, problem: str, advice: str) -> ConfigError:
        return ConfigError(f"{self.name} {problem} {self.place}", advice=advice)


def _ignore(_: str) -> None:
    """Discard a warning."""


def load(environ: Mapping[str, str], *, warn: Callable[[str], None] = _ignore) -> Config:
    """Return the configuration from the file and the variables, which win over it.

    `warn` is called with a sentence if other users of this machine have access to the key.

    Raises:
        ConfigError: it names the file or variable, the field, the value's shape and the fix.
    """
    file = read_file(environ)
    config = resolve(environ, file)
    if warning := file.warning():
        warn(f"Warning: {warning}")
    return config


def read_file(environ: Mapping[str, str]) -> ConfigFile:
    """Return the file; it may be missing where the variables are enough and none is named.

    Raises:
        ConfigError: it cannot be read, or is no JSON object.
    """
    named = bool(_variable(environ, CONFIG_VARIABLE))
    complete = {"proxyUrl", "apiKey"} <= winning(environ).keys()
    return _config_file.read(config_path(environ), optional=complete and not named)


def resolve(environ: Mapping[str, str], file: ConfigFile) -> Config:
    """Return the configuration of this file and the variables.

    Raises:
        ConfigError: a value is missing or cannot be used.
    """
    setting = partial(_setting, environ, file)
    return Config(
        proxy_url=_proxy_url(_required(setting("proxyUrl"), file.content)),
        api_key=_api_key(_required(setting("apiKey"), file.content)),
        default_image=_text(setting("defaultImage"), "an image's name") or None,
        default_port=_port(setting("defaultPort")),
        # Looked at when an agent is run: whoever runs none need not be stopped by it.
        agent_command=_text(setting("agentCommand"), "a command line") or DEFAULT_AGENT_COMMAND,
        certificates=_certificates(environ),
    )


def given(environ: Mapping[str, str], url: str, key: str = "") -> Config:
    """Return the configuration of a URL and a user's key as somebody gives them.

    Without a key, none is sent.

    Raises:
        InvalidInput: one of them cannot be used.
    """
    place = "as given"
    try:
        return Config(
            proxy_url=_proxy_url(_Setting("The URL", url, place)),
            api_key=_api_key(_Setting("The key", key, place)) if key else "",
            certificates=_certificates(environ),
        )
    except ConfigError as error:
        raise InvalidInput(error.message, advice=error.advice) from None


def winning(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the variables that win over the file, by the name of the field."""
    return {name: variable for name, variable in VARIABLES.items() if _variable(environ, variable)}


def known_url(environ: Mapping[str, str], file: ConfigFile) -> str:
    """Return the URL that is configured already; empty where there is none that can be used."""
    try:
        return _proxy_url(_setting(environ, file, "proxyUrl"))
    except ConfigError:
        return ""


def _setting(environ: Mapping[str, str], file: ConfigFile, name: str) -> _Setting:
    value = _variable(environ, VARIABLES[name])
    if value:
        return _Setting(name, value, f"in the environment variable {VARIABLES[name]}")
    return _Setting(name, file.content.get(name), f"in {place_of(file.path)}")


def _variable(environ: Mapping[str, str], name: str) -> str:
    """Return the value of a variable; empty if it is unset, blank or an unexpanded reference.

    Some MCP hosts pass an unset variable as `${NAME}` or `${user_config.name}`.
    """
    value = environ.get(name, "").strip()
    return "" if _REFERENCE.fullmatch(value) else value


def _certificates(environ: Mapping[str, str]) -> str | None:
    return _variable(environ, CERTIFICATES_VARIABLE) or None


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the file that `load` reads, whether it exists or not."""
    path = _variable(environ, CONFIG_VARIABLE) or DEFAULT_PATH
    # Not expanduser(): it would look at another environment than the one that was passed in.
    return Path(_home(environ), path[2:]) if path.startswith("~/") else Path(path)


def _home(environ: Mapping[str, str]) -> str:
    if "HOME" in environ:
        return environ["HOME"].strip() or "/"
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container may run as somebody whom it does not know
        return "/"


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
            advice=f"Add it there, or set {VARIABLES[setting.name]}; config.template.json shows the"
            " form. `remote-sandbox login` asks for it and writes it.",
        )
    return setting


def _text(setting: _Setting, expected: str) -> str:
    if setting.value is None:
        return ""
    if not isinstance(setting.value, str):
        raise setting.fail(f"is {shape_of(setting.value)}", f"Make it a string: {expected}.")
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
            f"has {pluralize(len(key), 'character')} and does not start with {KEY_PREFIX}: it looks"
            " like the admin key or another secret, not a user's API key,",
            f"{_KEY_ADVICE} An admin key stays with the administrator:"
            " `remote-sandbox login --admin` makes a user's key with it, and does not keep it.",
        )
    if not key.isascii() or " " in key:
        raise setting.fail("holds a space or a character outside ASCII", _KEY_ADVICE)
    return key


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _port(setting: _Setting) -> int:
    value = setting.value
    if value is None or (isinstance(value, str) and not value.strip()):
        return DEFAULT_PORT
    if isinstance(value, str) and value.strip().isdecimal() and len(value.strip()) <= 5:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 65535:
        shape = shape_of(value)
        shape += " out of range" if shape == "a number" else ""
        raise setting.fail(f"is {shape}", "Make it a whole number from 1 to 65535.")
    return value
