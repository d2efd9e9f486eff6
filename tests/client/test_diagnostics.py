"""The checks of the connection: each has an outcome and a fix, and none raises."""

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
from sandbox_client.client import Client
from sandbox_client.client_cache import ClientCache
from sandbox_client.diagnostics import context, run_checks, summary
from sandbox_client.diagnostics.finding import span

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
WELL: dict[str, object] = {"status": "ok", "database": "connected"}


def iso(time: datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def row(name: str, age: timedelta = timedelta()) -> dict[str, object]:
    return {"name": name, "ready": True, "createdAt": iso(START - age)}


def key_row(prefix: str, expires: timedelta | None, *, active: bool = True) -> dict[str, object]:
    moment = None if expires is None else iso(START + expires)
    return {"key_prefix": prefix, "expires_at": moment, "is_active": active}


@dataclass
class DoctorStub:
    """A proxy that replies after `takes` seconds, the share `inward` of them on the way there."""

    clock: FakeClock = field(default_factory=FakeClock)
    health: Mapping[str, object] | httpx.Response | Exception = field(default_factory=lambda: WELL)
    me: httpx.Response | None = None
    keys: list[dict[str, object]] | httpx.Response = field(
        default_factory=lambda: [key_row(KEY[:12], None)]
    )
    sandboxes: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    takes: list[float] = field(default_factory=lambda: [0.01])
    inward: float = 0.5
    ahead: timedelta = timedelta()
    asked: list[str] = field(default_factory=list[str])

    def now(self) -> datetime:
        return START + timedelta(seconds=self.clock.now - 1000.0)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        seconds = self.takes[min(len(self.asked), len(self.takes) - 1)]
        self.asked.append(request.url.path)
        self.clock.now += seconds * self.inward
        answer = self._answer(request.url.path)
        self.clock.now += seconds * (1 - self.inward)
        if isinstance(answer, httpx.Response):
            return httpx.Response(
                answer.status_code, headers=answer.headers, content=answer.content
            )
        return httpx.Response(200, json=answer)

    def _answer(self, path: str) -> object:
        match path:
            case "/health":
                if isinstance(self.health, Exception):
                    raise self.health
                if isinstance(self.health, httpx.Response):
                    return self.health
                return {"timestamp": iso(self.now() + self.ahead), **self.health}
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


async def examined(
    home: Path, played: Handler | None = None, clock: FakeClock | None = None, **variables: str
) -> dict[str, Finding]:
    """Return the finding of each check, after assertions that hold for all."""
    proxy = DoctorStub() if played is None else played
    time = proxy.clock if isinstance(proxy, DoctorStub) else clock or FakeClock()
    provider = StubProvider({"HOME": str(home), **variables}, proxy, time)
    now = proxy.now if isinstance(proxy, DoctorStub) else lambda: START
    found = await run_checks(provider, report=RecordedProgress(), timing=provider.timing, now=now)
    assert [each.check for each in found] == NAMES
    for each in found:
        assert KEY not in f"{each.words}{each.fix}"
        assert is_one_printable_line(each.words), ascii(each.words)
        assert bool(each.fix) is (each.outcome in {"failed", "warned"})
    return {each.check: each for each in found}


def outcomes(found: Mapping[str, Finding]) -> dict[str, str]:
    """Return the outcome of each check that did not pass."""
    return {name: each.outcome for name, each in found.items() if each.outcome != "passed"}


@pytest.fixture
def configured(home: Path) -> Path:
    write(home, {"proxyUrl": URL, "apiKey": KEY})
    return home


async def test_every_check_passes_with_its_finding(configured: Path) -> None:
    found = await examined(configured, DoctorStub(sandboxes=[row("a"), row("b")]))

    assert outcomes(found) == {}
    assert f"{configured}/.config" in found["configuration"].words
    assert found["proxy"].words == f"{URL} answers"
    assert found["latency"].words == "a request takes 10 ms (the median of 5)"
    assert found["key"].words == "the proxy takes the key: it is ada's"
    assert found["sandboxes"].words == "2 of 10, the usual quota; paused ones count"


async def test_without_a_configuration_the_other_checks_are_not_tried(home: Path) -> None:
    found = await examined(home)

    assert outcomes(found) == {"configuration": "failed"} | dict.fromkeys(NAMES[1:], "not tried")
    assert "`remote-sandbox login`" in found["configuration"].fix
    assert found["file mode"].words.startswith("there is no file ")
    assert {found[name].words for name in NAMES[2:]} == {"since 'configuration' failed"}


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
async def test_a_public_key_file_is_a_warning(home: Path, mode: int) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": KEY}, mode)

    found = await examined(home)

    assert outcomes(found) == {"file mode": "warned"}
    assert summary(list(found.values())) == "The connection works, with 1 warning."
    assert f"{mode:04o}" in found["file mode"].words
    assert f"chmod 600 {path}" in found["file mode"].fix


async def test_a_file_without_a_key_may_be_public(home: Path) -> None:
    write(home, {"proxyUrl": URL}, 0o644)

    assert outcomes(await examined(home, REMOTE_SANDBOX_API_KEY=KEY)) == {}


async def test_a_public_file_that_is_not_json_is_a_warning(home: Path) -> None:
    write(home, "").write_text(f'{{"apiKey": "{KEY}')
    (home / ".config/gemini-remote-sandbox/config.json").chmod(0o644)

    found = await examined(home)

    assert (found["configuration"].outcome, found["file mode"].outcome) == ("failed", "warned")


async def test_the_mode_of_a_folder_is_not_checked(home: Path) -> None:
    (home / "folder").mkdir(mode=0o755)

    found = await examined(home, REMOTE_SANDBOX_CONFIG="~/folder")

    assert (found["configuration"].outcome, found["file mode"].outcome) == ("failed", "not tried")


async def test_the_source_of_each_value_is_named(home: Path) -> None:
    path = write(home, {"proxyUrl": URL, "apiKey": "x", "defaultImage": "", "defaultPort": 80})

    found = await examined(home, REMOTE_SANDBOX_API_KEY=KEY, REMOTE_SANDBOX_DEFAULT_IMAGE="aio:1")

    assert found["configuration"].words == (
        f"proxyUrl, defaultPort from {path}; apiKey from REMOTE_SANDBOX_API_KEY;"
        " defaultImage from REMOTE_SANDBOX_DEFAULT_IMAGE"
    )


async def test_variables_need_no_file(home: Path) -> None:
    found = await examined(home, REMOTE_SANDBOX_API_KEY=KEY, REMOTE_SANDBOX_PROXY_URL=URL)

    assert outcomes(found) == {}
    assert found["file mode"].words.startswith("there is no file ")


async def test_a_key_of_another_length_is_a_warning(home: Path) -> None:
    write(home, {"proxyUrl": URL, "apiKey": KEY[:-1]})

    found = await examined(home)

    assert outcomes(found) == {"configuration": "warned"}
    assert "39 characters, a whole one 40" in found["configuration"].words
    assert KEY[:-1] not in found["configuration"].words


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

    found = (await examined(home))["encryption"]

    assert found.outcome == outcome
    assert found.words.startswith("https:") is url.lower().startswith("https:")


async def test_an_unreachable_proxy_gets_one_request(
    configured: Path,
) -> None:
    played = DoctorStub(health=httpx.ConnectError("no"))

    found = await examined(configured, played)

    assert outcomes(found) == {"proxy": "failed"} | dict.fromkeys(NAMES[4:], "not tried")
    assert {found[name].words for name in NAMES[4:]} == {"since 'proxy' failed"}
    assert played.asked == ["/health"]


async def test_unreadable_certificates_are_named_with_their_variable(home: Path) -> None:
    write(home, {"proxyUrl": "https://proxy.test", "apiKey": KEY})
    provider = ClientCache({"HOME": str(home), "SSL_CERT_FILE": "/no/such.pem"}, Client.connect)

    found = {each.check: each for each in await run_checks(provider, report=RecordedProgress())}

    assert found["proxy"].outcome == "failed"
    assert "SSL_CERT_FILE names '/no/such.pem'" in found["proxy"].words


@pytest.mark.parametrize(
    ("health", "words"),
    [
        ({"status": "ok", "database": "disconnected"}, "database 'disconnected'"),
        ({"status": "ok"}, "database 'not told'"),
        ({"status": "degraded", "database": "connected"}, "status 'degraded'"),
        ({"status": 1}, "a number as status"),
        (error_reply(503, "The database does not answer"), "The database does not answer"),
        (html_page(502), "an HTML page"),
        (error_reply(404, "Route GET /health not found"), "no such route"),
        (httpx.Response(301, headers={"location": "https://other.test/"}), "a redirect"),
    ],
    ids=lambda value: None if isinstance(value, str) else "health",
)
async def test_an_unhealthy_proxy_fails_one_check_and_the_key_is_tried(
    configured: Path, health: Mapping[str, object] | httpx.Response, words: str
) -> None:
    found = await examined(configured, DoctorStub(health=health))

    assert outcomes(found) == {"health": "failed", "latency": "not tried", "clock": "not tried"}
    assert words in found["health"].words


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("Invalid API key", "does not know the API key"),
        ("API key has expired", "has expired"),
        ("API key is inactive", "was revoked"),
    ],
)
async def test_a_rejected_key_fails_its_own_check(configured: Path, said: str, words: str) -> None:
    found = await examined(configured, DoctorStub(me=error_reply(401, said)))

    assert outcomes(found) == {"key": "failed", "sandboxes": "not tried"}
    assert words in found["key"].words
    assert "`remote-sandbox login`" in found["key"].fix


