"""Validation of body fields as in the deployed proxy, where it deviates."""

import json
import re
from typing import Any

from sandbox_fakeproxy.api.validation import TEXT_LIMIT, Validation
from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import JsonObject

# A DNS label. As a username, it may leave no room for the namespace's prefix.
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
# Names of Kubernetes resources; those with dots or longer than a label are no names of services.
_RESOURCE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_RESOURCE_NAME_LIMIT = 253
_EXPONENT_FROM = 1e21  # JavaScript writes numbers from here on with an exponent
# Milliseconds since 1970: the earliest time of PostgreSQL, 4714 BC, and the latest of JavaScript.
_EARLIEST, _LATEST = -210_866_803_200_000, 8_640_000_000_000_000


class DeployedValidation(Validation):
    """Validate the fields of request bodies as the deployed proxy does."""

    def username(self, body: JsonObject) -> str:
        """Return the username; a number or `true` is converted to text."""
        value = body.get("username")
        if _is_falsy(value):
            raise APIError(400, "username is required")
        name = _to_text(value)
        if LABEL.fullmatch(name) is None:
            raise APIError(400, "The database rejects the username", Quirk.USERNAME)
        return name

    def email(self, body: JsonObject) -> str | None:
        """Return the e-mail address; any JSON value is converted to text."""
        return _optional_text(
            body.get("email"),
            APIError(400, "The database rejects the e-mail address", Quirk.EMAIL),
        )

    def is_active(self, body: JsonObject) -> bool | None:
        """Return whether a user is to be active; null and `"yes"` are accepted too."""
        value = body["is_active"]
        if value is None or isinstance(value, bool):
            return value
        if value == "yes":
            return True
        raise APIError(400, "The database rejects the value of is_active", Quirk.IS_ACTIVE)

    def key_name(self, body: JsonObject) -> str | None:
        """Return the name of a new key; any JSON value is converted to text."""
        return _optional_text(
            body.get("name"), APIError(400, "The database rejects the name", Quirk.KEY_NAME)
        )

    def expires_at(self, body: JsonObject) -> Instant | None:
        """Return the expiry time of a new key.

        A number is milliseconds since 1970, and `true` is 1; a falsy value means no expiry.
        """
        value = body.get("expires_at")
        if _is_falsy(value):
            return None
        if not isinstance(value, (int, float)):
            return super().expires_at(body)
        if _EARLIEST <= value <= _LATEST:
            return Instant(int(value) * 1000)  # JavaScript drops fractions of a millisecond
        raise APIError(400, "The database rejects the value of expires_at", Quirk.EXPIRES_AT)

    def sandbox_name(self, body: JsonObject) -> str:
        """Return the name of a new sandbox: any Kubernetes name, with a leading digit too."""
        value = body.get("name")
        if _is_falsy(value):
            raise APIError(400, "name is required")
        if isinstance(value, str) and _is_resource_name(value):
            return value
        raise APIError(400, "The cluster rejects the name", Quirk.SANDBOX_NAME)

    def image(self, body: JsonObject, default: str) -> str:
        """Return the image of a new sandbox: text of any length, or `default` if there is none."""
        value = body.get("image")
        if value is None or value == "":
            return default
        if isinstance(value, str):
            return value
        raise APIError(400, "The cluster rejects the image", Quirk.IMAGE)


def _is_resource_name(value: str) -> bool:
    return len(value) <= _RESOURCE_NAME_LIMIT and _RESOURCE_NAME.fullmatch(value) is not None


def _optional_text(value: Any, too_long: APIError) -> str | None:
    """Convert a JSON value to text, except null; raise an error if the text is too long."""
    if value is None:
        return None
    text = _to_text(value)
    if len(text) > TEXT_LIMIT:
        raise too_long
    return text


def _is_falsy(value: Any) -> bool:
    """Return whether a JSON value is falsy in JavaScript; an empty list or object is not."""
    return value is None or (not isinstance(value, (list, dict)) and not value)


def _to_text(value: Any) -> str:
    """Convert a JSON value to text as JavaScript does."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        number = float(value)
    except OverflowError:
        return "Infinity" if value > 0 else "-Infinity"
    if abs(number) < _EXPONENT_FROM and number.is_integer():
        return str(int(number))
    return str(number).replace("e-0", "e-")
