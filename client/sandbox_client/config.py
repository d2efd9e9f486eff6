"""Load the configuration from the environment variables and the configuration file.

Reading and writing the file itself is in `config_file`. Error messages describe an invalid API key
by its type and length, and never contain it.
"""

from __future__ import annotations

import ipaddress
import os
import pwd
import re
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

from sandbox_client.text import KEY_PREFIX, pluralize

from .config_file import describe_value, printable_path, read_config_file
from .errors import ConfigError, InvalidInput
from .forward_proxies import unused_variables
from .masking import secrets_in

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

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
    "agentEnvironment": "REMOTE_SANDBOX_AGENT_ENVIRONMENT",
}
CONFIG_VARIABLE = "REMOTE_SANDBOX_CONFIG"
CERTIFICATES_VARIABLE = "SSL_CERT_FILE"
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_REFERENCE = re.compile(r"\$\{[^{}]*\}")
_KEY_ADVICE = (
    "Ask the proxy's administrator for a user's API key (sk_live_ and 32 characters), and run"
    " `remote-sandbox login`, which checks the key and writes it."
)


@dataclass(frozen=True)
class Config:
    """The settings of a connection: the proxy, the API key, and the defaults for new sandboxes.

    `proxy_url` has no trailing slash and may have a path. `certificates` is the path of a PEM file
    of authorities to trust in addition to the system's. `workspaces` are the directories from which
    tools may send repositories, beside the MCP client's workspace. An agent gets the variables that
    `agent_environment` names; `agent_values` has those that are set on this machine. `key_variable`
    is the environment variable that the key is from, empty if it is from the file.
    `unused_proxies` are the variables that name a forward proxy: errors name them if the host of
    `proxy_url` cannot be reached.
    """

    proxy_url: str
    api_key: str = field(repr=False)
    default_image: str | None = None
    default_port: int = DEFAULT_PORT
    agent_command: str = DEFAULT_AGENT_COMMAND
    certificates: str | None = None
    agent_environment: tuple[str, ...] = ()
    agent_values: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    workspaces: tuple[str, ...] = ()
    key_variable: str = field(default="", compare=False, repr=False)
    unused_proxies: tuple[str, ...] = field(default=(), compare=False, repr=False)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What no output may show in addition to the API key: the values that an agent gets."""
        return tuple(each for value in self.agent_values.values() for each in secrets_in(value))

    @property
    def unset_agent_variables(self) -> tuple[str, ...]:
        """The names in `agent_environment` that are not set on this machine."""
        return tuple(name for name in self.agent_environment if name not in self.agent_values)

    @property
    def is_local(self) -> bool:
        """Whether the proxy is on this machine."""
        return _is_this_machine(urlsplit(self.proxy_url).hostname or "")

    @property
    def is_in_clear(self) -> bool:
        """Whether the key is sent unencrypted to another machine."""
        return urlsplit(self.proxy_url).scheme == "http" and not self.is_local


@dataclass(frozen=True)
class _Setting:
    """A value before validation; `source` names the variable or the file in error messages."""

    name: str
    value: object
    source: str

    def config_error(self, problem: str, advice: str) -> ConfigError:
        return ConfigError(f"{self.name} {problem} {self.source}", advice=advice)


def _ignore_warning(_: str) -> None:
    """Discard a warning."""


def load_config(
    environ: Mapping[str, str], *, warn: Callable[[str], None] = _ignore_warning
) -> Config:
    """Load the configuration; environment variables override the file.

    `warn` is called with a sentence if other users of this machine can read or change the key.

    Raises:
        ConfigError: the file or a value is missing or invalid.
    """
    file = load_config_file(environ)
    config = merge_config(environ, file)
    if warning := file.access_warning():
        warn(f"Warning: {warning}")
    return config


def load_config_file(environ: Mapping[str, str]) -> ConfigFile:
    """Read the configuration file at `config_path`.

    A missing file counts as empty if REMOTE_SANDBOX_CONFIG is unset and the variables have both
    required values.

    Raises:
        ConfigError: the file is missing, cannot be read, or does not hold a JSON object.
    """
    is_named = bool(_variable(environ, CONFIG_VARIABLE))
    is_complete = {"proxyUrl", "apiKey"} <= env_overrides(environ).keys()
    return read_config_file(config_path(environ), optional=is_complete and not is_named)


def merge_config(environ: Mapping[str, str], file: ConfigFile) -> Config:
    """Build the configuration from the variables and `file`, and validate each value.

    Raises:
        ConfigError: a value is missing or invalid.
    """
    setting = partial(_setting, environ, file)
    url = _proxy_url(_required(setting("proxyUrl"), file.content))
    names = _variable_names(setting("agentEnvironment"))
    return Config(
        proxy_url=url,
        api_key=_api_key(_required(setting("apiKey"), file.content)),
        default_image=_text(setting("defaultImage"), "an image's name") or None,
        default_port=_port(setting("defaultPort")),
        # Validated when an agent is run: other commands work with an invalid template.
        agent_command=_text(setting("agentCommand"), "a command line") or DEFAULT_AGENT_COMMAND,
        agent_environment=names,
        agent_values={name: environ[name] for name in names if _variable(environ, name)},
        certificates=_certificates(environ),
        workspaces=_texts(_of_file(file, "workspaces"), "paths of directories"),
        key_variable=env_overrides(environ).get("apiKey", ""),
        unused_proxies=unused_variables(environ, url),
    )


def config_from_values(environ: Mapping[str, str], url: str, key: str = "") -> Config:
    """Build a configuration from a URL and an API key that a user entered.

    With an empty `key`, requests are sent without one.

    Raises:
        InvalidInput: the URL or the key is invalid.
    """
    source = "as given"
    try:
        proxy_url = _proxy_url(_Setting("The URL", url, source))
        return Config(
            proxy_url=proxy_url,
            api_key=_api_key(_Setting("The key", key, source)) if key else "",
            certificates=_certificates(environ),
            unused_proxies=unused_variables(environ, proxy_url),
        )
    except ConfigError as error:
        raise InvalidInput(error.message, advice=error.advice) from None


def env_overrides(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the names of the variables that override the file, by field name."""
    return {name: variable for name, variable in VARIABLES.items() if _variable(environ, variable)}