async def test_a_rejected_key_from_a_variable_advises_to_unset_it(
    configured: Path,
) -> None:
    refused = DoctorStub(me=error_reply(401, "Invalid API key"))

    found = await examined(configured, refused, REMOTE_SANDBOX_API_KEY=KEY)

    assert "REMOTE_SANDBOX_API_KEY, which wins over the file: unset that" in found["key"].fix


@pytest.mark.parametrize(
    ("ahead", "outcome", "words"),
    [
        (timedelta(), "passed", "agrees with this machine's"),
        (timedelta(seconds=29), "passed", "29.0 s ahead of this machine's"),
        (timedelta(seconds=-29), "passed", "29.0 s behind this machine's"),
        (timedelta(seconds=31), "warned", "31.0 s ahead of this machine's"),
        (timedelta(hours=-3), "warned", "3 hours behind this machine's"),
    ],
    ids=str,
)
async def test_a_clock_difference_above_30_s_is_a_warning(
    configured: Path, ahead: timedelta, outcome: str, words: str
) -> None:
    found = await examined(configured, DoctorStub(ahead=ahead))

    assert found["clock"].outcome == outcome
    assert words in found["clock"].words


async def test_a_slow_connection_is_no_wrong_clock(configured: Path) -> None:
    found = await examined(configured, DoctorStub(takes=[70.0]))

    assert outcomes(found) == {"latency": "warned"}
    assert found["latency"].words == "a request takes 70.0 s (the median of 1)"


