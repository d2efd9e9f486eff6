"""The checks of the connection: their outcomes, messages and fixes; a check never raises."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sandbox_client import Client
from sandbox_client.diagnostics import checks, run_checks, summarize
from sandbox_client.provider import ClientCache
from sandbox_client.text import format_duration

from tests.client.interaction import StubProvider
from tests.client.secrecy import is_one_printable_line
from tests.client.strategies import malformed_bodies, some_examples
from tests.client.stubs import KEY, FakeClock, RecordedProgress, error_reply, html_page

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from sandbox_client.diagnostics import Finding

    from tests.client.stubs import Handler

URL = "http://127.0.0.1:8080"
START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
NAMES = [
    "configuration",
    "file mode",
    "encryption",
    "proxy",
    "health",
    "latency",
    "clock",
    "key",
    "sandboxes",
]
HEALTHY: dict[str, object] = {"status": "ok", "database": "connected"}


def timestamp(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def sandbox_row(name: str, age: timedelta = timedelta()) -> dict[str, object]:
    return {"name": name, "ready": True, "createdAt": timestamp(START - age)}


def key_row(prefix: str, expires: timedelta | None, *, active: bool = True) -> dict[str, object]:
    expires_at = None if expires is None else timestamp(START + expires)
    return {"key_prefix": prefix, "expires_at": expires_at, "is_active": active}


@dataclass
class DoctorStub:
    """A proxy that responds after `takes` seconds; the request takes the share `inward` of them."""

    clock: FakeClock = field(default_factory=FakeClock)
    health: Mapping[str, object] | httpx.Response | Exception = field(
        default_factory=lambda: HEALTHY
    )
    me: httpx.Response | None = None
    keys: list[dict[str, object]] | httpx.Response = field(
        default_factory=lambda: [key_row(KEY[:12], None)]
    )
    sandboxes: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    takes: list[float] = field(default_factory=lambda: [0.01])
    inward: float = 0.5
    ahead: timedelta = timedelta()
    requested: list[str] = field(default_factory=list[str])

    def now(self) -> datetime:
        return START + timedelta(seconds=self.clock.now - 1000.0)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        seconds = self.takes[min(len(self.requested), len(self.takes) - 1)]
        self.requested.append(request.url.path)
        self.clock.now += seconds * self.inward
        response = self._response(request.url.path)
        self.clock.now += seconds * (1 - self.inward)
        if isinstance(response, httpx.Response):
            return httpx.Response(
                response.status_code, headers=response.headers, content=response.content
            )
        return httpx.Response(200, json=response)

    def _response(self, path: str) -> object:
        match path:
            case "/health":
                if isinstance(self.health, Exception):
                    raise self.health
                if isinstance(self.health, httpx.Response):
                    return self.health
                return {"timestamp": timestamp(self.now() + self.ahead), **self.health}
            case "/api/me":
                return self.me or {"user": {"id": "1", "username": "ada", "email": None}}
            case "/api/me/apikeys":
                return (
                    self.keys
                    if isinstance(self.keys, httpx.Response)
                    else {"count": len(self.keys), "api_keys": self.keys}
                )
            case _:
                return {"count": len(self.sandboxes), "sandboxes": self.sandboxes}


def write(home: Path, content: object, mode: int = 0o600) -> Path:
    path = home / ".config" / "gemini-remote-sandbox" / "config.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))
    path.chmod(mode)
    return path


async def run_all(
    home: Path, handler: Handler | None = None, clock: FakeClock | None = None, **variables: str
) -> dict[str, Finding]:
    """Run all checks and return their findings by name; assert properties of every finding."""
    proxy = DoctorStub() if handler is None else handler
    time = proxy.clock if isinstance(proxy, DoctorStub) else clock or FakeClock()
    provider = StubProvider({"HOME": str(home), **variables}, proxy, time)
    now = proxy.now if isinstance(proxy, DoctorStub) else lambda: START
    found = await run_checks(provider, report=RecordedProgress(), timing=provider.timing, now=now)
    assert [each.check for each in found] == NAMES
    for each in found:
        assert KEY not in f"{each.message}{each.fix}"
        assert is_one_printable_line(each.message), ascii(each.message)
        assert bool(each.fix) is (each.outcome in {"failed", "warned"})
    return {each.check: each for each in found}


def outcomes(found: Mapping[str, Finding]) -> dict[str, str]:
    """Return the outcome of each check that did not pass."""
    return {name: each.outcome for name, each in found.items() if each.outcome != "passed"}


@pytest.fixture
def configured(home: Path) -> Path:
    write(home, {"proxyUrl": URL, "apiKey": KEY})
    return home


async def test_every_check_passes(configured: Path) -> None:
    found = await run_all(configured, DoctorStub(sandboxes=[sandbox_row("a"), sandbox_row("b")]))

    assert outcomes(found) == {}
    assert f"{configured}/.config" in found["configuration"].message
    assert found["proxy"].message == f"{URL} responds"
    assert found["latency"].message == "a request takes 10 ms (median of 5)"
    assert found["key"].message == "the proxy accepts the key; it belongs to ada"
    assert found["sandboxes"].message == "2 of 10, the usual quota, including paused ones"


async def test_without_a_configuration_the_other_checks_are_not_tried(home: Path) -> None:
    found = await run_all(home)

    assert outcomes(found) == {"configuration": "failed"} | dict.fromkeys(NAMES[1:], "not tried")
    assert "`remote-sandbox login`" in found["configuration"].fix
    assert found["file mode"].message.startswith("no file at ")
    assert {found[name].message for name in NAMES[2:]} == {"because 'configuration' failed"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
async def test_a_public_key_file_is_a_warning(home: Path, mode: int) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY}, mode)

    found = await run_all(home)

    assert outcomes(found) == {"file mode": "warned"}
    assert summarize(list(found.values())) == "The connection works, with 1 warning."
    assert f"{mode:04o}" in found["file mode"].message
    assert f"chmod 600 {path}" in found["file mode"].fix


async def test_a_file_without_a_key_may_be_public(home: Path) -> None:
    write(home, {"proxyUrl": URL}, 0o644)

    assert outcomes(await run_all(home, REMOTE_SANDBOX_API_KEY=KEY)) == {}


async def test_a_public_file_that_is_not_json_is_a_warning(home: Path) -> None:
    write(home, "").write_text(f'{{"apiKey": "{KEY}')
    (home / ".config/gemini-remote-sandbox/config.json").chmod(0o644)

    found = await run_all(home)

    assert (found["configuration"].outcome, found["file mode"].outcome) == ("failed", "warned")


async def test_the_mode_of_a_directory_is_not_checked(home: Path) -> None:
    (home / "folder").mkdir(mode=0o755)

    found = await run_all(home, REMOTE_SANDBOX_CONFIG="~/folder")

    assert (found["configuration"].outcome, found["file mode"].outcome) == ("failed", "not tried")


async def test_the_source_of_each_value_is_named(home: Path) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": "x", "defaultImage": "", "defaultPort": 80})

    found = await run_all(home, REMOTE_SANDBOX_API_KEY=KEY, REMOTE_SANDBOX_DEFAULT_IMAGE="aio:1")

    assert found["configuration"].message == (
        f"proxyUrl, defaultPort from {path}; apiKey from REMOTE_SANDBOX_API_KEY;"
        " defaultImage from REMOTE_SANDBOX_DEFAULT_IMAGE"
    )


async def test_variables_need_no_file(home: Path) -> None:
    found = await run_all(home, REMOTE_SANDBOX_API_KEY=KEY, REMOTE_SANDBOX_PROXY_URL=URL)

    assert outcomes(found) == {}
    assert found["file mode"].message.startswith("no file at ")


async def test_a_key_of_another_length_is_a_warning(home: Path) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY[:-1]})

    found = await run_all(home)

    assert outcomes(found) == {"configuration": "warned"}
    assert "39 characters, not 40" in found["configuration"].message
    assert KEY[:-1] not in found["configuration"].message


async def test_an_unset_variable_of_the_agent_is_a_warning(home: Path) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY, "agentEnvironment": ["MODEL_KEY", "MISSING"]})

    found = await run_all(home, MODEL_KEY="a secret value")

    assert outcomes(found) == {"configuration": "warned"}
    assert "agentEnvironment names MISSING, not set on" in found["configuration"].message
    assert "a secret value" not in repr(found)


@pytest.mark.parametrize(
    ("url", "outcome"),
    [
        ("http://proxy.test", "warned"),
        ("http://10.0.0.1:8080", "warned"),
        ("http://localhost.example.com", "warned"),
        ("https://proxy.test", "passed"),
        ("HTTPS://proxy.test", "passed"),
        ("http://localhost:8080", "passed"),
        ("http://LOCALHOST:8080", "passed"),
        ("http://127.9.9.9", "passed"),
        ("http://[::1]:8080", "passed"),
    ],
)
async def test_an_unencrypted_url_is_a_warning_except_on_this_machine(
    home: Path, url: str, outcome: str
) -> None:
    write(home, {"proxyUrl": url, "apiKey": KEY})

    found = (await run_all(home))["encryption"]

    assert found.outcome == outcome
    assert found.message.startswith("https:") is url.lower().startswith("https:")


async def test_an_unreachable_proxy_gets_one_request(
    configured: Path,
) -> None:
    proxy = DoctorStub(health=httpx.ConnectError("no"))

    found = await run_all(configured, proxy)

    assert outcomes(found) == {"proxy": "failed"} | dict.fromkeys(NAMES[4:], "not tried")
    assert {found[name].message for name in NAMES[4:]} == {"because 'proxy' failed"}
    assert proxy.requested == ["/health"]


async def test_unreadable_certificates_are_named_with_their_variable(home: Path) -> None:
    write(home, {"proxyUrl": "https://proxy.test", "apiKey": KEY})
    provider = ClientCache({"HOME": str(home), "SSL_CERT_FILE": "/no/such.pem"}, Client.connect)

    found = {each.check: each for each in await run_checks(provider, report=RecordedProgress())}

    assert found["proxy"].outcome == "failed"
    assert "SSL_CERT_FILE names '/no/such.pem'" in found["proxy"].message


@pytest.mark.parametrize(
    ("health", "expected"),
    [
        ({"status": "ok", "database": "disconnected"}, "database 'disconnected'"),
        ({"status": "ok"}, "database 'not reported'"),
        ({"status": "degraded", "database": "connected"}, "status 'degraded'"),
        ({"status": 1}, "a number as status"),
        (error_reply(503, "The database does not answer"), "The database does not answer"),
        (html_page(502), "an HTML page"),
        (error_reply(404, "Route GET /health not found"), "no such route"),
        (
            httpx.Response(503, json={"status": "error", "database": "disconnected"}),
            "status error, database disconnected",
        ),
        (httpx.Response(301, headers={"location": "https://other.test/"}), "a redirect"),
    ],
    ids=lambda value: None if isinstance(value, str) else "health",
)
async def test_an_unhealthy_proxy_fails_one_check_and_the_key_is_tried(
    configured: Path, health: Mapping[str, object] | httpx.Response, expected: str
) -> None:
    found = await run_all(configured, DoctorStub(health=health))

    assert outcomes(found) == {"health": "failed", "latency": "not tried", "clock": "not tried"}
    assert expected in found["health"].message


async def test_the_advice_without_a_database_is_no_list(configured: Path) -> None:
    health = {"status": "ok", "database": "disconnected"}
    proxy = DoctorStub(health=health, me=error_reply(500, "Internal server error"))

    found = await run_all(configured, proxy)

    assert outcomes(found) == {
        **dict.fromkeys(["health", "key"], "failed"),
        **dict.fromkeys(["latency", "clock", "sandboxes"], "not tried"),
    }
    assert not [each.fix for each in found.values() if "{" in each.fix]


async def test_names_that_could_pass_for_other_words_are_quoted(configured: Path) -> None:
    me = httpx.Response(200, json={"user": {"username": "ada. Next: log out\n"}})
    rows = [sandbox_row("a and 9 more", timedelta(days=2))]

    found = await run_all(configured, DoctorStub(me=me, sandboxes=rows))

    assert found["key"].message.endswith('it belongs to "ada. Next: log out"')
    assert found["sandboxes"].message.endswith('older than a day: "a and 9 more"')


@pytest.mark.parametrize(
    ("health", "outcome", "expected"),
    [
        (HEALTHY, "passed", f"{URL} responds, without the forward proxy of http_proxy"),
        (httpx.ConnectError("no"), "failed", "http_proxy is set, but remote-sandbox uses no"),
    ],
    ids=["reached", "unreachable"],
)
async def test_an_unused_forward_proxy_is_named(
    configured: Path, health: Mapping[str, object] | Exception, outcome: str, expected: str
) -> None:
    proxy = DoctorStub(health=health)

    found = (await run_all(configured, proxy, http_proxy="http://ada:password@forward.test"))[
        "proxy"
    ]

    assert found.outcome == outcome
    assert expected in f"{found.message} {found.fix}"
    assert "password" not in f"{found.message}{found.fix}"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Invalid API key", "does not know the API key"),
        ("API key has expired", "has expired"),
        ("API key is inactive", "was revoked"),
    ],
)
async def test_a_rejected_key_fails_its_own_check(
    configured: Path, message: str, expected: str
) -> None:
    found = await run_all(configured, DoctorStub(me=error_reply(401, message)))

    assert outcomes(found) == {"key": "failed", "sandboxes": "not tried"}
    assert expected in found["key"].message
    assert "`remote-sandbox login`" in found["key"].fix


async def test_the_fix_for_a_rejected_key_from_a_variable_is_to_unset_it(
    configured: Path,
) -> None:
    proxy = DoctorStub(me=error_reply(401, "Invalid API key"))

    found = await run_all(configured, proxy, REMOTE_SANDBOX_API_KEY=KEY)

    assert "REMOTE_SANDBOX_API_KEY, which overrides the file: unset that" in found["key"].fix


@pytest.mark.parametrize(
    ("ahead", "outcome", "expected"),
    [
        (timedelta(), "passed", "agrees with this machine's"),
        (timedelta(seconds=29), "passed", "29 s ahead of this machine's"),
        (timedelta(seconds=-29), "passed", "29 s behind this machine's"),
        (timedelta(seconds=31), "warned", "31 s ahead of this machine's"),
        (timedelta(hours=-3), "warned", "3 hours behind this machine's"),
    ],
    ids=str,
)
async def test_a_clock_difference_above_30_s_is_a_warning(
    configured: Path, ahead: timedelta, outcome: str, expected: str
) -> None:
    found = await run_all(configured, DoctorStub(ahead=ahead))

    assert found["clock"].outcome == outcome
    assert expected in found["clock"].message


async def test_a_slow_connection_does_not_affect_the_clock_check(configured: Path) -> None:
    found = await run_all(configured, DoctorStub(takes=[70.0]))

    assert outcomes(found) == {"latency": "warned"}
    assert found["latency"].message == "a request takes 70.0 s (median of 1)"


async def test_the_clock_is_compared_by_the_fastest_request(configured: Path) -> None:
    # The response of the last sample is slow: half of its time is a wrong estimate.
    proxy = DoctorStub(takes=[0.0, 0.0, 0.0, 60.0], inward=0.0)

    found = await run_all(configured, proxy)

    assert found["clock"].message == "the proxy's clock agrees with this machine's"


async def test_the_latency_is_the_median(configured: Path) -> None:
    found = await run_all(configured, DoctorStub(takes=[5.0, 1.5, 0.2]))

    assert found["latency"].message == "a request takes 200 ms (median of 4)"


@pytest.mark.parametrize(
    "time", ["yesterday", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00Z"]
)
async def test_a_health_reply_without_a_time_is_a_warning(time: str, configured: Path) -> None:
    found = await run_all(configured, DoctorStub(health={**HEALTHY, "timestamp": time}))

    assert outcomes(found) == {"clock": "warned"}


@pytest.mark.parametrize(
    "time", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "+275760-09-13T00:00:00Z"]
)
async def test_an_impossible_time_is_no_internal_error(time: str, configured: Path) -> None:
    keys: list[dict[str, object]] = [
        {"key_prefix": KEY[:12], "expires_at": time, "is_active": True}
    ]
    rows: list[dict[str, object]] = [{"name": "box", "ready": True, "createdAt": time}]

    found = await run_all(configured, DoctorStub(keys=keys, sandboxes=rows))

    assert outcomes(found) == {}
    assert "older than a day" not in found["sandboxes"].message


@pytest.mark.parametrize(
    ("keys", "outcome", "expected"),
    [
        ([key_row(KEY[:12], timedelta(days=6))], "warned", "ada; it expires in 6 days"),
        ([key_row(KEY[:12], timedelta(days=8))], "passed", "ada; it expires in 8 days"),
        ([key_row(KEY[:12], None)], "passed", "belongs to ada"),
        ([key_row("sk_live_none", timedelta(days=1))], "passed", "belongs to ada"),
        ([key_row("", timedelta(days=1))], "passed", "belongs to ada"),
        ([key_row(KEY[:12], timedelta(days=1))] * 2, "passed", "belongs to ada"),
        (
            [
                key_row(KEY[:12], timedelta(days=1), active=False),
                key_row(KEY[:12], timedelta(hours=5)),
            ],
            "warned",
            "in 5 hours (2026-03-04 10:06 UTC)",
        ),
        (error_reply(500, "Internal server error"), "passed", "belongs to ada"),
    ],
    ids=[
        "soon",
        "later",
        "never",
        "another key",
        "no prefix",
        "two alike",
        "a revoked key",
        "unknown",
    ],
)
async def test_the_expiry_is_shown_if_it_is_known(
    configured: Path, keys: list[dict[str, object]] | httpx.Response, outcome: str, expected: str
) -> None:
    found = await run_all(configured, DoctorStub(keys=keys))

    assert found["key"].outcome == outcome
    assert found["key"].message.endswith(expected) or f"{expected} (" in found["key"].message


async def test_the_time_to_the_expiry_is_measured_by_the_proxys_clock(configured: Path) -> None:
    keys = [key_row(KEY[:12], timedelta(days=4))]

    found = await run_all(configured, DoctorStub(keys=keys, ahead=timedelta(days=1)))

    assert "expires in 3 days (2026-03-08 05:06 UTC)" in found["key"].message


async def test_a_used_up_quota_is_a_warning(configured: Path) -> None:
    found = await run_all(
        configured, DoctorStub(sandboxes=[sandbox_row(f"box-{n}") for n in range(10)])
    )

    assert outcomes(found) == {"sandboxes": "warned"}
    assert found["sandboxes"].message.startswith("10 of 10")
    assert "{delete}" in found["sandboxes"].fix


async def test_sandboxes_older_than_a_day_are_named(configured: Path) -> None:
    ages = [sandbox_row("young", timedelta(hours=23))]
    ages += [sandbox_row(f"old-{n}", timedelta(hours=25)) for n in range(5)]

    found = await run_all(configured, DoctorStub(sandboxes=ages))

    assert outcomes(found) == {}
    assert found["sandboxes"].message.endswith("; older than a day: old-0, old-1, old-2 and 2 more")


async def test_an_internal_error_is_a_finding_with_its_type_and_place(configured: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise ValueError(f"it holds {KEY}")

    found = await run_all(configured, broken)

    assert found["proxy"].outcome == "failed"
    assert "internal error in remote-sandbox: ValueError at " in found["proxy"].message
    assert "it holds" not in found["proxy"].message


async def test_a_silent_proxy_fails_after_the_deadline(
    configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checks, "REQUEST_DEADLINE", 0.05)

    async def silent(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(5):
        found = await run_all(configured, silent)

    assert "did not answer within 0.05 s" in found["proxy"].message


async def test_each_check_that_sends_requests_is_reported(configured: Path) -> None:
    progress, proxy = RecordedProgress(), DoctorStub()
    provider = StubProvider({"HOME": str(configured)}, proxy, proxy.clock)

    await run_checks(provider, report=progress, timing=provider.timing, now=proxy.now)

    assert progress.reasons == [
        f"checking the {name}" for name in ("proxy", "latency", "key", "sandboxes")
    ]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home directory that all examples of a test share."""
    home = tmp_path_factory.mktemp("home")
    write(home, {"proxyUrl": URL, "apiKey": KEY})
    return home


@some_examples
@given(
    replies=st.lists(st.tuples(st.sampled_from([200, 200, 401, 500]), malformed_bodies), min_size=1)
)
def test_every_check_has_an_outcome_for_any_reply(
    shared_home: Path, replies: list[tuple[int, bytes]]
) -> None:
    remaining = iter(replies * 10)

    def respond(_: httpx.Request) -> httpx.Response:
        status, body = next(remaining)
        return httpx.Response(status, content=body)

    anyio.run(run_all, shared_home, respond)


@pytest.mark.parametrize(
    ("length", "expected"),
    [(0.04, "0.04 s"), (119, "119 s"), (120, "2 minutes"), (7200, "2 hours"), (172800, "2 days")],
)
def test_a_duration_is_shown_in_its_largest_unit(length: float, expected: str) -> None:
    assert format_duration(length) == expected
