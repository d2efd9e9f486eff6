import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from sandbox_fakeproxy import FakeProxy, ScriptedRuntime
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.contract.openapi import (
    DOCUMENT,
    Node,
    Operation,
    examples,
    operation_for,
    operations,
    problems,
    resolved,
    unfit,
)

KEY = "sk_live_0123456789abcdefghijklmnopqrstuv"
WORLD = {"users": [{"username": "alice", "keys": [{"key": KEY}], "sandboxes": [{"name": "box"}]}]}
STATES = [
    *({"name": each, "state": each} for each in ("created", "pending", "starting", "paused")),
    *(
        {"name": each, "failure_mode": each}
        for each in ("running", "failed", "expired", "vanished")
    ),
    *({"name": each, "failure_mode": each} for each in ("never-ready", "controller-error")),
]
JSON = {"Content-Type": "application/json; charset=utf-8"}

INSIDE = [each for each in operations() if each.path.startswith("/proxy/")]

PARAMETERS = {
    "name": "/components/schemas/SandboxName",
    "userId": "/components/schemas/Id",
    "keyId": "/components/schemas/Id",
    "id": "/components/schemas/SessionId",
}

MAY_ACCEPT_WHAT_DOES_NOT_FIT = {"negative_data_rejection": {"enabled": False}}
CONFIG: dict[str, Any] = {
    "seed": 1,
    "base-url": FakeProxy.url,
    "generation": {
        "deterministic": True,
        "database": "none",
        "max-examples": 10,
        "with-security-parameters": False,  # the test sends a key that opens something
    },
    # A method that a path does not have is an unknown route, by contract: there is no 405 with an
    # `Allow` to expect. The fake's own tests try other methods.
    "phases": {"coverage": {"unexpected-methods": []}},
    "checks": {"unsupported_method": {"enabled": False}},
    "operations": [
        {
            # An array counts as an empty object, which is right where no field is required.
            "include-operation-id": ["createMyKey", "createUserKey", "updateUser"],
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT,
        },
        {
            # Every value of `active_only` but `true` is accepted and ignored.
            "include-operation-id": "listUsers",
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT,
        },
        {
            # The runtime takes 0, 1 and texts that spell a truth value or a number for one.
            "include-operation-id": [
                "listDirectory",
                "readFile",
                "waitForCommand",
                "writeFile",
                "writeToCommand",
            ],
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT,
        },
        {
            # The same. And with `strict`, a directory that is not there is 400.
            "include-operation-id": "executeCommand",
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT
            | {"positive_data_acceptance": {"expected-statuses": [200, 400, 404, 409]}},
        },
        {
            # The same, and a directory that is not there is 400.
            "include-operation-id": "executePiped",
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT
            | {"positive_data_acceptance": {"expected-statuses": [200, 400]}},
        },
        {
            # The same, and an unknown session or command is 404.
            "include-operation-id": "readPipedOutput",
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT
            | {"positive_data_acceptance": {"expected-statuses": [200, 404]}},
        },
        {
            # Any octets are a valid part of a form.
            "include-operation-id": "uploadFile",
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT,
        },
        {
            # Whether an expression is one comes out when there is a file to search.
            "include-operation-id": "searchFile",
            "checks": MAY_ACCEPT_WHAT_DOES_NOT_FIT,
        },
        {
            # Which patterns stay below the directory is said in words only.
            "include-operation-id": "findFiles",
            "checks": {"positive_data_acceptance": {"expected-statuses": [200, 422]}},
        },
        {
            # A path that leads to no file is well-formed, and 400 as there are no octets to send.
            "include-operation-id": "downloadFile",
            "checks": {"positive_data_acceptance": {"expected-statuses": [200, 400, 404]}},
        },
    ],
}


class Stage:
    """An app for collection, which passes requests on to the fake of the test that runs."""

    fake: FakeProxy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"  # which tells the client that there is no lifespan
        await self.fake.app(scope, receive, send)


