"""The fake's table of operations is that of contract/openapi.yaml."""

import re

from sandbox_fakeproxy.api.operations import OPERATIONS

from tests.contract.openapi import DOCUMENT

METHODS = {"get", "post", "put", "delete"}


def anonymous(path: str) -> str:
    """Return a path without the names of its parameters."""
    return re.sub(r"\{\w+\}", "{}", path)


def test_the_operations_are_those_of_the_document() -> None:
    documented = {
        operation["operationId"]: (method.upper(), anonymous(path))
        for path, item in DOCUMENT["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    }
    table = {name: (method, anonymous(path)) for name, (method, path) in OPERATIONS.items()}
    assert table == documented
