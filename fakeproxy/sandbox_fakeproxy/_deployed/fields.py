"""What the deployed proxy takes in a body, where that is not what it should take."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from sandbox_fakeproxy._errors import Fault, Refusal
from sandbox_fakeproxy._http import JsonObject
from sandbox_fakeproxy._proxy import fields as sane

# Its own limit, which leaves no room for the namespace's prefix.
_USERNAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL = _USERNAME
# What names a Kubernetes resource, and yet no service: with dots, or longer than a label.
_RESOURCE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RESOURCE_NAME_LIMIT = 253
_MOST = 1e21  # JavaScript writes what is larger with an exponent


def username(body: JsonObject) -> str:
    """Take a number or `true` as its text."""
    value = body.get("username")
    if _is_falsy(value):
        raise Refusal(400, "username is required")
    name = _text_of(value)
    if _USERNAME.fullmatch(name) is None:
        raise Refusal(400, "The username does not fit into the database", Fault.USERNAME)
    return name


def email(body: JsonObject) -> str | None:
    """Take anything as its text."""
    value = body.get("email")
    if value is None:
        return None
    text = _text_of(value)
    if len(text) > sane.TEXT_LIMIT:
        raise Refusal(400, "The e-mail does not fit into the database", Fault.EMAIL)
    return text


def is_active(body: JsonObject) -> bool | None:
    """Take null and `"yes"` too."""
    value = body["is_active"]
    if value is None or isinstance(value, bool):
        return value
    if value == "yes":
        return True
    raise Refusal(400, "The database takes no such truth value", Fault.IS_ACTIVE)


def expires_at(body: JsonObject) -> datetime | None:
    """Take milliseconds since 1970, of which `true` is one, and anything falsy as none."""
    value = body.get("expires_at")
    if _is_falsy(value):
        return None
    if not isinstance(value, (int, float)):
        return sane.expires_at(body)
    try:
        return datetime.fromtimestamp(value / 1000, UTC)
    except (ValueError, OverflowError, OSError) as exc:
        raise Refusal(400, "The database takes no such time", Fault.EXPIRES_AT) from exc


def sandbox_name(body: JsonObject) -> str:
    """Take a leading digit, and whatever may name a resource."""
    value = body.get("name")
    if _is_falsy(value):
        raise Refusal(400, "name is required")
    if isinstance(value, str) and _is_resource_name(value):
        return value
    raise Refusal(400, "The cluster takes no such name", Fault.SANDBOX_NAME)


def image(body: JsonObject, default: str) -> str:
    """Take any text, however long."""
    value = body.get("image")
    if value is None or value == "":
        return default
    if isinstance(value, str):
        return value
    raise Refusal(400, "The cluster takes no such image", Fault.IMAGE)


def spends(name: str, image: str) -> bool:
    """Tell whether creation fails half-way, so that nobody can have the name any more."""
    return _LABEL.fullmatch(name) is None or len(image) > sane.IMAGE_LIMIT


def _is_resource_name(value: str) -> bool:
    return len(value) <= _RESOURCE_NAME_LIMIT and _RESOURCE_NAME.fullmatch(value) is not None


def _is_falsy(value: Any) -> bool:
    """Tell what is false in JavaScript, where an empty list or object is not."""
    return value is None or (not isinstance(value, (list, dict)) and not value)


def _text_of(value: Any) -> str:
    """Write a JSON value as JavaScript would."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return json.dumps(value, ensure_ascii=False)
    if abs(value) >= _MOST:
        return "1e+21"  # or more, which is as little a name
    number = float(value)
    return str(int(number)) if number.is_integer() else str(number)