def configured_url(environ: Mapping[str, str], file: ConfigFile) -> str:
    """Return the proxy URL of the current configuration; empty if it is missing or invalid."""
    try:
        return _proxy_url(_setting(environ, file, "proxyUrl"))
    except ConfigError:
        return ""


def _setting(environ: Mapping[str, str], file: ConfigFile, name: str) -> _Setting:
    value = _variable(environ, VARIABLES[name])
    if value:
        return _Setting(name, value, f"in the environment variable {VARIABLES[name]}")
    return _of_file(file, name)


def _of_file(file: ConfigFile, name: str) -> _Setting:
    return _Setting(name, file.content.get(name), f"in {printable_path(file.path)}")


def _variable(environ: Mapping[str, str], name: str) -> str:
    """Return the value of a variable; empty if it is unset, blank or an unexpanded reference.

    Some MCP hosts pass an unset variable as `${NAME}` or `${user_config.name}`.
    """
    value = environ.get(name, "").strip()
    return "" if _REFERENCE.fullmatch(value) else value


def _certificates(environ: Mapping[str, str]) -> str | None:
    return _variable(environ, CERTIFICATES_VARIABLE) or None


def config_path(environ: Mapping[str, str]) -> Path:
    """Return the path of the configuration file; the file may not exist."""
    path = _variable(environ, CONFIG_VARIABLE) or DEFAULT_PATH
    # Not expanduser(): it reads os.environ, not `environ`.
    return Path(_home(environ), path[2:]) if path.startswith("~/") else Path(path)


def _home(environ: Mapping[str, str]) -> str:
    if "HOME" in environ:
        return environ["HOME"].strip() or "/"
    try:
        return pwd.getpwuid(os.getuid()).pw_dir
    except KeyError:  # the user of a container may have no entry in its password database
        return "/"


def _required(setting: _Setting, content: Mapping[str, object]) -> _Setting:
    if setting.value is None or (isinstance(setting.value, str) and not setting.value.strip()):
        similar = [
            name
            for name in content
            if name != setting.name and name.lower() == setting.name.lower()
        ]
        hint = f" (there is {similar[0]!r}: names are case-sensitive)" if similar else ""
        raise ConfigError(
            f"{setting.name} is required {setting.source}{hint}",
            advice=f"Add it there, or set {VARIABLES[setting.name]}; config.template.json is an"
            " example. `remote-sandbox login` asks for it and writes it.",
        )
    return setting


