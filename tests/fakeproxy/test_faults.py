"""Armed faults in process: `/_fake/faults`, which requests meet them, and what they answer."""

import asyncio
import json
from typing import Any

import httpx
import pytest
from sandbox_fakeproxy import InvalidDocument
from sandbox_fakeproxy.control.faults import ACTIONS, IN_PROCESS_ACTIONS, PORT_ACTIONS, Faults

from tests.fakeproxy.fake_app import Client, FakeApp, exec_path, fake_app
from tests.fakeproxy.processes import wait_until

FAULTS = "/_fake/faults"
BUSY = {"status": 503, "headers": {"Retry-After": "1"}, "body": {"error": "busy"}}
SANDBOX = "/api/sandboxes/{name}"


def faults_of(fake: FakeApp) -> Faults:
    faults: Faults = fake.app.state.fake.faults
    return faults


async def statuses(client: Client, *requests: str) -> list[int]:
    """Send requests such as `GET /health`; return the statuses of the answers."""
    return [(await client.request(*request.split())).status_code for request in requests]


# Arming ------------------------------------------------------------------------------------------


async def test_put_replaces_the_faults_get_lists_them_and_delete_clears_them(
    fake: FakeApp, alice: Client
) -> None:
    faults_of(fake).add(do="html")
    document = {"faults": [{"operation": "getMe", "skip": 1, "times": 3, "answer": BUSY}]}
    armed = await fake.admin.request("PUT", FAULTS, document)
    assert await statuses(alice, "GET /api/me", "GET /api/me", "GET /health") == [200, 503, 200]
    listed = await fake.admin.request("GET", FAULTS)
    cleared = await fake.admin.request("DELETE", FAULTS)
    assert armed.json()["faults"] == [{**document["faults"][0], "hits": 0, "left": 3}]
    assert listed.json() == {"faults": [{**document["faults"][0], "hits": 1, "left": 2}]}
    assert cleared.json()["faults"] == (await fake.admin.request("GET", FAULTS)).json()["faults"]
    assert await statuses(alice, "GET /api/me") == [200]


async def test_listed_faults_can_be_armed_again(fake: FakeApp, alice: Client) -> None:
    faults_of(fake).add(operation="getMe", times=2, answer=BUSY)
    await alice.request("GET", "/api/me")
    listed = (await fake.admin.request("GET", FAULTS)).json()
    assert (await fake.admin.request("PUT", FAULTS, listed)).status_code == 200
    assert await statuses(alice, *["GET /api/me"] * 3) == [503, 503, 200]


async def test_a_fault_without_times_is_never_spent(fake: FakeApp, alice: Client) -> None:
    faults_of(fake).add(operation="getMe", answer=BUSY)
    assert await statuses(alice, *["GET /api/me"] * 3) == [503] * 3
    (armed,) = faults_of(fake).armed()
    assert (armed["hits"], armed["left"]) == (3, None)


