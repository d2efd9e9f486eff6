"""A document of users with keys and sandboxes: read and checked as a whole, and then made."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sandbox_fakeproxy.api.validation import Validation
from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.controller import Phase
from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.http import JsonObject
from sandbox_fakeproxy.ids import KEY_PREFIX
from sandbox_fakeproxy.model import (
    FailureMode,
    Intent,
    Sandbox,
    User,
    failure_mode_of_image,
    find_failure_mode,
)
from sandbox_fakeproxy.service import DEFAULT_IMAGE, QUOTA, Service

from .documents import invalid, parse_document, read_list, read_object, refuse
from .faults import Fault, read_faults

ADMIN = "admin"  # a user of that name exists from the start

STATES = (Phase.UNRECONCILED, Phase.PENDING, Phase.STARTING, Phase.READY, Phase.PAUSED)
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{32}}")
_VALIDATION = Validation()  # also as deployed: a seed is written for the contract
_T = TypeVar("_T")


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
    failure_mode: FailureMode


@dataclass(frozen=True, slots=True)
class SeedUser:
    """A user to make, with keys and sandboxes."""

    username: str
    email: str | None
    is_active: bool
    keys: tuple[SeedKey, ...]
    sandboxes: tuple[SeedSandbox, ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """A whole world: its users, and the faults that are armed."""

    users: list[SeedUser] = field(default_factory=list[SeedUser])
    faults: list[Fault] = field(default_factory=list[Fault])


def parse_seed(content: bytes, *, has_port: bool) -> Seed:
    """Read a document from its JSON.

    Raises:
        InvalidDocument: it does not describe a world.
    """
    return read_seed(parse_document(content), has_port=has_port)


def read_seed(document: object, *, has_port: bool) -> Seed:
    """Read a document; `has_port` says whether its faults may break connections.

    Raises:
        InvalidDocument: it does not describe a world.
    """
    asked = read_object(document, "the document", {"users", "faults"})
    listed = read_list(asked, "users", "users", is_required=True)
    users = [read_user(each, at) for at, each in listed]
    _refuse_repeated([(f"users[{i}].username", user.username) for i, user in enumerate(users)])
    _refuse_repeated(
        [
            (f"users[{i}].keys[{k}].key", key.secret)
            for i, user in enumerate(users)
            for k, key in enumerate(user.keys)
            if key.secret is not None
        ]
    )
    usernames = {ADMIN, *(user.username for user in users)}
    return Seed(users, read_faults(asked, usernames, has_port=has_port))


def read_user(value: object, at: str) -> SeedUser:
    """Read one user with keys and sandboxes; errors name `at`.

    Raises:
        InvalidDocument: it does not describe a user.
    """
    asked = read_object(value, at, {"username", "email", "is_active", "keys", "sandboxes"})
    keys = read_list(asked, "keys", f"{at}.keys")
    sandboxes = tuple(
        _sandbox(each, where) for where, each in read_list(asked, "sandboxes", f"{at}.sandboxes")
    )
    if len(sandboxes) > QUOTA:
        refuse(f"{at}.sandboxes", f"at most {QUOTA}, which is a user's quota")
    _refuse_repeated([(f"{at}.sandboxes[{i}].name", box.name) for i, box in enumerate(sandboxes)])
    return SeedUser(
        username=_read(f"{at}.username", _VALIDATION.username, asked),
        email=_read(f"{at}.email", _VALIDATION.email, asked),
        is_active=_is_active(asked, at),
        keys=tuple(_key(each, where) for where, each in keys),
        sandboxes=sandboxes,
    )


def _key(value: object, at: str) -> SeedKey:
    asked = read_object(value, at, {"key", "name", "expires_at", "is_active"})
    secret = asked.get("key")
    if secret is not None and not (isinstance(secret, str) and _KEY.fullmatch(secret)):
        refuse(f"{at}.key", f"expected {KEY_PREFIX} and 32 of A-Z, a-z, 0-9, '_' and '-'")
    return SeedKey(
        secret=secret,
        name=_read(f"{at}.name", _VALIDATION.key_name, asked),
        expires_at=_read(f"{at}.expires_at", _VALIDATION.expires_at, asked),
        is_active=_is_active(asked, at),
    )


def _sandbox(value: object, at: str) -> SeedSandbox:
    asked = read_object(value, at, {"name", "image", "state", "failure_mode"})
    image = _read(f"{at}.image", _VALIDATION.image, asked, DEFAULT_IMAGE)
    state = asked.get("state", Phase.READY)
    if state not in STATES:
        refuse(f"{at}.state", f"expected one of: {', '.join(STATES)}")
    asked_mode = asked.get("failure_mode")
    return SeedSandbox(
        name=_read(f"{at}.name", _VALIDATION.sandbox_name, asked),
        image=image,
        state=Phase(state),
        failure_mode=failure_mode_of_image(image)
        if asked_mode is None
        else _read(f"{at}.failure_mode", find_failure_mode, asked_mode),
    )


def _is_active(asked: JsonObject, at: str) -> bool:
    value = asked.get("is_active", True)
    if not isinstance(value, bool):
        refuse(f"{at}.is_active", "expected true or false")
    return value


def _read(at: str, rule: Callable[..., _T], *arguments: object) -> _T:
    """Apply a rule of the API's own to a part of the document."""
    try:
        return rule(*arguments)
    except (APIError, ValueError) as exc:
        raise invalid(at, str(exc)) from exc


def _refuse_repeated(named: list[tuple[str, str]]) -> None:
    met: set[str] = set()
    for at, value in named:
        if value in met:
            refuse(at, "the same as one before it")
        met.add(value)


class Seeder:
    """Make users with keys and sandboxes."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._controller = service.controller

    def user(self, asked: SeedUser) -> dict[str, Any]:
        """Make a user; return it with its keys in clear, this once.

        Raises:
            APIError: 409, the username is taken.
        """
        user = self._service.create_user(asked.username, asked.email, is_active=asked.is_active)
        return {
            "id": user.id,
            "username": user.username,
            "keys": [self._key(user, key) for key in asked.keys],
            "sandboxes": [self._sandbox(user, each) for each in asked.sandboxes],
        }

    def _key(self, user: User, asked: SeedKey) -> dict[str, Any]:
        secret, key = self._service.create_key(
            user, asked.name, asked.expires_at, secret=asked.secret, is_active=asked.is_active
        )
        return {"id": key.id, "name": key.name, "api_key": secret}

    def _sandbox(self, user: User, asked: SeedSandbox) -> dict[str, Any]:
        now = self._service.clock.now()
        is_paused = asked.state is Phase.PAUSED
        age = self._age(Phase.READY if is_paused else asked.state, asked.failure_mode)
        seen = now - self._controller.age(Phase.PAUSED) if is_paused else now
        made_at = seen - age
        intent = Intent(asked.failure_mode, is_paused=False, since=made_at)
        sandbox_id = self._service.ids.uuid()
        made = Sandbox(sandbox_id, user.id, asked.name, asked.image, made_at, intent)
        self._service.store.add_sandbox(self._controller.paused(made, seen) if is_paused else made)
        return {"id": made.id, "name": made.name}

    def _age(self, state: Phase, failure_mode: FailureMode) -> timedelta:
        age = self._controller.age(state)
        if failure_mode is FailureMode.RUNNING or state is Phase.UNRECONCILED:
            return age
        return max(age, self._controller.age(Phase.FAILED))