def _text(setting: _Setting, expected: str) -> str:
    if setting.value is None:
        return ""
    if not isinstance(setting.value, str):
        raise setting.config_error(
            f"is {describe_value(setting.value)}", f"Make it a string: {expected}."
        )
    text = setting.value.strip()
    if any(ord(character) < 32 or 0xD800 <= ord(character) <= 0xDFFF for character in text):
        raise setting.config_error("holds characters that cannot be sent", f"Make it {expected}.")
    return text


def _texts(setting: _Setting, expected: str) -> tuple[str, ...]:
    """Return a list of strings without blank ones."""
    value = setting.value
    if value is None:
        return ()
    if not isinstance(value, list):
        raise setting.config_error(
            f"is {describe_value(value)}", f"Make it a list of strings: {expected}."
        )
    values = cast("list[object]", value)
    elements = (
        replace(setting, name=f"{setting.name}[{n}]", value=v) for n, v in enumerate(values)
    )
    return tuple(text for each in elements if (text := _text(each, expected)))


def _proxy_url(setting: _Setting) -> str:
    advice = 'Write it like "https://proxy.example.com" or "http://127.0.0.1:8080/prefix".'
    url = _text(setting, 'a URL such as "http://127.0.0.1:8080"')
    if not url.isascii() or " " in url:
        raise setting.config_error("holds a space or a character outside ASCII", advice)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        # Not the parser's message, which may quote a part of a password.
        raise setting.config_error(
            "is not a URL: its host or port cannot be read", advice
        ) from None
    if parts.username is not None or parts.password is not None:
        # The value may be a password: leave it out of the message.
        raise setting.config_error("holds a user name or password, which would be sent", advice)
    if parts.scheme not in {"http", "https"} or not host:
        # The user may have pasted a key into this field.
        shown = "a key" if KEY_PREFIX in url or "@" in url else repr(url)
        problem = f"has value {shown}, without http:// or https:// and a host,"
        raise setting.config_error(problem, advice)
    if KEY_PREFIX in url.lower():
        raise setting.config_error("holds what looks like an API key", "Put the key into apiKey.")
    if parts.query or parts.fragment:
        raise setting.config_error("has a query or fragment, which a path cannot follow,", advice)
    return url.rstrip("/")


def _api_key(setting: _Setting) -> str:
    key = _text(setting, "a user's API key")
    if "YOUR_API_KEY" in key.upper():
        raise setting.config_error("is still the placeholder of config.template.json", _KEY_ADVICE)
    if not key.startswith(KEY_PREFIX):
        raise setting.config_error(
            f"has {pluralize(len(key), 'character')} and does not start with {KEY_PREFIX}: it looks"
            " like the admin key or another secret, not a user's API key,",
            f"{_KEY_ADVICE} Do not configure the admin key: `remote-sandbox login --admin` uses it"
            " once to make a user's key, and does not store it.",
        )
    if not key.isascii() or " " in key:
        raise setting.config_error("holds a space or a character outside ASCII", _KEY_ADVICE)
    return key


def _variable_names(setting: _Setting) -> tuple[str, ...]:
    """Return the names of a list, or of a string with commas or spaces between them."""
    value = setting.value if setting.value is not None else ()
    if isinstance(value, str):
        value = value.replace(",", " ").split()
    advice = 'Make it a list of names of variables, such as ["GEMINI_API_KEY"].'
    if not isinstance(value, list | tuple):
        raise setting.config_error(f"is {describe_value(value)}", advice)
    names = cast("Sequence[object]", value)
    # A wrong name is not shown: it may be a value.
    if not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        raise setting.config_error("holds something other than names of variables", advice)
    if VARIABLES["apiKey"] in names:
        raise setting.config_error(
            f"holds {VARIABLES['apiKey']}, the key of all your sandboxes,",
            "Leave it out: an agent in a sandbox must not have it.",
        )
    return tuple(dict.fromkeys(cast("Sequence[str]", names)))


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
        shape = describe_value(value)
        shape += " out of range" if shape == "a number" else ""
        raise setting.config_error(f"is {shape}", "Make it a whole number from 1 to 65535.")
    return value
