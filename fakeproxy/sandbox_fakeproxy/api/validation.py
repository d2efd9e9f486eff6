"""Validate the fields of request bodies. The error for an invalid field states its rule."""

import re
from datetime import UTC, datetime

from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import JsonObject

TEXT_LIMIT = 255
IMAGE_LIMIT = 512
# The namespace is `user-<username>`, a DNS label of at most 63 characters.
_USERNAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,56}[a-z0-9])?")
_SANDBOX_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Validation:
    """Read and validate the fields of request bodies.

    Raises:
        APIError: 400, from every method.
    """

    def username(self, body: JsonObject) -> str:
        """Return the name of a new user."""
        rule = (
            "at most 58 characters: lower-case letters, digits and '-', starting and ending with a"
            " letter or digit"
        )
        return _read_label(body, "username", _USERNAME, rule, Quirk.USERNAME)

    def sandbox_name(self, body: JsonObject) -> str:
        """Return the name of a new sandbox."""
        rule = (
            "at most 63 characters: lower-case letters, digits and '-', starting with a letter and"
            " ending with a letter or digit"
        )
        return _read_label(body, "name", _SANDBOX_NAME, rule, Quirk.SANDBOX_NAME)

    def image(self, body: JsonObject, default: str) -> str:
        """Return the image of a new sandbox, or `default` if there is none."""
        value = body.get("image")
        if value is None or value == "":
            return default
        if not isinstance(value, str) or len(value) > IMAGE_LIMIT:
            message = f"image must be text of at most {IMAGE_LIMIT} characters"
            raise APIError(400, message, Quirk.IMAGE)
        return value

    def email(self, body: JsonObject) -> str | None:
        """Return a user's e-mail address."""
        return _read_text(body, "email", Quirk.EMAIL)

    def key_name(self, body: JsonObject) -> str | None:
        """Return the name of a new key."""
        return _read_text(body, "name", Quirk.KEY_NAME)

    def is_active(self, body: JsonObject) -> bool | None:
        """Return whether a user is to be active."""
        value = body["is_active"]
        if isinstance(value, bool):
            return value
        raise APIError(400, "is_active must be true or false", Quirk.IS_ACTIVE)

    def expires_at(self, body: JsonObject) -> Instant | None:
        """Return the expiry time of a new key; a time without a zone is UTC."""
        value = body.get("expires_at")
        if value is None:
            return None
        try:
            if isinstance(value, str):
                time = datetime.fromisoformat(value)
                return Instant.of(time.replace(tzinfo=time.tzinfo or UTC).astimezone(UTC))
        except (ValueError, OverflowError):
            pass
        message = "expires_at must be an ISO 8601 time, such as 2030-01-31T12:00:00Z"
        raise APIError(400, message, Quirk.EXPIRES_AT)


def uuid(value: str, field: str) -> str:
    """Return a UUID in lower case.

    Raises:
        APIError: 400; `field` names the value in the message.
    """
    if _UUID.fullmatch(value) is None:
        raise APIError(400, f"{field} must be a UUID", Quirk.ID)
    return value.lower()


def _read_label(
    body: JsonObject, field: str, pattern: re.Pattern[str], rule: str, quirk: Quirk
) -> str:
    value = body.get(field)
    if not value:
        raise APIError(400, f"{field} is required")
    if isinstance(value, str) and pattern.fullmatch(value) is not None:
        return value
    raise APIError(400, f"{field} must be a DNS label of {rule}", quirk)


def _read_text(body: JsonObject, field: str, quirk: Quirk) -> str | None:
    value = body.get(field)
    if value is None or (isinstance(value, str) and len(value) <= TEXT_LIMIT):
        return value
    raise APIError(400, f"{field} must be text of at most {TEXT_LIMIT} characters", quirk)
