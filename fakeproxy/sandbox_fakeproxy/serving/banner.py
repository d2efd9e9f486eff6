"""The output of `serve` at startup: the fake's address, and how to get an API key."""

import os
import shlex
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

_MAX_WIDTH = 100  # columns, also on a wider terminal: longer lines are hard to read

# With sed, because jq may be missing; with `set -C`, so that an existing configuration is not
# overwritten; in lines that fit a narrow terminal.
_KEY_COMMANDS = r"""
AUTH="Authorization: Bearer $ADMIN_API_KEY"
USER_ID=$(curl -sS $URL/api/admin/users -H "$AUTH" \
  -H 'Content-Type: application/json' \
  -d "{\"username\": \"$NAME\"}" |
  sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
API_KEY=$(curl -sS -H "$AUTH" -X POST \
  $URL/api/admin/users/$USER_ID/apikeys |
  sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p')
ERROR="No key: is ADMIN_API_KEY right,"
ERROR="$ERROR and is the username $NAME free?"
echo "${API_KEY:-$ERROR}"
test -n "$API_KEY" && (umask 077; set -C; cd
  mkdir -p .config/gemini-remote-sandbox
  printf '{"proxyUrl": "%s", "apiKey": "%s"}\n' \
  $URL $API_KEY \
  > .config/gemini-remote-sandbox/config.json)
""".strip()


@dataclass(frozen=True, slots=True)
class StartupInfo:
    """The values that the banner shows.

    Without `admin_key_file` and `new_admin_key`, the admin key is that of ADMIN_API_KEY.
    """

    url: str
    isolation: str  # how commands run
    state: Path | None  # None if it is in memory
    admin_key_file: Path | None  # the file that keeps a generated key
    new_admin_key: str | None  # a key that was just generated; it is not shown again
    username: str  # one that is free, so that the commands can be pasted
    deviations: str  # how responses differ from the default; empty if they do not


def listening_line(url: str) -> str:
    """Return the first line, which programs parse too."""
    return f"Fake proxy listening on {url}"


def banner(info: StartupInfo) -> str:
    """Return the banner, wrapped to the terminal except for the commands to paste."""
    return "\n".join(
        [
            listening_line(info.url),
            "",
            *_format_entry("State", str(info.state or "in memory; lost when the fake stops")),
            *_format_entry("Admin key", _describe_admin_key(info)),
            *_format_entry("Commands", info.isolation),
            *(_format_entry("Responses", info.deviations) if info.deviations else ()),
            "",
            *_wrap(
                f"To get an API key, paste these lines into another terminal{_prerequisite(info)}:"
            ),
            "",
            *(f"  {line}" for line in setup_commands(info)),
            "",
            *_wrap(
                "The last command writes the client's config. It does not overwrite an existing"
                " one: put the key into that yourself."
            ),
            "Ctrl-C stops the fake.",
        ]
    )


def setup_commands(info: StartupInfo) -> list[str]:
    """Return the shell commands that create a user and a key and write the client's config."""
    return [
        f"URL={info.url}",
        *_export_commands(info),
        f"NAME={info.username}",
        *_KEY_COMMANDS.splitlines(),
    ]


def _prerequisite(info: StartupInfo) -> str:
    is_from_environment = info.admin_key_file is None and info.new_admin_key is None
    return ", with ADMIN_API_KEY set" if is_from_environment else ""


def _format_entry(name: str, text: str) -> list[str]:
    return _wrap(f"  {name:9}  {text}", indent=" " * 13)


def _wrap(text: str, indent: str = "") -> list[str]:
    """Wrap a text to the terminal, without breaking paths or keys."""
    return textwrap.wrap(
        text,
        min(_MAX_WIDTH, shutil.get_terminal_size().columns),
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _describe_admin_key(info: StartupInfo) -> str:
    if info.new_admin_key is None:
        file = info.admin_key_file
        return f"kept in {file}" if file else "the one in ADMIN_API_KEY"
    file = info.admin_key_file
    where = f"shown only now; kept in {file}" if file else "for this run only"
    return f"{info.new_admin_key}  ({where})"


def _export_commands(info: StartupInfo) -> list[str]:
    if info.admin_key_file is not None:
        return [f'export ADMIN_API_KEY="$(cat {shlex.quote(str(info.admin_key_file))})"']
    if info.new_admin_key is not None:
        return [f"export ADMIN_API_KEY={info.new_admin_key}"]
    return []  # the user has set ADMIN_API_KEY


def print_line(text: str) -> None:
    """Print a text and flush it; ignore a closed pipe, as in `serve | head -1`."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Discard later output too, and the rest of Python's buffer, which is flushed at exit.
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
