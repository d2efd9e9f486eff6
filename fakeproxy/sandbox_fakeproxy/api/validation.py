"""The fields of bodies: each that breaks a rule is refused with a message that says the rule."""

import re
from datetime import UTC, datetime

from sandbox_fakeproxy.clock import Instant
from sandbox_fakeproxy.errors import APIError, Quirk
from sandbox_fakeproxy.http import JsonObject

TEXT_LIMIT = 255
IMAGE_LIMIT = 512
# The namespace is `user-<username>`, and must itself fit into 63 characters.
_USERNAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,56}[a-z0-9])?")
_SANDBOX_NAME = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


class Validation:
    """Read the fields of bodies.

    Raises:
        APIError: 400, from every method.
    """

    def username(self, body: JsonObject) -> str:
        """Return the username asked for."""
        rule = (
            "at most 58 characters: lower-case letters, digits and '-', starting and ending with a"
            " letter or digit"
        )
        return _label(body, "username", _USERNAME, rule, Quirk.USERNAME)

    def sandbox_name(self, body: JsonObject) -> str:
        """Return the sandbox name asked for."""
        rule = (
            "at most 63 characters: lower-case letters, digits and '-', starting with a letter and"
            " ending with a letter or digit"
        )
        return _label(body, "name", _SANDBOX_NAME, rule, Quirk.SANDBOX_NAME)

    def image(self, body: JsonObject, default: str) -> str:
        """Return the image asked for, or the proxy's default."""
        value = body.get("image")
        if value is None or value == "":
            return default
        if not isinstance(value, str) or len(value) > IMAGE_LIMIT:
            message = f"image must be text of at most {IMAGE_LIMIT} characters"
            raise APIError(400, message, Quirk.IMAGE)
        return value

    def email(self, body: JsonObject) -> str | None:
        """Return the e-mail address asked for."""
        return _text(body, "email", Quirk.EMAIL)

    def key_name(self, body: JsonObject) -> str | None:
        """Return the name asked for a key."""
        return _text(body, "name", Quirk.KEY_NAME)

    def is_active(self, body: JsonObject) -> bool | None:
        """Return whether a user shall be let in."""
        value = body["is_active"]
        if isinstance(value, bool):
            return value
        raise APIError(400, "is_active must be true or false", Quirk.IS_ACTIVE)

    def expires_at(self, body: JsonObject) -> Instant | None:
        """Return when a key expires; a time without a zone is in UTC."""
        value = body.get("expires_at")
        if value is None:
            return None
        try:
            if isinstance(value, str):
                moment = datetime.fromisoformat(value)
                return Instant.of(moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC))
        except (ValueError, OverflowError):
            pass
        message = "expires_at must be an ISO 8601 time, such as 2030-01-31T12:00:00Z"
        raise APIError(400, message, Quirk.EXPIRES_AT)


def uuid(value: str, what: str) -> str:
    """Return an id in its usual writing."""
    if _UUID.fullmatch(value) is None:
        raise APIError(400, f"{what} must be a UUID", Quirk.ID)
    return value.lower()


def _label(body: JsonObject, field: str, pattern: re.Pattern[str], rule: str, fault: Quirk) -> str:
    value = body.get(field)
    if not value:
        raise APIError(400, f"{field} is required")
    if isinstance(value, str) and pattern.fullmatch(value) is not None:
        return value
    raise APIError(400, f"{field} must be a DNS label of {rule}", fault)


def _text(body: JsonObject, field: str, fault: Quirk) -> str | None:
    value = body.get(field)
    if value is None or (isinstance(value, str) and len(value) <= TEXT_LIMIT):
        return value
    raise APIError(400, f"{field} must be text of at most {TEXT_LIMIT} characters", fault)
