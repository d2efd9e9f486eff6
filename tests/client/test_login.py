"""Login: questions, checks of the answers, and the configuration that is written."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import (
    ConfigError,
    InvalidInput,
    KeyRejected,
    ProxyFailed,
    SandboxError,
    accounts,
    config_file,
)
from sandbox_client.cli.console import Console
from sandbox_client.cli.login import Login

from tests.client.interaction import ScriptedUser, StubProvider
from tests.client.secrecy import chained_text
from tests.client.strategies import some_examples
from tests.client.stubs import KEY, Answer, error_reply

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

URL = "http://127.0.0.1:8080"
ADMIN = "an-admin-key"
OLD_KEY = "sk_live_ffffffffffffffffffffffffffffffff"
WELL = {"status": "ok", "database": "connected", "timestamp": "2026-01-01T00:00:00.000Z"}
USERS = "/api/admin/users"


def user_row(name: str, *, is_active: bool = True) -> dict[str, object]:
    return {"id": f"id-of-{name}", "username": name, "is_active": is_active}


@dataclass
class AccountStub:
    """A proxy with users and keys; `faults` are answered first, by `METHOD /path`."""

    users: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    keys: dict[str, str] = field(default_factory=lambda: {KEY: "ada"})
    faults: dict[str, list[httpx.Response | Exception]] = field(
        default_factory=dict[str, "list[httpx.Response | Exception]"]
    )
    asked: list[str] = field(default_factory=list[str])
    named: list[str] = field(default_factory=list[str])
    sent: dict[str, list[str]] = field(default_factory=dict[str, "list[str]"])

    def __call__(self, request: httpx.Request) -> httpx.Response:
        route = f"{request.method} {request.url.path}"
        key = request.headers.get("authorization", "").removeprefix("Bearer ")
        self.asked.append(route)
        self.sent.setdefault(route, []).append(key)
        if self.faults.get(route):
            fault = self.faults[route].pop(0)
            if isinstance(fault, Exception):
                raise fault
            return fault
        if request.url.path == "/health":
            return httpx.Response(200, json=WELL)
        if request.url.path == "/api/me":
            return self._me(key)
        if key != ADMIN:
            return error_reply(403, "Invalid admin API key", "Forbidden")
        return self._administrate(request)

    def _me(self, key: str) -> httpx.Response:
        if key not in self.keys:
            return error_reply(401, "Invalid API key", "Unauthorized")
        return httpx.Response(200, json={"user": {"username": self.keys[key]}})

    def _administrate(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"count": len(self.users), "users": self.users})
        body = json.loads(request.content)
        if request.url.path == USERS:
            self.users.append(user_row(body["username"]))
            return httpx.Response(201, json={"success": True, "user": self.users[-1]})
        self.named.append(body["name"])
        owner = request.url.path.split("/")[-2].removeprefix("id-of-")
        self.keys[OLD_KEY] = owner
        return httpx.Response(201, json={"success": True, "api_key": OLD_KEY})


@dataclass
class Conversation:
    """One login in a home folder, with its output."""

    home: Path
    capsys: pytest.CaptureFixture[str]
    proxy: AccountStub = field(default_factory=AccountStub)
    variables: dict[str, str] = field(default_factory=dict[str, str])
    out: str = ""
    err: str = ""

    @property
    def path(self) -> Path:
        return self.home / ".config" / "gemini-remote-sandbox" / "config.json"

    @property
    def written(self) -> dict[str, object]:
        content: dict[str, object] = json.loads(self.path.read_text())
        return content

    def write(self, content: Mapping[str, object] | str) -> None:
        self.path.parent.mkdir(parents=True)
        text = content if isinstance(content, str) else json.dumps(content)
        self.path.write_text(text)

    async def login(
        self,
        person: ScriptedUser,
        *,
        url: str | None = None,
        user: str | None = None,
        is_admin: bool = False,
        as_json: bool = False,
    ) -> None:
        """Log in; no key may be printed, and all answers must be used."""
        provider = StubProvider({"HOME": str(self.home), **self.variables}, self.proxy)
        console, hidden = Console(as_json=as_json, name=""), ""
        try:
            assert (
                await Login(provider, console, person).run(url=url, user=user, is_admin=is_admin)
                == 0
            )
            assert not person.texts + person.secrets + person.confirmations
        except SandboxError as error:
            hidden = chained_text(error)
            raise
        finally:
            self.out, self.err = self.capsys.readouterr()
            said = self.out + self.err + "".join(person.asked) + hidden
            assert not [key for key in (KEY, ADMIN, OLD_KEY) if key in said]


@pytest.fixture
def conversation(home: Path, capsys: pytest.CaptureFixture[str]) -> Conversation:
    return Conversation(home, capsys)


async def test_a_url_and_a_key_are_checked_and_written_to_a_private_file(
    conversation: Conversation,
) -> None:
    person = ScriptedUser(texts=[URL], secrets=[KEY])

    await conversation.login(person)

    assert conversation.written == {"proxyUrl": URL, "apiKey": KEY}
    assert stat.S_IMODE(conversation.path.stat().st_mode) == 0o600
    assert conversation.proxy.asked == ["GET /health", "GET /api/me"]
    assert (
        f"The key belongs to ada. It is in {conversation.path}, which only you can read."
        in conversation.out
    )
    assert "Next: `remote-sandbox create my-sandbox`" in conversation.out


async def test_the_key_is_not_sent_before_the_proxy_has_answered(
    conversation: Conversation,
) -> None:
    await conversation.login(ScriptedUser(texts=[URL], secrets=[KEY]))

    assert conversation.proxy.sent == {"GET /health": [""], "GET /api/me": [KEY]}


async def test_other_fields_are_kept(conversation: Conversation) -> None:
    conversation.write({"defaultImage": "aio:1", "apiKey": OLD_KEY, "note": 1, "proxyUrl": "old"})

    await conversation.login(ScriptedUser(texts=[URL], secrets=[KEY]))

    assert list(conversation.written.items()) == [
        ("defaultImage", "aio:1"),
        ("apiKey", KEY),
        ("note", 1),
        ("proxyUrl", URL),
    ]


@pytest.mark.parametrize(
    ("configured", "variable", "offered"),
    [
        (None, None, URL),
        ("https://file.test/", None, "https://file.test"),
        ("https://file.test", "https://variable.test", "https://variable.test"),
        ("no URL", None, URL),
        (8080, None, URL),
    ],
)
async def test_the_default_url_is_the_configured_one(
    conversation: Conversation, configured: object, variable: str | None, offered: str
) -> None:
    if configured is not None:
        conversation.write({"proxyUrl": configured})
    if variable is not None:
        conversation.variables["REMOTE_SANDBOX_PROXY_URL"] = variable
    person = ScriptedUser(texts=[""], secrets=[KEY])

    await conversation.login(person)

    assert person.asked[0] == f"The proxy's URL [{offered}]"
    assert conversation.written["proxyUrl"] == offered


async def test_a_wrong_url_is_asked_for_again(
    conversation: Conversation,
) -> None:
    conversation.proxy.faults = {"GET /health": [httpx.ConnectError("no")] * 2}
    person = ScriptedUser(texts=["proxy.test", "http://proxy.test", URL], secrets=[KEY])

    await conversation.login(person)

    assert person.asked[:3] == [
        f"The proxy's URL [{URL}]",
        "The proxy's URL [proxy.test]",
        "The proxy's URL [http://proxy.test]",
    ]
    assert "without http:// or https://" in conversation.err
    assert "http://proxy.test cannot be reached" in conversation.err


async def test_a_wrong_key_is_asked_for_again(
    conversation: Conversation,
) -> None:
    person = ScriptedUser(texts=[URL], secrets=["", OLD_KEY, KEY])

    await conversation.login(person)

    assert "error: No key was given" in conversation.err
    assert "error: The proxy does not know the API key" in conversation.err
    assert [question.partition(" (")[0] for question in person.asked[1:]] == ["Your API key"] * 3
    assert conversation.written["apiKey"] == KEY


async def test_enter_tries_the_same_key_again(
    conversation: Conversation,
) -> None:
    conversation.proxy.faults = {"GET /api/me": [error_reply(500, "Internal server error")]}
    person = ScriptedUser(texts=[URL], secrets=[KEY, ""])

    await conversation.login(person)

    assert "Enter tries the same key again" in person.asked[-1]
    assert conversation.written["apiKey"] == KEY


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (ScriptedUser(texts=["x", "x", "x", "x"]), InvalidInput),
        (ScriptedUser(texts=[URL], secrets=[OLD_KEY] * 4), KeyRejected),
        (ScriptedUser(texts=[URL], secrets=[OLD_KEY], attempts=1), KeyRejected),
    ],
    ids=["URL", "key", "one try"],
)
async def test_the_file_is_unchanged_after_the_last_attempt(
    conversation: Conversation, person: ScriptedUser, error: type[SandboxError]
) -> None:
    conversation.write(before := {"apiKey": OLD_KEY, "proxyUrl": URL})

    with pytest.raises(error):
        await conversation.login(person)

    assert conversation.written == before


@pytest.mark.parametrize(
    ("person", "is_admin", "cause"),
    [
        (ScriptedUser(secrets=[OLD_KEY], attempts=1), False, "the key that was given"),
        (ScriptedUser(secrets=["wrong"], attempts=1), True, "the admin key that was given"),
        (ScriptedUser(secrets=[""], attempts=1), False, "the value that was given"),
        (
            ScriptedUser(secrets=[ADMIN], texts=["Ada"], attempts=1),
            True,
            "the value that was given",  # the admin key was sent before
        ),
    ],
    ids=["key", "admin key", "no key", "user"],
)
async def test_the_cause_is_what_was_given_and_not_the_configuration(
    conversation: Conversation, person: ScriptedUser, is_admin: bool, cause: str
) -> None:
    with pytest.raises(SandboxError) as caught:
        await conversation.login(person, url=URL, is_admin=is_admin)

    assert caught.value.cause.partition(";")[0].rstrip(".") == cause
    assert "nothing was sent" not in caught.value.cause


@pytest.mark.parametrize("said", ["Invalid API key", "API key has expired", "API key is inactive"])
async def test_the_advice_for_a_key_that_is_refused_is_not_to_log_in(
    conversation: Conversation, said: str
) -> None:
    conversation.proxy.faults = {"GET /api/me": [error_reply(401, said)]}

    await conversation.login(ScriptedUser(secrets=[OLD_KEY, KEY]), url=URL)

    assert "remote-sandbox login" not in conversation.err
    assert "Check that it is a key for this proxy" in conversation.err


async def test_the_advice_to_activate_the_user_is_kept(conversation: Conversation) -> None:
    refused = error_reply(401, "User account is inactive")
    conversation.proxy.faults = {"GET /api/me": [refused]}

    await conversation.login(ScriptedUser(secrets=[OLD_KEY, KEY]), url=URL)

    assert "Ask the proxy's administrator to activate the user." in conversation.err


async def test_a_new_key_that_is_refused_is_the_proxys_fault(conversation: Conversation) -> None:
    conversation.proxy.faults = {"GET /api/me": [error_reply(401, "Invalid API key")]}

    with pytest.raises(KeyRejected) as caught:
        await conversation.login(
            ScriptedUser(secrets=[ADMIN], attempts=1), url=URL, user="ben", is_admin=True
        )

    assert caught.value.cause.startswith("the proxy, which has just made this key")


@pytest.mark.parametrize("route", ["GET /health", "GET /api/me"])
async def test_the_advice_needs_no_configuration(conversation: Conversation, route: str) -> None:
    conversation.proxy.faults = {route: [error_reply(500, "database is down")]}
    person = ScriptedUser(texts=[URL, URL], secrets=[KEY])
    if route == "GET /api/me":
        person = ScriptedUser(texts=[URL], secrets=[KEY, KEY])

    await conversation.login(person)

    assert "next:  Try again in a while" in conversation.err
    assert "remote-sandbox list" not in conversation.err


async def test_a_file_that_cannot_be_written_in_the_end_is_no_unsent_request(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(config_file, "_replace_file", fail)

    with pytest.raises(ConfigError, match="No space left on device") as caught:
        await conversation.login(ScriptedUser(secrets=[KEY]), url=URL)

    assert caught.value.cause == "the permissions or the disk of this machine."


async def test_no_key_is_sent_to_an_unhealthy_proxy(
    conversation: Conversation,
) -> None:
    ill = httpx.Response(200, json={**WELL, "database": "disconnected"})
    conversation.proxy.faults = {"GET /health": [ill]}

    with pytest.raises(ProxyFailed, match="database 'disconnected'"):
        await conversation.login(ScriptedUser(texts=[URL], attempts=1))

    assert conversation.proxy.asked == ["GET /health"]


@pytest.mark.parametrize(
    ("content", "words"), [("{", "is not JSON"), ("[]", "holds an array, not a JSON object")]
)
async def test_an_unreadable_file_is_rejected_before_any_question(
    conversation: Conversation, content: str, words: str
) -> None:
    conversation.write(content)

    with pytest.raises(ConfigError, match=words) as caught:
        await conversation.login(ScriptedUser())

    assert "move it away" in caught.value.advice
    assert conversation.path.read_text() == content
    assert conversation.proxy.asked == []


async def test_an_unwritable_directory_is_rejected_before_any_question(
    conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:  # root may write everywhere, and tests may run as root
        return False

    monkeypatch.setattr(os, "access", refuse)

    with pytest.raises(ConfigError, match="cannot be written: no write permission in"):
        await conversation.login(ScriptedUser())


async def test_the_file_of_the_variable_is_written(conversation: Conversation, home: Path) -> None:
    conversation.variables["REMOTE_SANDBOX_CONFIG"] = "~/other.json"

    await conversation.login(ScriptedUser(texts=[URL], secrets=[KEY]))

    assert json.loads((home / "other.json").read_text())["apiKey"] == KEY
    assert not conversation.path.exists()


async def test_variables_that_override_the_file_are_named(
    conversation: Conversation,
) -> None:
    conversation.variables |= {
        "REMOTE_SANDBOX_API_KEY": OLD_KEY,
        "REMOTE_SANDBOX_DEFAULT_IMAGE": "aio:1",
    }

    await conversation.login(ScriptedUser(texts=[URL], secrets=[KEY]))

    assert "Warning: REMOTE_SANDBOX_API_KEY is set and overrides the file" in conversation.err
    assert "DEFAULT_IMAGE" not in conversation.err


@pytest.mark.parametrize(("url", "warned"), [("http://proxy.test", True), (URL, False)])
async def test_an_unencrypted_url_is_a_warning(
    conversation: Conversation, url: str, warned: bool
) -> None:
    person = ScriptedUser(secrets=[KEY])

    await conversation.login(person, url=url)

    assert ("Warning: http is not encrypted" in conversation.err) is warned


async def test_the_result_in_json_is_one_object(conversation: Conversation) -> None:
    await conversation.login(ScriptedUser(secrets=["", KEY]), url=URL, as_json=True)

    assert json.loads(conversation.out) == {
        "config": str(conversation.path),
        "proxy_url": URL,
        "user": "ada",
        "made": [],
    }


async def test_an_admin_key_creates_a_user_and_a_key_and_is_not_stored(
    conversation: Conversation,
) -> None:
    await conversation.login(ScriptedUser(texts=[URL, "ben"], secrets=[ADMIN]), is_admin=True)

    assert conversation.written == {"proxyUrl": URL, "apiKey": OLD_KEY}
    assert conversation.proxy.keys[OLD_KEY] == "ben"
    assert conversation.proxy.named == [accounts.new_key_name()]
    assert "User 'ben' was created." in conversation.err
    assert "The key belongs to ben." in conversation.out
    assert ADMIN not in conversation.path.read_text()


async def test_an_admin_key_given_as_user_key_is_used_after_a_question(
    conversation: Conversation,
) -> None:
    person = ScriptedUser(texts=[URL, "ben"], secrets=[ADMIN], confirmations=[True])

    await conversation.login(person)

    assert "Is it the admin key? [False]" in person.asked[2]
    assert conversation.written["apiKey"] == OLD_KEY


async def test_an_invalid_key_is_asked_for_again(conversation: Conversation) -> None:
    person = ScriptedUser(texts=[URL], secrets=["hunter2", KEY], confirmations=[False])

    await conversation.login(person)

    assert "The key has 7 characters and does not start with sk_live_" in conversation.err
    assert "hunter2" not in conversation.err
    assert USERS not in "".join(conversation.proxy.asked)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("not-the-admin-key", "The proxy does not accept the admin key: Invalid admin API key"),
        ("pass word", "The admin key (9 characters) has a space or a character that cannot"),
        ("schlüssel", "The admin key (9 characters) has a space or a character that cannot"),
        ("", "No admin key was given"),
    ],
)
async def test_a_wrong_admin_key_is_asked_for_again_and_not_shown(
    conversation: Conversation, wrong: str, words: str
) -> None:
    person = ScriptedUser(texts=["ben"], secrets=[wrong, ADMIN])

    await conversation.login(person, url=URL, is_admin=True)

    assert words in conversation.err.replace("\n", " ")
    assert not wrong or wrong not in conversation.err
    assert conversation.written["apiKey"] == OLD_KEY


async def test_of_20000_users_the_one_is_found_and_none_is_shown(
    conversation: Conversation,
) -> None:
    conversation.proxy.users = [user_row(f"user-{number}") for number in range(20_000)]
    person = ScriptedUser(texts=["user-19999"], secrets=[ADMIN], confirmations=[True])

    await conversation.login(person, url=URL, is_admin=True)

    assert conversation.proxy.keys[OLD_KEY] == "user-19999"
    assert len(conversation.out + conversation.err) < 1_000


async def test_an_existing_user_gets_another_key_after_a_question(
    conversation: Conversation,
) -> None:
    conversation.proxy.users = [user_row("eve"), user_row("ben")]
    person = ScriptedUser(texts=["ben"], secrets=[ADMIN], confirmations=[True])

    await conversation.login(person, url=URL, is_admin=True)

    assert person.asked[-1] == "User 'ben' exists already. Create another key for it? [True]"
    assert f"POST {USERS}" not in conversation.proxy.asked
    assert f"POST {USERS}/id-of-ben/apikeys" in conversation.proxy.asked
    assert "User 'ben' existed already." in conversation.err


async def test_a_concurrently_created_user_is_used(conversation: Conversation) -> None:
    taken = error_reply(409, "User with username 'ben' already exists", "Conflict")
    none = httpx.Response(200, json={"count": 0, "users": []})
    conversation.proxy.users = [user_row("ben")]
    conversation.proxy.faults = {f"POST {USERS}": [taken], f"GET {USERS}": [none, none]}

    await conversation.login(ScriptedUser(texts=["ben"], secrets=[ADMIN]), url=URL, is_admin=True)

    assert conversation.written["apiKey"] == OLD_KEY


async def test_another_name_is_asked_for_instead_of_an_inactive_or_declined_user(
    conversation: Conversation,
) -> None:
    conversation.proxy.users = [user_row("ben"), user_row("eve", is_active=False)]
    person = ScriptedUser(texts=["eve", "ben", "ada"], secrets=[ADMIN], confirmations=[False])

    await conversation.login(person, url=URL, is_admin=True)

    assert "User 'eve' is not active" in conversation.err
    assert "No key was created for user 'ben'" in conversation.err
    assert conversation.proxy.keys[OLD_KEY] == "ada"


async def test_a_failure_names_the_user_that_was_created(conversation: Conversation) -> None:
    made_key = f"POST {USERS}/id-of-ben/apikeys"
    conversation.proxy.faults = {made_key: [error_reply(500, "Internal server error")]}

    with pytest.raises(ProxyFailed):
        await conversation.login(
            ScriptedUser(secrets=[ADMIN], attempts=1), url=URL, user="ben", is_admin=True
        )

    assert "The proxy keeps user 'ben'." in conversation.err
    assert not conversation.path.exists()


@pytest.mark.parametrize("lost", [httpx.ReadError("broke"), httpx.Response(200, json={})])
async def test_the_next_attempt_uses_the_user_that_was_created(
    lost: Answer, conversation: Conversation
) -> None:
    made_key = f"POST {USERS}/id-of-ben/apikeys"
    conversation.proxy.faults = {made_key: [lost]}
    person = ScriptedUser(texts=[""], secrets=[ADMIN], confirmations=[True])

    await conversation.login(person, url=URL, user="ben", is_admin=True)

    assert "The proxy may have done it all the same. Log in again" in conversation.err
    assert conversation.proxy.asked.count(f"POST {USERS}") == 1
    assert conversation.written["apiKey"] == OLD_KEY


async def test_an_echoed_admin_key_is_not_shown(
    conversation: Conversation,
) -> None:
    conversation.proxy.faults = {f"GET {USERS}": [error_reply(500, f"no such row: {ADMIN}")]}

    with pytest.raises(ProxyFailed, match=r"no such row: \[key\]"):
        await conversation.login(ScriptedUser(secrets=[ADMIN], attempts=1), url=URL, is_admin=True)


@pytest.mark.parametrize(
    ("local", "name"),
    [
        ("ada", "ada"),
        ("Ada.Lovelace", "ada-lovelace"),
        ("_svc_", "svc"),
        ("DOMAIN\\ada", "domain-ada"),
        ("a" * 57 + "-b", "a" * 57),
        ("ädä", "d"),
        ("日本", ""),
    ],
)
def test_a_local_user_name_is_converted(local: str, name: str) -> None:
    assert accounts.suggest_user_name(local) == name


@some_examples
@given(local=st.text(max_size=80))
def test_a_converted_user_name_is_valid_or_empty(local: str) -> None:
    name = accounts.suggest_user_name(local)

    assert not name or accounts.check_user_name(name) == name


@pytest.mark.parametrize("name", ["", "Ada", "-ada", "ada-", "a.b", "a" * 59, "ada\n", "../x"])
def test_an_invalid_user_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be a user's name"):
        accounts.check_user_name(name)