STAGE = Stage()
# Schemathesis is typed in part.
API = schemathesis.openapi.from_dict(
    DOCUMENT,
    config=schemathesis.Config.from_dict(CONFIG),  # pyright: ignore[reportUnknownMemberType]
)
API.app = STAGE


def a_fake(**options: Any) -> FakeProxy:
    return FakeProxy(Path("/nothing/runs"), runtime=ScriptedRuntime, **options)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeProxy]:
    """Supply a fake without users; tests that need some seed it for each request anew."""
    with closing(a_fake()) as made:
        yield made


async def furnished(fake: FakeProxy, path: str) -> dict[str, str]:
    """Create the user, sandbox, session and file that a path needs; return its parameters."""
    alice = (await fake.seed(WORLD))["users"][0]
    async with fake.client(KEY) as http:
        if "/shell/" in path:
            await http.post("/proxy/box/v1/shell/sessions/create", json={"id": "main"})
        if "/bash/" in path:
            await http.post("/proxy/box/v1/bash/sessions/create", json={"session_id": "main"})
        if "/file/" in path and not path.endswith(("/write", "/upload")):
            notes = {"file": "/sandbox/notes.txt", "content": "hello\n"}
            await http.post("/proxy/box/v1/file/write", json=notes)
    return {"name": "box", "userId": alice["id"], "keyId": alice["keys"][0]["id"], "id": "main"}


def aimed(parameters: dict[str, Any], there: dict[str, str]) -> dict[str, Any]:
    """Replace well-formed parameters by existing ones, so that requests get past a 404."""
    return {
        name: value if unfit(resolved(PARAMETERS[name]), value) else there[name]
        for name, value in parameters.items()
    }


def key_for(fake: FakeProxy, path: str) -> dict[str, str]:
    key = fake.admin_key if path.startswith("/api/admin/") else KEY
    return {"Authorization": f"Bearer {key}"}


def anonymous(path: str) -> str:
    """Return a path's template without the names of its parameters."""
    return re.sub(r"\{[^}]+\}", "{}", path)


def bodies(operation: Operation) -> Iterator[Node]:
    """Yield an operation's request and responses in each of their media types."""
    whole = [*operation.definition["responses"].parts().values()]
    if "requestBody" in operation.definition:
        whole.append(operation.definition["requestBody"])
    for each in whole:
        yield from each["content"].parts().values()


def test_the_document_is_openapi_3_1() -> None:
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)


def test_the_document_has_the_routes_of_the_fake_and_no_others(fake: FakeProxy) -> None:
    served = {
        (method, anonymous(route.path))
        for route in fake.app.routes
        if isinstance(route, Route) and not route.path.startswith("/_fake/")
        for method in route.methods or ()  # routes for any method lead to the runtime
    }
    documented = {
        (method, anonymous(each.path))
        for each in operations()
        if not each.path.startswith("/proxy/")
        for method in (("GET", "HEAD") if each.method == "GET" else (each.method,))
    }
    assert documented == served


@pytest.mark.parametrize("operation", INSIDE, ids=lambda each: each.definition.value["operationId"])
async def test_the_runtime_has_every_documented_path_below_a_sandbox(
    fake: FakeProxy, operation: Operation
) -> None:
    there = await furnished(fake, operation.path)
    async with fake.client(KEY) as http:
        reply = await http.request(operation.method, operation.path.format(**there))
    assert reply.status_code != 405
    assert reply.json() != {"detail": "Not Found"}


def test_every_example_is_as_its_schema_says() -> None:
    wrong = {pointer: unfit(described, value) for pointer, value, described in examples()}
    assert {pointer: told for pointer, told in wrong.items() if told} == {}
    assert len(wrong) > 50


def test_every_body_has_an_example() -> None:
    without = [
        body.pointer
        for operation in operations()
        for body in bodies(operation)
        if "examples" not in body
    ]
    assert without == []