async def test_reset_clears_the_faults_and_a_seed_brings_its_own(fake: FakeApp) -> None:
    faults_of(fake).add(operation="getHealth", answer=BUSY)
    await fake.admin.request("POST", "/_fake/reset")
    assert await statuses(fake.anonymous, "GET /health") == [200]
    seed = {
        "users": [{"username": "bob"}],
        "faults": [{"operation": "getHealth", "user": "bob", "do": "html"}, {"delay": 1}],
    }
    reply = await fake.admin.request("PUT", "/_fake/seed", seed)
    assert reply.status_code == 200
    assert [each["hits"] for each in faults_of(fake).armed()] == [0, 0]
    await fake.admin.request("PUT", "/_fake/seed", {"users": []})
    assert faults_of(fake).armed() == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (1, "faults[0]: expected an object"),
        ({}, "faults[0]: expected answer, do or delay: the fault has no effect"),
        ({"do": "hang", "with": 1}, "faults[0].with: unknown field; expected some of: answer,"),
        ({"do": "explode"}, "faults[0].do: expected one of: hang, not-json,"),
        ({"do": ["hang"]}, "faults[0].do: expected one of: hang, not-json,"),
        ({"do": "hang", "answer": BUSY}, "faults[0].do: not with answer"),
        ({"operation": "x", "do": "hang"}, "faults[0].operation: unknown operation 'x'; expected"),
        (
            {"operation": "getMe", "path": "/api/me", "do": "hang"},
            "faults[0].operation: not with method or path",
        ),
        ({"path": "/api/nothing", "do": "hang"}, "faults[0].path: the API has no path"),
        ({"path": "/api/sandboxes/{id}", "do": "hang"}, "faults[0].path: the API has no path"),
        ({"path": 1, "do": "hang"}, "faults[0].path: expected text"),
        (
            {"method": "PUT", "path": "/api/sandboxes", "do": "hang"},
            "faults[0].method: /api/sandboxes has no method 'PUT'; expected one of: GET, POST",
        ),
        ({"method": "GET ", "do": "hang"}, "faults[0].method: 'GET ' is not a method"),
        ({"method": "get", "do": "hang"}, "faults[0].method: 'get' is not a method"),
        ({"answer": {"body": 2**70}}, "faults[0].answer.body: expected JSON with numbers"),
        ({"user": "bob", "do": "hang"}, "faults[0].user: there is no user 'bob'"),
        (
            {"operation": "createSandbox", "sandbox": "box", "do": "hang"},
            "faults[0].sandbox: the path /api/sandboxes does not contain a sandbox's name",
        ),
        ({"skip": -1, "do": "hang"}, "faults[0].skip: expected a whole number, 0 or more"),
        ({"times": 0, "do": "hang"}, "faults[0].times: expected a whole number, 1 or more"),
        ({"times": True, "do": "hang"}, "faults[0].times: expected a whole number, 1 or more"),
        ({"delay": -1}, "faults[0].delay: expected 0 to 1,000,000,000 seconds"),
        ({"delay": 10**400}, "faults[0].delay: expected 0 to"),
        ({"delay": "1"}, "faults[0].delay: expected seconds, a number"),
        ({"answer": {"status": 99}}, "faults[0].answer.status: expected 200 to 599"),
        ({"answer": {"status": 204, "text": "x"}}, "faults[0].answer.status: 204 has no body"),
        ({"answer": {"code": 1}}, "faults[0].answer.code: unknown field"),
        ({"answer": {"text": "", "body": 1}}, "faults[0].answer.text: not with body"),
        ({"answer": {"base64": "?"}}, "faults[0].answer.base64: expected base64"),
        ({"answer": {"headers": []}}, "faults[0].answer.headers: expected an object"),
        ({"answer": {"headers": {"a b": ""}}}, "faults[0].answer.headers.a b: expected the name"),
        ({"answer": {"headers": {"a": "\n"}}}, "faults[0].answer.headers.a: expected text without"),
        ({"answer": {"headers": {"Connection": ""}}}, "faults[0].answer.headers.Connection: the s"),
    ],
)
async def test_a_wrong_document_is_refused_by_its_place_and_arms_nothing(
    fake: FakeApp, fault: Any, message: str
) -> None:
    faults_of(fake).add(delay=1, times=1)
    reply = await fake.admin.request("PUT", FAULTS, {"faults": [fault]})
    assert reply.status_code == 400
    assert reply.json()["message"].startswith(message)
    assert len(faults_of(fake).armed()) == 1


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "the document: expected an object"),
        ({}, "faults: required: a list, which may be empty"),
        ({"faults": {}}, "faults: expected a list"),
        ({"fault": []}, "the document.fault: unknown field"),
    ],
)
async def test_a_document_is_an_object_with_a_list(
    fake: FakeApp, document: Any, message: str
) -> None:
    reply = await fake.admin.request("PUT", FAULTS, document)
    assert (reply.status_code, reply.json()["message"][: len(message)]) == (400, message)


@pytest.mark.parametrize("action", PORT_ACTIONS)
async def test_an_action_on_a_connection_is_refused_in_process(fake: FakeApp, action: str) -> None:
    with pytest.raises(InvalidDocument, match=f"fault.do: '{action}' breaks a connection"):
        faults_of(fake).add(do=action)


# Which requests ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "met"),
    [
        ({}, {"GET /health", "GET /api/me", "GET /api/sandboxes/a", "POST /api/sandboxes/b/pause"}),
        ({"operation": "getSandbox"}, {"GET /api/sandboxes/a"}),
        ({"path": "/health"}, {"GET /health"}),
        ({"method": "POST"}, {"POST /api/sandboxes/b/pause"}),
        ({"method": "GET", "path": SANDBOX}, {"GET /api/sandboxes/a"}),
        ({"path": "/api/sandboxes/a"}, {"GET /api/sandboxes/a"}),
        ({"path": "/api/sandboxes/b"}, set[str]()),
        ({"sandbox": "b"}, {"POST /api/sandboxes/b/pause"}),
        ({"sandbox": "a", "path": SANDBOX}, {"GET /api/sandboxes/a"}),
        ({"sandbox": "b", "path": SANDBOX}, set[str]()),
    ],
)
async def test_a_fault_meets_requests_by_operation_method_path_and_sandbox(
    fake: FakeApp, alice: Client, fault: dict[str, Any], met: set[str]
) -> None:
    faults_of(fake).add(**fault, answer={"status": 418})
    requests = ["GET /health", "GET /api/me", "GET /api/sandboxes/a", "POST /api/sandboxes/b/pause"]
    answers = await statuses(alice, *requests)
    assert {name for name, status in zip(requests, answers, strict=True) if status == 418} == met


