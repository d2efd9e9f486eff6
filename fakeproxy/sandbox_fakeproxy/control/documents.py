"""Read JSON documents strictly: each error names its place in the document."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from sandbox_fakeproxy.errors import APIError
from sandbox_fakeproxy.http import JsonObject, parse_json
from sandbox_fakeproxy.ids import KEY_PREFIX

_ALMOST_KEY = re.compile(rf"{KEY_PREFIX}[\w-]+", re.IGNORECASE)


class InvalidDocument(ValueError):
    """A seed or a list of faults is not as it must be; the message says where."""


def parse_document(content: bytes) -> object:
    """Parse JSON.

    Raises:
        InvalidDocument: it is malformed.
    """
    try:
        return parse_json(content)
    except APIError as exc:
        raise InvalidDocument("the document: expected JSON") from exc


def read_object(value: object, at: str, known: Iterable[str]) -> JsonObject:
    """Return an object that has known fields only.

    Raises:
        InvalidDocument: it is no object, or has another field.
    """
    if not isinstance(value, dict):
        refuse(at, "expected an object")
    read: JsonObject = {str(name): each for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
    known = sorted(known)
    for name in sorted(read.keys() - set(known)):
        refuse(f"{at}.{name}", f"unknown field; expected some of: {', '.join(known)}")
    return read


def read_list(
    fields: JsonObject, name: str, at: str, *, is_required: bool = False
) -> Iterator[tuple[str, Any]]:
    """Yield each item of a list with its place.

    Raises:
        InvalidDocument: it is no list, or is required and absent.
    """
    if is_required and name not in fields:
        refuse(at, "required: a list, which may be empty")
    value = fields.get(name, [])
    if not isinstance(value, list):
        refuse(at, "expected a list")
    for number, each in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]  # JSON
        yield f"{at}[{number}]", each


def refuse(at: str, expected: str) -> NoReturn:
    """Raise the error for a place in a document.

    Raises:
        InvalidDocument: always.
    """
    raise invalid(at, expected)


def invalid(at: str, expected: str) -> InvalidDocument:
    """Return the error for a place in a document; a key in it is masked."""
    return InvalidDocument(_ALMOST_KEY.sub("***", f"{at}: {expected}"))
