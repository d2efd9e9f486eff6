"""Read the fields of a request as the runtime declares them, with all that is wrong at once."""

import math
import posixpath
from collections.abc import Callable
from typing import Any, TypeVar

from ._aio import Issue, JsonObject, Unprocessable, issue

_MOST_SECONDS = 1e9
_T = TypeVar("_T")


class Body:
    """The fields of one request. What does not fit is collected until `check`."""

    def __init__(self, fields: JsonObject) -> None:
        self._fields = fields
        self._issues: list[Issue] = []

    def text(self, name: str) -> str:
        """Return a required text."""
        return self._required(name, _text, "")

    def optional_text(self, name: str) -> str | None:
        """Return a text, or None."""
        return self._optional(name, _text)

    def flag(self, name: str, *, default: bool) -> bool:
        """Return a boolean."""
        return self._read(name, _flag, default) if name in self._fields else default

    def required_flag(self, name: str) -> bool:
        """Return a boolean that must be there."""
        return self._required(name, _flag, default=False)

    def seconds(self, name: str) -> float | None:
        """Return a length of time, or None."""
        return self._optional(name, _seconds)

    def whole_seconds(self, name: str) -> float | None:
        """Return a length of time in whole seconds, or None."""
        return self._optional(name, _whole_seconds)

    def directory(self, name: str) -> str | None:
        """Return an absolute path, or None."""
        return self._optional(name, _directory)

    def check(self) -> None:
        """Raise what was wrong.

        Raises:
            Unprocessable: something was.
        """
        if self._issues:
            raise Unprocessable(*self._issues)

    def _required(self, name: str, read: Callable[[Any], _T], default: _T) -> _T:
        if name not in self._fields:
            self._issues.append(issue(name, "Field required", "missing"))
            return default
        return self._read(name, read, default)

    def _optional(self, name: str, read: Callable[[Any], _T]) -> _T | None:
        return None if self._fields.get(name) is None else self._read(name, read, None)

    def _read(self, name: str, read: Callable[[Any], _T], default: _T) -> _T:
        try:
            return read(self._fields[name])
        except _Misfit as exc:
            self._issues.append(issue(name, *exc.args))
            return default


class _Misfit(Exception):
    """What is wrong with a value: a sentence, and its kind in pydantic's words."""


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Misfit("Input should be a valid string", "string_type")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Misfit("Input should be a valid boolean", "bool_type")
    return value


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Misfit("Input should be a valid number", "float_type")
    if math.isnan(value) or value <= 0:
        raise _Misfit("Input should be greater than 0", "greater_than")
    if value > _MOST_SECONDS:
        message = f"Input should be less than or equal to {_MOST_SECONDS:.0f}"
        raise _Misfit(message, "less_than_equal")
    return value


def _whole_seconds(value: Any) -> float:
    seconds = _seconds(value)
    if seconds != int(seconds):
        raise _Misfit(
            "Input should be a valid integer, got a number with a fractional part",
            "int_from_float",
        )
    return seconds


def _directory(value: Any) -> str:
    path = _text(value)
    if not path.startswith("/") or "\0" in path:
        raise _Misfit("Input should be an absolute path", "value_error")
    return posixpath.normpath("/" + path.lstrip("/"))