@pytest.mark.parametrize("path", ["/proxy/{name}/{path}", "/proxy/box/v1/shell/exec"])
async def test_a_fault_meets_requests_below_proxy(fake: FakeApp, alice: Client, path: str) -> None:
    faults_of(fake).add(path=path, answer={"status": 418})
    assert await statuses(alice, f"POST {exec_path()}", "POST /api/sandboxes/box") == [418, 404]


async def test_a_fault_of_a_user_meets_that_users_key(
    fake: FakeApp, alice: Client, bob: Client
) -> None:
    faults_of(fake).add(user="bob", answer=BUSY)
    assert await statuses(alice, "GET /api/me") == [200]
    assert await statuses(bob, "GET /api/me") == [503]
    assert await statuses(fake.anonymous, "GET /api/me") == [401]
    assert await statuses(Client(fake.http, "sk_live_unknown"), "GET /api/me") == [401]


async def test_a_fault_of_the_user_admin_meets_the_admin_key(fake: FakeApp, alice: Client) -> None:
    faults_of(fake).add(user="admin", answer=BUSY)
    assert await statuses(fake.admin, "GET /api/admin/users") == [503]
    assert await statuses(alice, "GET /api/me") == [200]
    assert fake.app.state.fake.requests(status=503)[0]["caller"] == "admin"


@pytest.mark.parametrize(("as_deployed", "status"), [(True, 418), (False, 404)])
async def test_a_fault_meets_paths_in_any_case_where_the_deployed_proxy_takes_them(
    as_deployed: bool, status: int
) -> None:
    async with fake_app(as_deployed=as_deployed) as fake:
        alice = await fake.new_user("alice")
        faults_of(fake).add(operation="getSandbox", sandbox="box", answer={"status": 418})
        assert await statuses(alice, "GET /API/Sandboxes/box") == [status]
        assert await statuses(alice, "GET /api/sandboxes/BOX") == [403]
        (_, request) = fake.app.state.fake.requests(user="alice")
        assert request["route"] == (SANDBOX if as_deployed else None)


async def test_skip_and_times_count_the_requests_that_fit(fake: FakeApp, alice: Client) -> None:
    faults_of(fake).add(operation="getMe", skip=1, times=2, answer=BUSY)
    requests = ["GET /api/me", "GET /health"] * 5
    assert (await statuses(alice, *requests))[::2] == [200, 503, 503, 200, 200]


async def test_the_first_fault_that_is_due_acts(fake: FakeApp, alice: Client) -> None:
    faults_of(fake).add(operation="getMe", times=1, answer={"status": 500})
    faults_of(fake).add(operation="getMe", answer={"status": 502})
    assert await statuses(alice, "GET /api/me", "GET /api/me") == [500, 502]


async def test_head_counts_as_get(fake: FakeApp) -> None:
    faults_of(fake).add(operation="getHealth", answer={"status": 418})
    assert await statuses(fake.anonymous, "HEAD /health", "GET /health/") == [418, 418]


async def test_requests_below_fake_meet_no_fault(fake: FakeApp) -> None:
    faults_of(fake).add(answer=BUSY)
    assert await statuses(fake.admin, "GET /_fake/state", "DELETE /_fake/faults") == [200, 200]


async def test_the_request_log_names_the_fault_with_the_route_and_the_caller(
    fake: FakeApp, alice: Client
) -> None:
    for fault in ({"answer": BUSY, "times": 1}, {"do": "html", "times": 1}):
        faults_of(fake).add(**fault)
    await alice.request("GET", "/api/sandboxes/box")
    await alice.request("POST", exec_path())
    html, answer = fake.app.state.fake.requests(limit=2)
    assert (answer["fault"], answer["status"], answer["caller"]) == ("answer", 503, "alice")
    assert (html["fault"], html["status"], html["caller"]) == ("html", 200, "alice")
    assert (answer["route"], html["route"]) == (SANDBOX, "/proxy/{name}/{path}")


# What happens ------------------------------------------------------------------------------------


