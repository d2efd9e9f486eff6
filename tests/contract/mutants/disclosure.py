"""Wrong proxies in the form of keys, and in showing them."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property, partial
from typing import TYPE_CHECKING

from .gates import Keyring
from .mutant import Kind, with_middleware, with_settings
from .rewriting import KEYS, Rewritten, body, changing, setting

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_fakeproxy import User
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from .mutant import Make
    from .rewriting import Json, JsonChange

REVOKED = r"DELETE /api/(me|admin)/apikeys/[^/]+/?"
_SUCCESSES = range(200, 300)


# Secrets -----------------------------------------------------------------------------------------

SECRETS = Kind("A key shown or kept")


class _Indiscreet:
    """Remember the keys that are made, and show them again in some answers.

    `show` returns the change of an answer's body, from the secrets by id and the request's path.
    """

    def __init__(
        self, app: ASGIApp, matches: str, show: Callable[[dict[str, str], str], JsonChange]
    ) -> None:
        self._secrets: dict[str, str] = {}
        self._app = Rewritten(app, f"POST {KEYS}/?", body(self._remember), _SUCCESSES)
        self._matches = matches
        self._show = show

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; HEAD has the length of the changed body of GET."""
        change = self._show(self._secrets, scope.get("path", ""))
        changed = Rewritten(self._app, self._matches, body(change), _SUCCESSES)
        if scope.get("method") == "HEAD":
            await changed({**scope, "method": "GET"}, receive, _without_body(send))
        else:
            await changed(scope, receive, send)

    def _remember(self, reply: Json) -> Json:
        self._secrets[reply["key_info"]["id"]] = reply["api_key"]
        return reply


def _without_body(send: Send) -> Send:
    async def send_without_body(message: Message) -> None:
        await send({**message, "body": b""} if "body" in message else message)

    return send_without_body


def _in_lists(field: str, secrets: dict[str, str], _path: str) -> JsonChange:
    """Show keys in a field of each row."""

    def change(reply: Json) -> Json:
        for row in reply["api_keys"]:
            row[field] = secrets.get(row["id"])
        return reply

    return change


def _when_revoked(secrets: dict[str, str], path: str) -> JsonChange:
    """Show the key that the path names."""
    key_id = path.removesuffix("/").rpartition("/")[2].lower()
    return setting("api_key", secrets.get(key_id))


for _id, _said, _matches, _show in (
    (
        "listed",
        "A list of keys shows the keys themselves",
        f"GET {KEYS}/?",
        partial(_in_lists, "api_key"),
    ),
    ("revoked", "The answer that revokes a key shows it again", REVOKED, _when_revoked),
    (
        "prefix",
        "The prefix that is shown of a key is the whole of it",
        f"GET {KEYS}/?",
        partial(_in_lists, "key_prefix"),
    ),
):
    SECRETS.add(
        f"keys.secret.{_id}",
        f"{_said}.",
        with_middleware(partial(_Indiscreet, matches=_matches, show=_show)),
        "admin.key-list.no-secret",
        "me.key-list.no-secret",
    )


def _kept(form: Callable[[str], object]) -> Make:
    """Leave a secret in the database, in some form."""

    class Keeping(Keyring):
        def handed_out(self, user: User, secret: str) -> str:
            db = self.store._db  # pyright: ignore[reportPrivateUsage]  # as a proxy would
            db.execute("CREATE TABLE IF NOT EXISTS log (entry)")
            db.execute("INSERT INTO log VALUES (?)", (form(secret),))
            return super().handed_out(user, secret)

    return with_settings(service=Keeping)


def _stored(form: Callable[[str], bytes]) -> Make:
    """Store a key under another form of it than its hash."""

    class Storing(Keyring):
        def digest(self, secret: str) -> bytes:
            return form(secret)

    return with_settings(service=Storing)


for _id, _said, _form in (
    ("text", "as text", changing(lambda key: f"created {key}")),
    ("bytes", "as bytes", changing(lambda key: key.encode())),
    ("base64", "in base64", changing(lambda key: base64.b64encode(key.encode()).decode())),
):
    SECRETS.add(
        f"keys.secret.kept.{_id}",
        f"Beside its hash, a key is kept {_said}.",
        _kept(_form),
        "auth.secret.hashed",
    )
for _id, _said, _hash in (
    ("clear", "in clear", changing(lambda key: key.encode())),
    ("md5", "as MD5", changing(lambda key: hashlib.md5(key.encode()).digest())),  # noqa: S324
    ("sha1", "as SHA-1", changing(lambda key: hashlib.sha1(key.encode()).digest())),  # noqa: S324
    (
        "half",
        "as half of its SHA-256",
        changing(lambda key: hashlib.sha256(key.encode()).digest()[:16]),
    ),
):
    SECRETS.add(
        f"keys.secret.stored.{_id}",
        f"A key is stored {_said}.",
        _stored(_hash),
        "auth.secret.hashed",
    )


# How a key looks ---------------------------------------------------------------------------------

FORM = Kind("A key's form")


def _minted(form: Callable[[str], str]) -> Make:
    """Give keys another form."""

    class Other(Keyring):
        def new_secret(self) -> str:
            return form(super().new_secret())

    return with_settings(service=Other)


def _showing(size: int) -> Make:
    """Keep another number of characters of each key for its prefix."""

    class Showing(Keyring):
        shown = size

    return with_settings(service=Showing)


for _id, _said, _form in (
    ("prefix", "begin with sk_test_", changing(lambda key: key.replace("sk_live_", "sk_test_"))),
    ("short", "are one character too short", changing(lambda key: key[:-1])),
    ("long", "are one character too long", changing(lambda key: f"{key}0")),
    ("letters", "have other characters than they may", changing(lambda key: f"{key[:-1]}+")),
    ("bare", "have no prefix", changing(lambda key: key.removeprefix("sk_live_"))),
):
    FORM.add(
        f"keys.form.{_id}",
        f"Keys {_said}.",
        _minted(_form),
        "admin.key-create.format",
        "me.key-create.format",
    )
for _size in (8, 11, 13, 40):
    FORM.add(
        f"keys.form.shown-{_size}",
        f"A key's prefix has {_size} characters.",
        _showing(_size),
        "admin.key-create.format",
        "me.key-create.format",
        "me.key-create.reply",
    )


@FORM.of(
    "keys.form.same",
    "Keys follow from the user, and so a second one is the first.",
    "admin.key-create.format",
    "me.key-create.format",
)
class SameAgain(Keyring):
    def handed_out(self, user: User, secret: str) -> str:
        return self._first.setdefault(user.id, secret)

    @cached_property
    def _first(self) -> dict[str, str]:
        return {}


KINDS = (
    SECRETS,
    FORM,
)
