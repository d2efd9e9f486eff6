"""The fake's output at its start: its address, and how to get an API key."""

import os
import shlex
import shutil
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

_WIDEST = 100  # columns; longer lines are hard to read

# sed, as jq may be missing; `set -C`, as an existing configuration must not be lost; lines that a
# narrow terminal shows whole.
_TO_A_KEY = r"""
AUTH="Authorization: Bearer $ADMIN_API_KEY"
USER_ID=$(curl -sS $URL/api/admin/users -H "$AUTH" \
  -H 'Content-Type: application/json' \
  -d "{\"username\": \"$NAME\"}" |
  sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
API_KEY=$(curl -sS -H "$AUTH" -X POST \
  $URL/api/admin/users/$USER_ID/apikeys |
  sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p')
WHY="No key: is ADMIN_API_KEY right,"
WHY="$WHY and is no user called $NAME yet?"
echo "${API_KEY:-$WHY}"
test -n "$API_KEY" && (umask 077; set -C; cd
  mkdir -p .config/gemini-remote-sandbox
  printf '{"proxyUrl": "%s", "apiKey": "%s"}\n' \
  $URL $API_KEY \
  > .config/gemini-remote-sandbox/config.json)
""".strip()


@dataclass(frozen=True, slots=True)
class Greeting:
    """The facts of the output. Of the admin key's two fields, at most one is set.

    `commands` says how they run; `state` is None in memory; `new_admin_key` is shown once;
    `admin_key_file` is where it is kept; `username` is free, so that the lines can be pasted;
    `answers` says how they are not as usual, if they are not.
    """

    url: str
    commands: str
    state: Path | None
    admin_key_file: Path | None
    new_admin_key: str | None
    username: str
    answers: str


def listening(url: str) -> str:
    """Return the first line, which programs read too."""
    return f"Fake proxy listening on {url}"


def banner(greeting: Greeting) -> str:
    """Return the output, wrapped for the terminal but for lines that are to be pasted."""
    return "\n".join(
        [
            listening(greeting.url),
            "",
            *_entry("State", str(greeting.state or "in memory; gone when it stops")),
            *_entry("Admin key", _admin_key(greeting)),
            *_entry("Commands", greeting.commands),
            *(_entry("Answers", greeting.answers) if greeting.answers else ()),
            "",
            *_wrapped(f"From nothing to an API key, in another terminal{_condition(greeting)}:"),
            "",
            *(f"  {line}" for line in paste_lines(greeting)),
            "",
            *_wrapped(
                "The last command writes the client's config. Where there is one already, put the"
                " key into that: it is not overwritten."
            ),
            "Ctrl-C stops this.",
        ]
    )


def paste_lines(greeting: Greeting) -> list[str]:
    """Return the shell commands from nothing to a client that is set up."""
    return [
        f"URL={greeting.url}",
        *_export(greeting),
        f"NAME={greeting.username}",
        *_TO_A_KEY.splitlines(),
    ]


def _condition(greeting: Greeting) -> str:
    is_given = greeting.admin_key_file is None and greeting.new_admin_key is None
    return ", where ADMIN_API_KEY must be set too" if is_given else ""


def _entry(name: str, text: str) -> list[str]:
    return _wrapped(f"  {name:9}  {text}", under=" " * 13)


def _wrapped(text: str, under: str = "") -> list[str]:
    """Return lines that fit the terminal; paths and keys stay whole."""
    return textwrap.wrap(
        text,
        min(_WIDEST, shutil.get_terminal_size().columns),
        subsequent_indent=under,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _admin_key(greeting: Greeting) -> str:
    if greeting.new_admin_key is None:
        kept = greeting.admin_key_file
        return f"kept in {kept}" if kept else "the one in ADMIN_API_KEY"
    kept = greeting.admin_key_file
    where = f"shown this once; kept in {kept}" if kept else "for this run only"
    return f"{greeting.new_admin_key}  ({where})"


def _export(greeting: Greeting) -> list[str]:
    if greeting.admin_key_file is not None:
        return [f'export ADMIN_API_KEY="$(cat {shlex.quote(str(greeting.admin_key_file))})"']
    if greeting.new_admin_key is not None:
        return [f"export ADMIN_API_KEY={greeting.new_admin_key}"]
    return []  # the person has set it already


def say(text: str) -> None:
    """Print a text; without a reader, as after `serve | head -1`, it is lost without an error."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Later output, and what is left in Python's own buffer, is lost as well.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