async def asked(fake: FakeApp, client: Client, **fault: Any) -> httpx.Response:
    """Return the answer to `createSandbox`, which meets a fault."""
    faults_of(fake).add(operation="createSandbox", **fault)
    return await client.request("POST", "/api/sandboxes", {"name": "box"})


async def has_box(client: Client) -> bool:
    return (await client.request("GET", "/api/sandboxes/box")).status_code == 200


@pytest.mark.parametrize(
    ("answer", "content_type", "content"),
    [
        ({"body": {"a": None}}, "application/json; charset=utf-8", b'{"a":null}'),
        ({"text": "busy"}, "text/plain; charset=utf-8", b"busy"),
        ({"base64": "AP8="}, None, b"\x00\xff"),
        ({"headers": {"Content-Type": "a/b"}, "text": "x"}, "a/b", b"x"),
        ({}, None, b""),
    ],
)
async def test_an_answer_replaces_the_apis(
    fake: FakeApp, alice: Client, answer: dict[str, Any], content_type: str | None, content: bytes
) -> None:
    reply = await asked(fake, alice, answer={"status": 503, **answer})
    assert (reply.status_code, reply.content) == (503, content)
    assert reply.headers.get("content-type") == content_type
    assert not await has_box(alice)


async def test_an_answer_has_its_headers(fake: FakeApp, alice: Client) -> None:
    assert (await asked(fake, alice, answer=BUSY)).headers["retry-after"] == "1"


@pytest.mark.parametrize("fault", [{}, {"answer": {"status": 503}}])
async def test_a_delay_lasts_until_the_fakes_clock_has_advanced(
    fake: FakeApp, alice: Client, fault: dict[str, Any]
) -> None:
    asking = asyncio.ensure_future(asked(fake, alice, delay=5, **fault))
    await wait_until(lambda: any(each["hits"] for each in faults_of(fake).armed()))
    fake.clock.advance(4)
    done, _ = await asyncio.wait({asking}, timeout=0.05)
    assert not done
    fake.clock.advance(1)
    assert (await asyncio.wait_for(asking, 10)).status_code == (503 if fault else 201)


async def test_hang_never_answers(fake: FakeApp, alice: Client) -> None:
    asking = asyncio.ensure_future(asked(fake, alice, do="hang"))
    done, _ = await asyncio.wait({asking}, timeout=0.05)
    assert not done
    asking.cancel()
    assert not await has_box(alice)


async def test_not_json_claims_to_be_json(fake: FakeApp, alice: Client) -> None:
    reply = await asked(fake, alice, do="not-json")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "application/json")
    with pytest.raises(json.JSONDecodeError):
        reply.json()
    assert not await has_box(alice)


async def test_html_is_a_page_in_place_of_the_answer(fake: FakeApp, alice: Client) -> None:
    reply = await asked(fake, alice, do="html")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<html>" in reply.text
    assert not await has_box(alice)


async def test_large_is_ten_megabytes_of_json(fake: FakeApp, alice: Client) -> None:
    reply = await asked(fake, alice, do="large")
    assert (reply.status_code, len(reply.content)) == (200, 10 * 1024 * 1024)
    assert list(reply.json()) == ["padding"]


async def test_wrong_type_does_the_work_and_answers_values_of_other_types(
    fake: FakeApp, alice: Client
) -> None:
    reply = await asked(fake, alice, do="wrong-type")
    faults_of(fake).clear()
    right = (await alice.request("GET", "/api/sandboxes")).json()
    faults_of(fake).add(operation="listSandboxes", do="wrong-type")
    wrong = (await alice.request("GET", "/api/sandboxes")).json()
    faults_of(fake).clear()
    assert (reply.status_code, reply.json()["success"]) == (201, "unexpected")
    assert wrong == {"count": "unexpected", "sandboxes": {"items": right["sandboxes"]}}
    assert await has_box(alice)


async def test_redirect_leads_to_another_origin(fake: FakeApp, alice: Client) -> None:
    faults_of(fake).add(do="redirect")
    reply = await alice.request("GET", "/api/sandboxes?a=b")
    location = "https://elsewhere.invalid/api/sandboxes?a=b"
    assert (reply.status_code, reply.headers["location"]) == (307, location)


def test_the_actions_are_those_of_this_module_and_of_the_one_on_a_port() -> None:
    here = {"hang", "not-json", "html", "large", "wrong-type", "redirect"}
    assert set(IN_PROCESS_ACTIONS) == here
    assert set(ACTIONS) == here | set(PORT_ACTIONS)
