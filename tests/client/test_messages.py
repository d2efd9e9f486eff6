"""Parsing the lines of an MCP client, and the errors of invalid ones."""

from __future__ import annotations

import json
import time

import mcp_types as types
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from sandbox_client.mcp_server.messages import Refused, parse

from tests.client.strategies import many_examples

PARSE_ERROR, INVALID_REQUEST, INVALID_PARAMS = -32700, -32600, -32602
HUGE = 10**400  # more than a float can be
DEEP = b"[" * 5_000 + b"]" * 5_000


def request(**members: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", **members}).encode()


def called(arguments: str) -> bytes:
    """Return a call with these arguments, which are JSON."""
    head = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":'
    return head + arguments.encode() + b"}}"


@pytest.mark.parametrize(
    ("line", "code", "request_id", "words"),
    [
        (b"nonsense", PARSE_ERROR, None, "is not JSON: Expecting value"),
        (b'{"jsonrpc": "2.0", "id": 1', PARSE_ERROR, None, "is not JSON"),
        (b'{"id": NaN}', PARSE_ERROR, None, "NaN is no number of JSON"),
        (b'{"id": "\xff"}', PARSE_ERROR, None, "is not UTF-8, at byte 8"),
        (b"[]", INVALID_REQUEST, None, "is a batch, which is not served"),
        (b'"x"', INVALID_REQUEST, None, "is not an object"),
        (b'{"id": 7, "method": "ping"}', INVALID_REQUEST, 7, 'jsonrpc is not "2.0"'),
        (request(jsonrpc="1.0"), INVALID_REQUEST, 1, 'jsonrpc is not "2.0"'),
        (request(jsonrpc="1.0", id=HUGE), INVALID_REQUEST, HUGE, 'jsonrpc is not "2.0"'),
        (request(jsonrpc="1.0", id=-HUGE), INVALID_REQUEST, -HUGE, 'jsonrpc is not "2.0"'),
        (b'{"id": 1e999, "method": "ping"}', INVALID_REQUEST, None, 'jsonrpc is not "2.0"'),
        (b'{"id": %s, "method": "ping"}' % (b"9" * 5_000), INVALID_REQUEST, None, "jsonrpc is"),
        (request(id=1.5), INVALID_REQUEST, 1.5, "id is neither"),
        (request(id=True), INVALID_REQUEST, None, "id is neither"),
        (request(id=None), INVALID_REQUEST, None, "id is neither"),
        (request(id={}), INVALID_REQUEST, None, "id is neither"),
        (request(params=[]), INVALID_REQUEST, 1, "params is not an object"),
        (request(params=None), INVALID_REQUEST, 1, "params is not an object"),
        (request(method=3), INVALID_REQUEST, 1, "method is not a string"),
        (b'{"jsonrpc": "2.0", "id": 3}', INVALID_REQUEST, 3, "not a request of JSON-RPC 2.0"),
        (called("[" * 5_000 + "]" * 5_000), INVALID_REQUEST, 1, "nested too deeply"),
        (called("[" * 5_000), INVALID_REQUEST, 1, "nested too deeply"),
        (b'{"method": "x", "params": {"a":' + DEEP, INVALID_REQUEST, None, "nested too deeply"),
        (b'{"method": "x", "id": [], "a":' + DEEP + b"}", INVALID_REQUEST, None, "nested too deep"),
        (b'{"a":' + DEEP + rb', "id": "\"\ud800"}', INVALID_REQUEST, '"\ufffd', "nested too deep"),
        (b"[" * 100_000, INVALID_REQUEST, None, "nested too deeply"),
        (called(r'{"command": "echo \ud83d"}'), INVALID_PARAMS, 1, "'command' .* character 5"),
        (called(r'{"content": "\udc00"}'), INVALID_PARAMS, 1, "'content' .* character 0"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_an_invalid_line_gets_an_error_with_its_id(
    line: bytes, code: int, request_id: object, words: str
) -> None:
    with pytest.raises(Refused, match=words) as caught:
        parse(line)

    assert (caught.value.code, caught.value.request_id) == (code, request_id)
    answer = json.loads(caught.value.line())
    assert (answer["jsonrpc"], answer["id"], answer["error"]["code"]) == ("2.0", request_id, code)


@pytest.mark.parametrize(
    "line",
    [
        b'{"method": "notifications/initialized"}',
        b'{"jsonrpc": "2.0", "method": "notifications/x", "params": []}',
        b'{"jsonrpc": "2.0", "method": "x", "params": {"arguments": {"command": "\\ud800"}}}',
        b'{"jsonrpc": "2.0", "method": "notifications/x", "params": {"a": %s}}' % DEEP,
    ],
    ids=lambda line: repr(line)[:60],
)
def test_an_invalid_notification_gets_no_response(line: bytes) -> None:
    assert parse(line) is None


def test_half_a_surrogate_pair_is_replaced_except_in_exact_arguments() -> None:
    message = parse(called(r'{"name": "b\ud83dx", "\udc00": ["\ud83d\ude00\uD83D", "\\ud800\n"]}'))

    assert isinstance(message, types.JSONRPCRequest)
    assert message.params == {
        "name": "x",
        "arguments": {"name": "b\ufffdx", "\ufffd": ["\U0001f600\ufffd", "\\ud800\n"]},
    }


@pytest.mark.parametrize("depth", [100, 500, 900, 2_000])
def test_half_a_surrogate_pair_may_be_nested_as_deeply_as_other_values(depth: int) -> None:
    outcomes = [is_parsed(called("[" * depth + text + "]" * depth)) for text in ("1", r'"\ud800"')]

    assert outcomes[0] == outcomes[1]


def is_parsed(line: bytes) -> bool:
    try:
        return parse(line) is not None
    except Refused:
        return False


def test_an_unterminated_string_is_refused_in_linear_time() -> None:
    line = b'{"jsonrpc":"2.0","id":1,"method":"x","params":' + b"[" * 5_000 + rb" + \"x" * 100_000
    began = time.process_time()

    with pytest.raises(Refused, match="nested too deeply"):
        parse(line)

    assert time.process_time() - began < 5, "quadratic time would be minutes"


def test_a_number_of_5000_digits_becomes_infinity() -> None:
    message = parse(called(f'{{"after": {"9" * 5_000}}}'))

    assert isinstance(message, types.JSONRPCRequest)
    assert message.params == {"name": "x", "arguments": {"after": float("inf")}}


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=6,
)


@many_examples
@given(
    line=st.binary()
    | json_values.map(lambda value: json.dumps(value).encode())
    | st.fixed_dictionaries(
        {},
        optional={
            "jsonrpc": st.just("2.0") | json_values,
            "id": json_values,
            "method": st.sampled_from(["ping", "notifications/cancelled"]) | json_values,
            "params": json_values,
            "result": json_values,
        },
    ).map(lambda value: json.dumps(value).encode())
)
@example(line=b'{"jsonrpc": "2.0", "id": "\\ud800", "method": 1}')
@example(line=b"{}")
def test_any_line_is_a_message_or_gets_an_error(line: bytes) -> None:
    try:
        message = parse(line)
    except Refused as refused:
        answer = json.loads(refused.line())
    else:
        answer = message is None or message.model_dump_json(by_alias=True, exclude_unset=True)
    assert answer