@pytest.mark.parametrize("profile", ["v1alpha1", "v1beta1"])
async def test_a_sandbox_in_any_state_is_as_the_document_says(profile: str) -> None:
    alice = {"username": "alice", "keys": [{"key": KEY}], "sandboxes": STATES}
    paths = ["/api/sandboxes", *(f"/api/sandboxes/{each['name']}" for each in STATES)]
    with closing(a_fake(profile=profile)) as fake:
        await fake.seed({"users": [alice]})
        async with fake.client(KEY) as http:
            for path in paths:
                reply = await http.get(path)
                assert reply.status_code == (502 if path.endswith("/vanished") else 200)
                assert problems("GET", path, reply.status_code, reply.headers, reply.content) == []


@pytest.mark.check
@API.parametrize()  # pyright: ignore[reportUnknownMemberType, reportUntypedFunctionDecorator]
def test_any_request_is_answered_as_the_document_says(
    case: schemathesis.Case[Any], fake: FakeProxy
) -> None:
    STAGE.fake = fake
    case.path_parameters = aimed(case.path_parameters, asyncio.run(furnished(fake, case.path)))
    case.call_and_validate(headers=key_for(fake, case.path))  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize(
    ("path", "status", "headers", "body", "problem"),
    [
        ("/x", 404, JSON, {}, "GET /x is no operation of the document"),
        ("/health", 500, JSON, {}, "GET /health answered 500. Expected one of: 200, 503"),
        (
            "/health",
            503,
            {},
            {},
            "GET /health answered 503 with content type ''. Expected one of: application/json",
        ),
        (
            "/health",
            503,
            JSON,
            {"error": "Gone", "message": "It is"},
            "GET /health answered 503, and $.error is wrong: 'Service Unavailable' was expected",
        ),
    ],
)
def test_an_answer_that_is_not_as_the_document_says_is_told(
    path: str, status: int, headers: dict[str, str], body: Any, problem: str
) -> None:
    assert problems("GET", path, status, headers, json.dumps(body).encode()) == [problem]


def test_a_body_that_is_no_json_is_told() -> None:
    (problem,) = problems("GET", "/health", 200, JSON, b"<html>")
    assert problem.startswith("GET /health answered 200, and the body is no JSON")


def test_an_answer_that_is_as_the_document_says_is_no_problem() -> None:
    octets = {"CONTENT-TYPE": "application/octet-stream"}
    path = "/proxy/box/v1/file/download?path=/sandbox/blob"
    assert problems("get", path, 200, octets, b"\x00") == []


def test_a_response_to_head_is_described_by_get_and_has_no_body() -> None:
    assert problems("HEAD", "/health", 200, JSON, b"") == []
    (problem,) = problems("HEAD", "/health", 200, JSON, b"{}")
    assert problem == "HEAD /health answered 200 with a body"
    assert problems("HEAD", "/health", 404, JSON, b"") != []


@pytest.mark.parametrize(
    ("method", "path", "template"),
    [
        ("POST", "/proxy/box/v1/shell/sessions/create", "/proxy/{name}/v1/shell/sessions/create"),
        ("DELETE", "/proxy/box/v1/shell/sessions/create", "/proxy/{name}/v1/shell/sessions/{id}"),
        ("GET", "/api/sandboxes/", "/api/sandboxes"),
        ("GET", "/api/sandboxes/a%2Fb?c=d", "/api/sandboxes/{name}"),
    ],
)
def test_a_request_belongs_to_the_operation_whose_path_fits(
    method: str, path: str, template: str
) -> None:
    operation = operation_for(method, path)
    assert operation is not None
    assert operation.path == template


@pytest.mark.parametrize(
    ("method", "path"),
    [("PUT", "/api/me"), ("GET", "/api/sandboxes/a/b"), ("GET", "/proxy/box/v1/browser/info")],
)
def test_other_requests_belong_to_none(method: str, path: str) -> None:
    assert operation_for(method, path) is None
