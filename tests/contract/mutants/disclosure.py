"""Wrong proxies in the form of keys, and in showing them."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from typing import TYPE_CHECKING

from sandbox_fakeproxy._mint import Mint
from sandbox_fakeproxy._proxy import auth
from sandbox_fakeproxy._proxy import keys as keys_module
from sandbox_fakeproxy._proxy.keys import Keys

from .mutant import Kind, with_components, with_patched
from .rewriting import (
    changing,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_fakeproxy._http import JsonObject, Reply
    from sandbox_fakeproxy._state.records import ApiKey

    from .mutant import Make

_DIGEST = auth.digest


# Secrets -----------------------------------------------------------------------------------------

SECRETS = Kind("A key shown or kept")


class _Indiscreet(Keys):
    """A key generator that remembers the keys that it made."""

    def create(self, user_id: str, body: JsonObject) -> Reply:
        reply = super().create(user_id, body)
        self._secrets[reply.body["key_info"]["id"]] = reply.body["api_key"]
        return reply

    @cached_property
    def _secrets(self) -> dict[str, str]:
        return {}


@SECRETS.of(
    "keys.secret.listed",
    "A list of keys shows the keys themselves.",
    "admin.key-list.no-secret",
    "me.key-list.no-secret",
)
class Listing(_Indiscreet):
    def list(self, user_id: str) -> Reply:
        reply = super().list(user_id)
        for row in reply.body["api_keys"]:
            row["api_key"] = self._secrets.get(row["id"])
        return reply


@SECRETS.of(
    "keys.secret.revoked",
    "The answer that revokes a key shows it again.",
    "admin.key-list.no-secret",
    "me.key-list.no-secret",
)
class Repeating(_Indiscreet):
    def revoke(self, key: ApiKey) -> Reply:
        reply = super().revoke(key)
        reply.body["api_key"] = self._secrets.get(key.id)
        return reply


@SECRETS.of(
    "keys.secret.prefix",
    "The prefix that is shown of a key is the whole of it.",
    "admin.key-list.no-secret",
    "me.key-list.no-secret",
)
class WholePrefix(_Indiscreet):
    def list(self, user_id: str) -> Reply:
        reply = super().list(user_id)
        for row in reply.body["api_keys"]:
            row["key_prefix"] = self._secrets.get(row["id"])
        return reply


def _kept(form: Callable[[str], object]) -> type[Keys]:
    """Return keys that leave a secret in the database, in some form."""

    class Keeping(Keys):
        def create(self, user_id: str, body: JsonObject) -> Reply:
            reply = super().create(user_id, body)
            db = self._store._db  # pyright: ignore[reportPrivateUsage]  # as a proxy would
            db.execute("CREATE TABLE IF NOT EXISTS log (entry)")
            db.execute("INSERT INTO log VALUES (?)", (form(reply.body["api_key"]),))
            return reply

    return Keeping


for _id, _said, _form in (
    ("text", "as text", changing(lambda key: f"created {key}")),
    ("bytes", "as bytes", changing(lambda key: key.encode())),
    ("base64", "in base64", changing(lambda key: base64.b64encode(key.encode()).decode())),
):
    SECRETS.add(
        f"keys.secret.kept.{_id}",
        f"Beside its hash, a key is kept {_said}.",
        with_components(_kept(_form)),
        "auth.secret.hashed",
    )
for _id, _said, _digest in (
    ("clear", "in clear", changing(lambda secret: secret.encode("latin-1"))),
    ("md5", "as MD5", changing(lambda secret: hashlib.md5(secret.encode("latin-1")).digest())),  # noqa: S324
    ("sha1", "as SHA-1", changing(lambda secret: hashlib.sha1(secret.encode("latin-1")).digest())),  # noqa: S324
    ("half", "as half of its SHA-256", changing(lambda secret: _DIGEST(secret)[:16])),
):
    SECRETS.add(
        f"keys.secret.stored.{_id}",
        f"A key is stored {_said}.",
        with_patched("digest", _digest, auth, keys_module),
        "auth.secret.hashed",
    )


# How a key looks ---------------------------------------------------------------------------------

FORM = Kind("A key's form")


def _minted(form: Callable[[str], str]) -> Make:
    """Give keys another form."""

    class Other(Mint):
        def api_key(self) -> str:
            return form(super().api_key())

    return with_components(Other)


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
        with_patched("PREFIX_SHOWN", _size, keys_module),
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
class SameAgain(Keys):
    def create(self, user_id: str, body: JsonObject) -> Reply:
        reply = super().create(user_id, body)
        reply.body["api_key"] = self._first.setdefault(user_id, reply.body["api_key"])
        return reply

    @cached_property
    def _first(self) -> dict[str, str]:
        return {}


KINDS = (
    SECRETS,
    FORM,
)