async def test_the_clock_is_compared_by_the_fastest_request(configured: Path) -> None:
    # The last sample takes its time on the way back only, which halving cannot know.
    played = DoctorStub(takes=[0.0, 0.0, 0.0, 60.0], inward=0.0)

    found = await examined(configured, played)

    assert found["clock"].words == "the proxy's clock agrees with this machine's"


async def test_latency_is_the_median(configured: Path) -> None:
    found = await examined(configured, DoctorStub(takes=[5.0, 1.5, 0.2]))

    assert found["latency"].words == "a request takes 200 ms (the median of 4)"


async def test_a_health_reply_without_a_time_is_a_warning(configured: Path) -> None:
    found = await examined(configured, DoctorStub(health={**WELL, "timestamp": "yesterday"}))

    assert outcomes(found) == {"clock": "warned"}


@pytest.mark.parametrize(
    ("keys", "outcome", "words"),
    [
        ([key_row(KEY[:12], timedelta(days=6))], "warned", "ada's, and expires in 6 days"),
        ([key_row(KEY[:12], timedelta(days=8))], "passed", "ada's, and expires in 8 days"),
        ([key_row(KEY[:12], None)], "passed", "it is ada's"),
        ([key_row("sk_live_none", timedelta(days=1))], "passed", "it is ada's"),
        ([key_row("", timedelta(days=1))], "passed", "it is ada's"),
        ([key_row(KEY[:12], timedelta(days=1))] * 2, "passed", "it is ada's"),
        (
            [
                key_row(KEY[:12], timedelta(days=1), active=False),
                key_row(KEY[:12], timedelta(hours=5)),
            ],
            "warned",
            "in 5 hours (2026-03-04 10:06 UTC)",
        ),
        (error_reply(500, "Internal server error"), "passed", "it is ada's"),
    ],
    ids=["soon", "later", "never", "another", "no prefix", "two alike", "a revoked one", "untold"],
)
async def test_the_expiry_is_shown_if_the_key_is_certain(
    configured: Path, keys: list[dict[str, object]] | httpx.Response, outcome: str, words: str
) -> None:
    found = await examined(configured, DoctorStub(keys=keys))

    assert found["key"].outcome == outcome
    assert found["key"].words.endswith(words) or f"{words} (" in found["key"].words


