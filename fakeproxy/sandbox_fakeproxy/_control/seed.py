"""A whole world as one document: users with their keys and sandboxes, read before any is made."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from sandbox_fakeproxy._clock import Instant
from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._http import JsonObject, parse_json
from sandbox_fakeproxy._mint import KEY_PREFIX
from sandbox_fakeproxy._proxy import fields
from sandbox_fakeproxy._proxy.sandboxes import DEFAULT_IMAGE, QUOTA
from sandbox_fakeproxy._state.fates import Fate, fate_of_image, find_fate
from sandbox_fakeproxy._state.profiles import Phase

STATES = (Phase.UNRECONCILED, Phase.PENDING, Phase.STARTING, Phase.READY, Phase.PAUSED)
_ALMOST_KEY = re.compile(rf"{KEY_PREFIX}[\w-]+", re.IGNORECASE)
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{32}}")
_T = TypeVar("_T")


class SeedUnusable(ValueError):
    """A document does not describe a world; the message says where in it."""


@dataclass(frozen=True, slots=True)
class SeedKey:
    """A key to make; without a secret of its own, one is made."""

    secret: str | None
    name: str | None
    expires_at: Instant | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class SeedSandbox:
    """A sandbox to make, as far as it has come."""

    name: str
    image: str
    state: Phase
    fate: Fate


@dataclass(frozen=True, slots=True)
class SeedUser:
    """A user to make, with what is the user's."""

    username: str
    email: str | None
    is_active: bool
    keys: tuple[SeedKey, ...]
    sandboxes: tuple[SeedSandbox, ...]


def parse_seed(content: bytes) -> list[SeedUser]:
    """Read a document from its JSON.

    Raises:
        SeedUnusable: it does not describe a world.
    """
    try:
        document = parse_json(content)
    except Refusal as exc:
        raise SeedUnusable("the document: expected JSON") from exc
    return read_seed(document)


def read_seed(document: object) -> list[SeedUser]:
    """Read a document.

    Raises:
        SeedUnusable: it does not describe a world.
    """
    asked = _object(document, "the document", {"users"})
    if "users" not in asked:
        _refuse("users", "required: a list, which may be empty")
    users = [read_user(each, at) for at, each in _list(asked, "users", "users")]
    _refuse_repeated([(f"users[{i}].username", user.username) for i, user in enumerate(users)])
    _refuse_repeated(
        [
            (f"users[{i}].keys[{k}].key", key.secret)
            for i, user in enumerate(users)
            for k, key in enumerate(user.keys)
            if key.secret is not None
        ]
    )
    return users


def read_user(value: object, at: str) -> SeedUser:
    """Read one user with keys and sandboxes; errors name `at`.

    Raises:
        SeedUnusable: it does not describe a user.
    """
    asked = _object(value, at, {"username", "email", "is_active", "keys", "sandboxes"})
    keys = _list(asked, "keys", f"{at}.keys")
    sandboxes = tuple(
        _sandbox(each, where) for where, each in _list(asked, "sandboxes", f"{at}.sandboxes")
    )
    if len(sandboxes) > QUOTA:
        _refuse(f"{at}.sandboxes", f"at most {QUOTA}, which is a user's quota")
    _refuse_repeated([(f"{at}.sandboxes[{i}].name", box.name) for i, box in enumerate(sandboxes)])
    return SeedUser(
        username=_read(f"{at}.username", fields.username, asked),
        email=_read(f"{at}.email", fields.email, asked),
        is_active=_is_active(asked, at),
        keys=tuple(_key(each, where) for where, each in keys),
        sandboxes=sandboxes,
    )


def _key(value: object, at: str) -> SeedKey:
    asked = _object(value, at, {"key", "name", "expires_at", "is_active"})
    secret = asked.get("key")
    if secret is not None and not (isinstance(secret, str) and _KEY.fullmatch(secret)):
        _refuse(f"{at}.key", f"expected {KEY_PREFIX} and 32 of A-Z, a-z, 0-9, '_' and '-'")
    return SeedKey(
        secret=secret,
        name=_read(f"{at}.name", fields.key_name, asked),
        expires_at=_read(f"{at}.expires_at", fields.expires_at, asked),
        is_active=_is_active(asked, at),
    )


def _sandbox(value: object, at: str) -> SeedSandbox:
    asked = _object(value, at, {"name", "image", "state", "fate"})
    image = _read(f"{at}.image", fields.image, asked, DEFAULT_IMAGE)
    state = asked.get("state", Phase.READY)
    if state not in STATES:
        _refuse(f"{at}.state", f"expected one of: {', '.join(STATES)}")
    asked_fate = asked.get("fate")
    return SeedSandbox(
        name=_read(f"{at}.name", fields.sandbox_name, asked),
        image=image,
        state=Phase(state),
        fate=fate_of_image(image)
        if asked_fate is None
        else _read(f"{at}.fate", find_fate, asked_fate),
    )


def _is_active(asked: JsonObject, at: str) -> bool:
    value = asked.get("is_active", True)
    if not isinstance(value, bool):
        _refuse(f"{at}.is_active", "expected true or false")
    return value


def _object(value: object, at: str, known: set[str]) -> JsonObject:
    if not isinstance(value, dict):
        _refuse(at, "expected an object")
    read: JsonObject = {str(name): each for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    for name in sorted(read.keys() - known):
        _refuse(f"{at}.{name}", f"unknown field; expected some of: {', '.join(sorted(known))}")
    return read


def _list(asked: JsonObject, name: str, at: str) -> Iterator[tuple[str, Any]]:
    value = asked.get(name, [])
    if not isinstance(value, list):
        _refuse(at, "expected a list")
    for number, each in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON
        yield f"{at}[{number}]", each


def _read(at: str, rule: Callable[..., _T], *arguments: object) -> _T:
    """Apply a rule of the API's own to a part of the document."""
    try:
        return rule(*arguments)
    except (Refusal, ValueError) as exc:
        raise _fault(at, str(exc)) from exc


def _refuse_repeated(named: list[tuple[str, str]]) -> None:
    met: set[str] = set()
    for at, value in named:
        if value in met:
            _refuse(at, "the same as one before it")
        met.add(value)


def _refuse(at: str, expected: str) -> NoReturn:
    raise _fault(at, expected)


def _fault(at: str, expected: str) -> SeedUnusable:
    """Name what is wrong, and show no key: one may stand anywhere by mistake."""
    return SeedUnusable(_ALMOST_KEY.sub("***", f"{at}: {expected}"))
