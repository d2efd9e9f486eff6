"""Seeds: documents of users with keys and sandboxes, checked as a whole before any is created."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from sandbox_fakeproxy.api.validation import Validation
from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.controller import Phase
from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.http import JsonObject
from sandbox_fakeproxy.ids import KEY_PREFIX
from sandbox_fakeproxy.model import (
    FailureMode,
    User,
    failure_mode_from_image,
    parse_failure_mode,
)
from sandbox_fakeproxy.service import DEFAULT_IMAGE, QUOTA, Service

from .documents import invalid_document, parse_document, read_list, read_object, reject
from .faults import Fault, read_faults

ADMIN = "admin"  # a user of that name exists from the start

STATES = (Phase.UNRECONCILED, Phase.PENDING, Phase.STARTING, Phase.READY, Phase.PAUSED)
_KEY = re.compile(rf"{KEY_PREFIX}[A-Za-z0-9_-]{{32}}")
_VALIDATION = Validation()  # also as deployed: a seed is written for the contract
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class SeedKey:
    """A key to create; with `secret=None`, its secret is generated."""

    secret: str | None
    name: str | None
    expires_at: Instant | None
    is_active: bool


@dataclass(frozen=True, slots=True)
class SeedSandbox:
    """A sandbox to create in the phase `state`."""

    name: str
    image: str
    state: Phase
    failure_mode: FailureMode


@dataclass(frozen=True, slots=True)
class SeedUser:
    """A user to create, with keys and sandboxes."""

    username: str
    email: str | None
    is_active: bool
    keys: tuple[SeedKey, ...]
    sandboxes: tuple[SeedSandbox, ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """The whole state to create: users and armed faults."""

    users: list[SeedUser] = field(default_factory=list[SeedUser])
    faults: list[Fault] = field(default_factory=list[Fault])


def parse_seed(content: bytes, *, has_port: bool) -> Seed:
    """Parse and check the JSON of a seed.

    Raises:
        InvalidDocument: it is not JSON, or not a valid seed.
    """
    return read_seed(parse_document(content), has_port=has_port)


def read_seed(document: object, *, has_port: bool) -> Seed:
    """Check a seed; `has_port` says whether its faults may break connections.

    Raises:
        InvalidDocument: it is not a valid seed.
    """
    fields = read_object(document, "the document", {"users", "faults"})
    items = read_list(fields, "users", "users", is_required=True)
    users = [read_user(item, location) for location, item in items]
    _reject_duplicates([(f"users[{i}].username", user.username) for i, user in enumerate(users)])
    _reject_duplicates(
        [
            (f"users[{i}].keys[{k}].key", key.secret)
            for i, user in enumerate(users)
            for k, key in enumerate(user.keys)
            if key.secret is not None
        ]
    )
    usernames = {ADMIN, *(user.username for user in users)}
    return Seed(users, read_faults(fields, usernames.__contains__, has_port=has_port))


def read_user(value: object, location: str) -> SeedUser:
    """Check one user with keys and sandboxes; errors name the location of the user in the document.

    Raises:
        InvalidDocument: it is not a valid user.
    """
    fields = read_object(value, location, {"username", "email", "is_active", "keys", "sandboxes"})
    keys = read_list(fields, "keys", f"{location}.keys")
    sandboxes = tuple(
        _read_sandbox(item, item_location)
        for item_location, item in read_list(fields, "sandboxes", f"{location}.sandboxes")
    )
    if len(sandboxes) > QUOTA:
        reject(f"{location}.sandboxes", f"expected at most {QUOTA}, the quota of a user")
    _reject_duplicates(
        [(f"{location}.sandboxes[{i}].name", sandbox.name) for i, sandbox in enumerate(sandboxes)]
    )
    return SeedUser(
        username=_validate(f"{location}.username", _VALIDATION.username, fields),
        email=_validate(f"{location}.email", _VALIDATION.email, fields),
        is_active=_is_active(fields, location),
        keys=tuple(_read_key(item, item_location) for item_location, item in keys),
        sandboxes=sandboxes,
    )


def _read_key(value: object, location: str) -> SeedKey:
    fields = read_object(value, location, {"key", "name", "expires_at", "is_active"})
    secret = fields.get("key")
    if secret is not None and not (isinstance(secret, str) and _KEY.fullmatch(secret)):
        reject(f"{location}.key", f"expected {KEY_PREFIX} and 32 of A-Z, a-z, 0-9, '_' and '-'")
    return SeedKey(
        secret=secret,
        name=_validate(f"{location}.name", _VALIDATION.key_name, fields),
        expires_at=_validate(f"{location}.expires_at", _VALIDATION.expires_at, fields),
        is_active=_is_active(fields, location),
    )


def _read_sandbox(value: object, location: str) -> SeedSandbox:
    fields = read_object(value, location, {"name", "image", "state", "failure_mode"})
    image = _validate(f"{location}.image", _VALIDATION.image, fields, DEFAULT_IMAGE)
    state = fields.get("state", Phase.READY)
    if state not in STATES:
        reject(f"{location}.state", f"expected one of: {', '.join(STATES)}")
    failure_mode = fields.get("failure_mode")
    return SeedSandbox(
        name=_validate(f"{location}.name", _VALIDATION.sandbox_name, fields),
        image=image,
        state=Phase(state),
        failure_mode=failure_mode_from_image(image)
        if failure_mode is None
        else _validate(f"{location}.failure_mode", parse_failure_mode, failure_mode),
    )


def _is_active(fields: JsonObject, location: str) -> bool:
    value = fields.get("is_active", True)
    if not isinstance(value, bool):
        reject(f"{location}.is_active", "expected true or false")
    return value


def _validate(location: str, rule: Callable[..., _T], *arguments: object) -> _T:
    """Validate a part of the document by a rule of the API."""
    try:
        return rule(*arguments)
    except (APIError, ValueError) as exc:
        raise invalid_document(location, str(exc)) from exc


def _reject_duplicates(values: list[tuple[str, str]]) -> None:
    seen: set[str] = set()
    for location, value in values:
        if value in seen:
            reject(location, "has the same value as an earlier one")
        seen.add(value)


class Seeder:
    """Create the users of a seed, with keys and sandboxes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def create_user(self, seed: SeedUser) -> dict[str, Any]:
        """Create a user; return it with the secrets of its keys, which are available only here.

        Raises:
            APIError: 409, the username is taken.
        """
        user = self._service.create_user(seed.username, seed.email, is_active=seed.is_active)
        return {
            "id": user.id,
            "username": user.username,
            "keys": [self._create_key(user, key) for key in seed.keys],
            "sandboxes": [self._create_sandbox(user, sandbox) for sandbox in seed.sandboxes],
        }

    def _create_key(self, user: User, seed: SeedKey) -> dict[str, Any]:
        secret, key = self._service.create_key(
            user, seed.name, seed.expires_at, secret=seed.secret, is_active=seed.is_active
        )
        return {"id": key.id, "name": key.name, "api_key": secret}

    def _create_sandbox(self, user: User, seed: SeedSandbox) -> dict[str, Any]:
        sandbox = self._service.add_sandbox(
            user, seed.name, seed.image, seed.failure_mode, seed.state
        )
        return {"id": sandbox.id, "name": sandbox.name}
