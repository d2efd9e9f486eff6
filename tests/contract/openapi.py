"""The contract's OpenAPI document, and how an answer differs from it."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote, urlsplit

import yaml
from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

PATH = Path(__file__).parents[2] / "contract" / "openapi.yaml"
DOCUMENT: dict[str, Any] = yaml.safe_load(PATH.read_text(encoding="utf-8"))

_METHODS = ("get", "put", "post", "delete", "options", "head", "patch", "trace")
_URI = "urn:openapi"
_REGISTRY = Registry[Any]().with_resource(_URI, DRAFT202012.create_resource(DOCUMENT))


@dataclass(frozen=True, slots=True)
class Node:
    """A place in the document, `$ref`s followed, with the pointer that leads there."""

    pointer: str
    value: Any

    def __getitem__(self, key: str) -> "Node":
        return resolved(f"{self.pointer}/{_escaped(key)}")

    def __contains__(self, key: str) -> bool:
        return key in self.value

    def parts(self) -> "dict[str, Node]":
        """Return the nodes in it by key."""
        return {key: self[key] for key in self.value}


@dataclass(frozen=True, slots=True)
class Operation:
    """A method on a path of the document, which is a template."""

    method: str
    path: str
    definition: Node


@cache
def resolved(pointer: str) -> Node:
    """Return the node at a pointer, after references."""
    value = _REGISTRY.resolver(_URI).lookup(f"#{pointer}").contents
    if list(value) == ["$ref"]:
        return resolved(value["$ref"].removeprefix("#"))
    return Node(pointer, value)


@cache
def operations() -> tuple[Operation, ...]:
    """Return every operation, those with fewer parameters first."""
    found = [
        Operation(method.upper(), path, item[method])
        for path, item in resolved("/paths").parts().items()
        for method in _METHODS
        if method in item
    ]
    return tuple(sorted(found, key=lambda each: each.path.count("{")))


def operation_for(method: str, path: str) -> Operation | None:
    """Return the operation that a request belongs to, if there is one: for HEAD, that of GET."""
    path = urlsplit(path).path.removesuffix("/")
    method = "GET" if method.upper() == "HEAD" else method.upper()
    for each in operations():
        if each.method == method and _pattern(each.path).fullmatch(path):
            return each
    return None


def examples() -> Iterator[tuple[str, object, Node]]:
    """Yield every example of the document: its pointer, value and schema."""
    for node in _described(DOCUMENT, ""):
        if "example" in node:
            yield f"{node.pointer}/example", node.value["example"], node["schema"]
        if "examples" in node:
            for each in node["examples"].parts().values():
                yield each.pointer, each.value["value"], node["schema"]


def problems(
    method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
) -> list[str]:
    """Return how an answer differs from the document."""
    operation = operation_for(method, path)
    if operation is None:
        return [f"{method} {path} is no operation of the document"]
    responses = operation.definition["responses"]
    if str(status) not in responses:
        documented = ", ".join(responses.value)
        return [f"{method} {path} answered {status}. Expected one of: {documented}"]
    told = f"{method} {path} answered {status}"
    content_type = {name.lower(): value for name, value in headers.items()}.get("content-type", "")
    content = responses[str(status)]["content"]
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in content:
        expected = ", ".join(content.value)
        return [f"{told} with content type '{content_type}'. Expected one of: {expected}"]
    if method.upper() == "HEAD":
        return [f"{told} with a body"] if body else []
    return [f"{told}, and {each}" for each in _unfit(content[media_type], body)]


def unfit(schema: Node, value: Any) -> list[str]:
    """Return how a value differs from a schema of the document."""
    return [
        f"{error.json_path} is wrong: {error.message}"
        for error in _validator(schema.pointer).iter_errors(value)  # pyright: ignore[reportUnknownMemberType]  # typed in part
    ]


def _described(value: Any, pointer: str) -> Iterator[Node]:
    """Yield everything that has a schema: parameters, headers and bodies."""
    if isinstance(value, dict):
        if "schema" in value:
            yield resolved(pointer)
        for key, each in cast("dict[str, object]", value).items():
            yield from _described(each, f"{pointer}/{_escaped(key)}")
    if isinstance(value, list):
        for number, each in enumerate(cast("list[object]", value)):
            yield from _described(each, f"{pointer}/{number}")


def _unfit(media_type: Node, body: bytes) -> list[str]:
    if "schema" not in media_type:
        return []  # octets
    try:
        return unfit(media_type["schema"], json.loads(body))
    except ValueError as exc:
        return [f"the body is no JSON: {exc}"]


@cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator(
        {"$ref": f"{_URI}#{pointer}"},
        registry=_REGISTRY,
        format_checker=Draft202012Validator.FORMAT_CHECKER,
    )


@cache
def _pattern(path: str) -> re.Pattern[str]:
    literals = re.split(r"\{[^}]+\}", path)
    return re.compile("[^/]+".join(map(re.escape, literals)))


def _escaped(key: str) -> str:
    """Write a key as a part of a JSON pointer in a URI's fragment."""
    return quote(key.replace("~", "~0").replace("/", "~1"))
