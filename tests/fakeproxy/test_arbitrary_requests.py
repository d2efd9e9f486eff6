import asyncio
import json
import re
from urllib.parse import unquote

from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from tests.fakeproxy.fake_app import FakeApp, fake_app

METHODS = st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "X"])
PREFIXES = st.sampled_from(
    b"/ /api/ /api/sandboxes /api/sandboxes/ /api/admin/users/ /api/me/apikeys/ /proxy/ /proxy/box/"
    b" /proxy/box/v1/shell/exec /_fake/clock/advance /health".split()
)
PATHS = st.tuples(PREFIXES, st.binary(max_size=20)).map(b"".join)
FIELDS = st.sampled_from(
    [
        "name",
        "image",
        "username",
        "email",
        "expires_at",
        "is_active",
        "seconds",
        "command",
        "id",
        "hard_timeout",
        "truncate",
        "async_mode",
        "timeout",
        "strict",
        "exec_dir",
    ]
)
VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.lists(st.text(), max_size=2)
    | st.dictionaries(st.text(), st.text(), max_size=2)
)
BODIES = st.binary(max_size=200) | st.dictionaries(FIELDS, VALUES, max_size=4).map(
    lambda value: json.dumps(value).encode()
)
TYPES = st.sampled_from(
    [b"application/json", b"text/plain", b"application/json; charset=utf-16", b"\xff;;=", b""]
)


async def ask(
    fake: FakeApp, method: str, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, bytes]:
    """Call the app as a server would, with bytes that no client library would send."""
    raw_path, _, query = path.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path.decode("latin-1")),
        "raw_path": raw_path,
        "query_string": query,
        "headers": [(b"host", b"fake"), (b"content-length", b"%d" % len(body)), *headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    await fake.app(scope, receive, send)
    return sent[0]["status"], b"".join(message["body"] for message in sent[1:])


def assert_an_answer(status: int, body: bytes) -> None:
    assert status < 500 or status in {502, 503, 504}, body
    answer: dict[str, object] = json.loads(body)
    assert hasattr(answer, "keys")
    if status >= 400 and "detail" not in answer and "success" not in answer:
        assert set(answer) == {"error", "message"}
    assert b"Traceback" not in body


@settings(deadline=None, max_examples=100)
@given(
    METHODS, PATHS, st.binary(max_size=40), TYPES, BODIES, st.sampled_from(["admin", "alice", ""])
)
def test_any_request_is_answered_with_json_and_never_a_500(
    method: str, path: bytes, header: bytes, kind: bytes, body: bytes, who: str
) -> None:
    async def scenario() -> None:
        async with fake_app() as fake:
            alice = await fake.new_user("alice")
            await fake.ready_sandbox(alice)
            key = {"admin": fake.admin.key, "alice": alice.key}.get(who)
            authorization = f"Bearer {key}".encode() if key else header
            headers = [(b"authorization", authorization), (b"content-type", kind)]
            assert_an_answer(*await ask(fake, method, path, headers, body))

    asyncio.run(scenario())


@settings(deadline=None, max_examples=100)
@given(
    st.text(max_size=70)
    | st.from_regex(r"[a-z0-9-]{1,66}", fullmatch=True)
    | st.from_regex(r"[a-z][a-z0-9-]{1,66}\n?", fullmatch=True)
)
def test_a_name_is_taken_when_the_rule_allows_it_and_never_otherwise(name: str) -> None:
    def label(first: str, longest: int) -> bool:
        return (
            re.match(rf"[{first}]", name) is not None
            and re.search(r"[^-a-z0-9]", name) is None
            and not name.endswith("-")
            and len(name) <= longest
        )

    async def scenario() -> None:
        async with fake_app() as fake:
            alice = await fake.new_user("alice-9")
            made = await alice.request("POST", "/api/sandboxes", {"name": name})
            assert made.status_code == (201 if label("a-z", 63) else 400)
            free = name not in {"admin", "alice-9"}
            if free:
                user = await fake.admin.request("POST", "/api/admin/users", {"username": name})
                assert user.status_code == (201 if label("a-z0-9", 58) else 400)

    asyncio.run(scenario())