async def test_the_expiry_is_counted_by_the_proxys_clock(configured: Path) -> None:
    keys = [key_row(KEY[:12], timedelta(days=4))]

    found = await examined(configured, DoctorStub(keys=keys, ahead=timedelta(days=1)))

    assert "expires in 3 days (2026-03-08 05:06 UTC)" in found["key"].words


async def test_a_used_up_quota_is_a_warning(configured: Path) -> None:
    found = await examined(configured, DoctorStub(sandboxes=[row(f"box-{n}") for n in range(10)]))

    assert outcomes(found) == {"sandboxes": "warned"}
    assert found["sandboxes"].words.startswith("10 of 10")
    assert "{delete}" in found["sandboxes"].fix


async def test_sandboxes_older_than_a_day_are_named(configured: Path) -> None:
    ages = [row("young", timedelta(hours=23))]
    ages += [row(f"old-{n}", timedelta(hours=25)) for n in range(5)]

    found = await examined(configured, DoctorStub(sandboxes=ages))

    assert outcomes(found) == {}
    assert found["sandboxes"].words.endswith("; older than a day: old-0, old-1, old-2 and 2 more")


async def test_an_internal_error_is_a_finding_with_type_and_place(configured: Path) -> None:
    def broken(_: httpx.Request) -> httpx.Response:
        raise ValueError(f"it holds {KEY}")

    found = await examined(configured, broken)

    assert found["proxy"].outcome == "failed"
    assert "internal error in remote-sandbox: ValueError at " in found["proxy"].words
    assert "it holds" not in found["proxy"].words


async def test_a_silent_proxy_fails_after_the_deadline(
    configured: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(context, "STEP_DEADLINE", 0.05)

    async def silent(_: httpx.Request) -> httpx.Response:
        await anyio.sleep_forever()
        raise AssertionError

    with anyio.fail_after(5):
        found = await examined(configured, silent)

    assert "did not answer within 0.05 s" in found["proxy"].words


async def test_each_slow_check_is_reported(configured: Path) -> None:
    progress, played = RecordedProgress(), DoctorStub()
    provider = StubProvider({"HOME": str(configured)}, played, played.clock)

    await run_checks(provider, report=progress, timing=provider.timing, now=played.now)

    assert progress.reasons == [
        f"looking at the {name}" for name in ("proxy", "latency", "key", "sandboxes")
    ]


@pytest.fixture(scope="module")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all examples of a test."""
    home = tmp_path_factory.mktemp("home")
    write(home, {"proxyUrl": URL, "apiKey": KEY})
    return home


@some_examples
@given(
    answers=st.lists(st.tuples(st.sampled_from([200, 200, 401, 500]), malformed_bodies), min_size=1)
)
def test_every_check_has_an_outcome_for_any_reply(
    shared_home: Path, answers: list[tuple[int, bytes]]
) -> None:
    asked = iter(answers * 10)

    def answer(_: httpx.Request) -> httpx.Response:
        status, body = next(asked)
        return httpx.Response(status, content=body)

    anyio.run(examined, shared_home, answer)


@pytest.mark.parametrize(
    ("length", "words"),
    [(0.04, "0.0 s"), (119, "119.0 s"), (120, "2 minutes"), (7200, "2 hours"), (172800, "2 days")],
)
def test_a_duration_is_shown_in_a_fitting_unit(length: float, words: str) -> None:
    assert span(timedelta(seconds=length)) == words
