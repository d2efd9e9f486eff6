"""What a person reads when the fake starts: where it is, and the way to an API key."""

import shlex
from dataclasses import dataclass
from pathlib import Path

# sed, as a machine may have no jq; `set -C`, as somebody's config must not be lost.
_TO_A_KEY = r"""
USER_ID=$(curl -sS $URL/api/admin/users -H "Authorization: Bearer $ADMIN_API_KEY" \
  -H 'Content-Type: application/json' -d "{\"username\": \"$NAME\"}" \
  | sed -n 's/.*"id":"\([^"]*\)".*/\1/p')
API_KEY=$(curl -sS -X POST $URL/api/admin/users/$USER_ID/apikeys \
  -H "Authorization: Bearer $ADMIN_API_KEY" | sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p')
echo ${API_KEY:-No key: is ADMIN_API_KEY right, and is no user called $NAME yet?}
test -n "$API_KEY" && (umask 077; set -C; cd; mkdir -p .config/gemini-remote-sandbox
  printf '{"proxyUrl": "%s", "apiKey": "%s"}\n' $URL $API_KEY \
  > .config/gemini-remote-sandbox/config.json)
""".strip()


@dataclass(frozen=True, slots=True)
class Greeting:
    """What there is to say. Of the admin key's two fields, at most one is set.

    `state` is None in memory; `new_admin_key` is shown once; `admin_key_file` is where it is kept;
    `username` is free, so that the lines can be pasted.
    """

    url: str
    state: Path | None
    admin_key_file: Path | None
    new_admin_key: str | None
    username: str


def listening(url: str) -> str:
    """Return the first line, which programs read too."""
    return f"Fake proxy listening on {url}"


def banner(greeting: Greeting) -> str:
    """Return all that is printed at the start."""
    state = str(greeting.state) if greeting.state else "in memory; gone when it stops"
    return "\n".join(
        [
            listening(greeting.url),
            "",
            f"  State      {state}",
            f"  Admin key  {_admin_key(greeting)}",
            "  Commands   run as you, on this machine, each sandbox in a directory of its own",
            "",
            "From nothing to an API key, in another terminal:",
            "",
            *(f"  {line}" for line in paste_lines(greeting)),
            "",
            "Where there is a config already, put the key into that one: it is not overwritten.",
            "The last command writes the client's config, unless there is one. Ctrl-C stops this.",
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
