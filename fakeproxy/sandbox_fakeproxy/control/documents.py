"""Strict reading of JSON documents: each error names its location in the document."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.http import JsonObject, parse_json
from sandbox_fakeproxy.ids import KEY_PREFIX

_ALMOST_KEY = re.compile(rf"{KEY_PREFIX}[\w-]+", re.IGNORECASE)


class InvalidDocument(ValueError):
    """A seed or a list of faults is invalid; the message says where."""


def parse_document(content: bytes) -> object:
    """Parse JSON.

    Raises:
        InvalidDocument: `content` is not JSON.
    """
    try:
        return parse_json(content)
    except APIError as exc:
        raise InvalidDocument("the document: expected JSON") from exc


def read_object(value: object, location: str, known: Iterable[str]) -> JsonObject:
    """Require that a value is an object with known fields only.

    Raises:
        InvalidDocument: it is not an object, or it has another field.
    """
    if not isinstance(value, dict):
        reject(location, "expected an object")
    fields: JsonObject = {str(name): item for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    known = sorted(known)
    for name in sorted(fields.keys() - set(known)):
        reject(f"{location}.{name}", f"unknown field; expected some of: {', '.join(known)}")
    return fields


def read_list(
    fields: JsonObject, name: str, location: str, *, is_required: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield the location and the value of each item of a list.

    Raises:
        InvalidDocument: the field is not a list, or it is required and absent.
    """
    if is_required and name not in fields:
        reject(location, "required: a list, which may be empty")
    value = fields.get(name, [])
    if not isinstance(value, list):
        reject(location, "expected a list")
    for index, item in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON
        yield f"{location}[{index}]", item


def reject(location: str, expected: str) -> NoReturn:
    """Raise the error for a location in a document.

    Raises:
        InvalidDocument: always.
    """
    raise invalid_document(location, expected)


def invalid_document(location: str, expected: str) -> InvalidDocument:
    """Return the error for a location in a document, with keys masked."""
    return InvalidDocument(_ALMOST_KEY.sub("***", f"{location}: {expected}"))
