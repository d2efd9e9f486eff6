"""The fields of bodies as the deployed proxy reads them, where it differs."""

import json
import re
from typing import Any

from sandbox_fakeproxy.api.validation import TEXT_LIMIT, Validation
from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import JsonObject

# Its own limit, which leaves no room for the namespace's prefix.
_USERNAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Names of Kubernetes resources that are no names of services: with dots, or longer than a label.
_RESOURCE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RESOURCE_NAME_LIMIT = 253
_MOST = 1e21  # JavaScript writes larger numbers with an exponent
# Milliseconds: the earliest time of PostgreSQL, 4714 BC, and the last of JavaScript.
_EARLIEST, _LATEST = -210_866_803_200_000, 8_640_000_000_000_000


class DeployedValidation(Validation):
    """Read the fields of bodies as the deployed proxy does."""

    def username(self, body: JsonObject) -> str:
        """Take a number or `true` as its text."""
        value = body.get("username")
        if _is_falsy(value):
            raise APIError(400, "username is required")
        name = _text_of(value)
        if _USERNAME.fullmatch(name) is None:
            raise APIError(400, "The username does not fit into the database", Quirk.USERNAME)
        return name

    def email(self, body: JsonObject) -> str | None:
        """Take anything as its text."""
        value = body.get("email")
        if value is None:
            return None
        text = _text_of(value)
        if len(text) > TEXT_LIMIT:
            raise APIError(400, "The e-mail does not fit into the database", Quirk.EMAIL)
        return text

    def is_active(self, body: JsonObject) -> bool | None:
        """Take null and `"yes"` too."""
        value = body["is_active"]
        if value is None or isinstance(value, bool):
            return value
        if value == "yes":
            return True
        raise APIError(400, "The database takes no such truth value", Quirk.IS_ACTIVE)

    def key_name(self, body: JsonObject) -> str | None:
        """Take any JSON value as its text."""
        value = body.get("name")
        if value is None:
            return None
        text = _text_of(value)
        if len(text) > TEXT_LIMIT:
            raise APIError(400, "The name does not fit into the database", Quirk.KEY_NAME)
        return text

    def expires_at(self, body: JsonObject) -> Instant | None:
        """Take milliseconds since 1970, `true` as one of them, and a falsy value as none."""
        value = body.get("expires_at")
        if _is_falsy(value):
            return None
        if not isinstance(value, (int, float)):
            return super().expires_at(body)
        if _EARLIEST <= value <= _LATEST:
            return Instant(int(value) * 1000)  # JavaScript drops fractions of a millisecond
        raise APIError(400, "The database takes no such time", Quirk.EXPIRES_AT)

    def sandbox_name(self, body: JsonObject) -> str:
        """Take a leading digit, and any name of a Kubernetes resource."""
        value = body.get("name")
        if _is_falsy(value):
            raise APIError(400, "name is required")
        if isinstance(value, str) and _is_resource_name(value):
            return value
        raise APIError(400, "The cluster takes no such name", Quirk.SANDBOX_NAME)

    def image(self, body: JsonObject, default: str) -> str:
        """Take any text, however long."""
        value = body.get("image")
        if value is None or value == "":
            return default
        if isinstance(value, str):
            return value
        raise APIError(400, "The cluster takes no such image", Quirk.IMAGE)


def _is_resource_name(value: str) -> bool:
    return len(value) <= _RESOURCE_NAME_LIMIT and _RESOURCE_NAME.fullmatch(value) is not None


def _is_falsy(value: Any) -> bool:
    """Tell whether a value is false in JavaScript; an empty list or object is not."""
    return value is None or (not isinstance(value, (list, dict)) and not value)


def _text_of(value: Any) -> str:
    """Write a JSON value as JavaScript would."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        number = float(value)
    except OverflowError:
        return "Infinity" if value > 0 else "-Infinity"
    if abs(number) < _MOST and number.is_integer():
        return str(int(number))
    return str(number).replace("e-0", "e-")
