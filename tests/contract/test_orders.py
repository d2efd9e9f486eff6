"""Races: answers that some order of the requests explains, and orders that replay."""

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sandbox_contract.clauses.races import CREATE, DELETE
from sandbox_contract.clauses.stateful.linearizability import (
    Step,
    final_states,
    require_linearizable,
)
from sandbox_contract.http.client import Caller, HttpClient
from sandbox_contract.http.exchange import Exchange
from sandbox_contract.http.expect import Reply, Violation
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

if TYPE_CHECKING:
    from collections.abc import Awaitable


def reply(body: Any, status: int = 200) -> Reply:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": "text/html" if isinstance(body, bytes) else "application/json"}
    return Reply(Exchange("DELETE", "/x", {}, b"", status, headers, content, 0.1))


@pytest.mark.parametrize(
    ("start", "steps", "statuses", "wanted"),
    [
        (False, [CREATE, CREATE], [201, 409], {True}),
        (False, [CREATE, CREATE], [409, 201], {True}),
        (False, [CREATE, CREATE], [201, 201], set[bool]()),
        (False, [CREATE, CREATE], [409, 409], set[bool]()),
        (True, [DELETE, DELETE], [403, 200], {False}),
        (True, [DELETE, DELETE], [200, 200], set[bool]()),
        (False, [CREATE, DELETE], [201, 200], {False}),
        (False, [CREATE, DELETE], [201, 403], {True}),
        (False, [CREATE, DELETE], [409, 403], set[bool]()),
        (False, [CREATE, DELETE, CREATE], [201, 200, 201], {True}),
        # A 5xx may have been done, or not.
        (False, [CREATE, CREATE], [201, 500], {True}),
        (False, [CREATE], [500], {True, False}),
        (True, [DELETE, CREATE], [500, 409], {True, False}),
    ],
)
def test_answers_are_those_of_some_order_or_of_none(
    start: bool, steps: list[Step[bool]], statuses: list[int], wanted: set[bool]
) -> None:
    assert final_states(start, steps, statuses) == wanted


@pytest.mark.parametrize(
    ("status", "body", "is_legal"),
    [
        (404, {"error": "Not Found", "message": "Sandbox not found"}, True),
        (404, {"error": "Sandbox not found"}, True),
        (404, {"error": "Not Found", "message": "User not found"}, False),
        (404, {"error": ["Sandbox not found"]}, False),
        (404, b"<html>Sandbox not found</html>", False),
        (409, {"error": "Sandbox not found"}, False),
    ],
)
def test_a_request_that_races_a_delete_may_be_404(status: int, body: Any, is_legal: bool) -> None:
    replies = [reply({}), reply(body, status)]
    if is_legal:
        assert require_linearizable(True, [DELETE, DELETE], replies, seed=1) == {False}
    else:
        with pytest.raises(Violation, match="delete 200, delete 4"):
            require_linearizable(True, [DELETE, DELETE], replies, seed=1)
    with pytest.raises(Violation):
        require_linearizable(True, [DELETE], replies[1:], seed=1)


@settings(deadline=None)  # a busy machine takes longer than the default of 0.2 s
@given(st.lists(st.sampled_from([CREATE, DELETE]), max_size=4), st.booleans(), st.randoms())
def test_answers_of_a_sequential_run_are_always_legal(
    steps: list[Step[bool]], start: bool, random: Any
) -> None:
    order = list(range(len(steps)))
    random.shuffle(order)
    state, statuses = start, [0] * len(steps)
    for number in order:
        statuses[number], state = steps[number].apply(state)
    assert state in final_states(start, steps, statuses)


class Register:
    """An app that looks and does with a step between, as no proxy should."""

    def __init__(self) -> None:
        self.order: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.order.append(scope["path"])
        await PlainTextResponse("done")(scope, receive, send)


async def raced(seed: int) -> list[str]:
    app = Register()
    wire = HttpClient("http://target", app)
    caller = Caller(wire)
    asked: list[Awaitable[Reply]] = [caller("GET", f"/{number}") for number in range(6)]
    replies = await wire.race(seed, *asked)
    await wire.close()
    assert [reply.exchange.path for reply in replies] == [f"/{number}" for number in range(6)]
    return app.order


async def test_a_seed_replays_its_order() -> None:
    for seed in range(5):
        assert await raced(seed) == await raced(seed)


async def test_seeds_try_many_orders() -> None:
    orders = {tuple(await raced(seed)) for seed in range(20)}
    assert len(orders) > 10


async def test_requests_outside_a_race_are_not_held_up() -> None:
    app = Register()
    wire = HttpClient("http://target", app)
    asked = [Caller(wire)("GET", f"/{number}") for number in range(4)]
    await asyncio.gather(*asked)
    await wire.close()
    assert app.order == [f"/{number}" for number in range(4)]
