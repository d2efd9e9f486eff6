"""The plugin as another project uses it: pytest runs of their own."""

import pytest
from sandbox_fakeproxy.distribution import install_command

pytest_plugins = ["pytester"]

IN_PROCESS = """
import asyncio
import gc
import threading

import psutil
import pytest

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_a_command_really_runs(fake_proxy):
    async with fake_proxy.client(fake_proxy.user("alice")) as http:
        assert (await http.post("/api/sandboxes", json={"name": "box"})).status_code == 201
        assert (await http.get("/api/sandboxes/box")).json()["ready"] is False
        fake_proxy.advance(2)
        body = {"command": "echo $((6 * 7))"}
        reply = await http.post("/proxy/box/v1/shell/exec", json=body)
        assert reply.json()["data"]["output"].strip() == "42"
    assert [request["status"] for request in fake_proxy.requests()] == [200, 200, 201]


async def test_what_is_left_running_is_ended(fake_proxy):
    async with fake_proxy.client(fake_proxy.user("alice")) as http:
        await http.post("/api/sandboxes", json={"name": "box"})
        fake_proxy.advance(2)
        body = {"command": "sleep 600 & echo $! > /dev/null"}
        assert (await http.post("/proxy/box/v1/shell/exec", json=body)).status_code == 200


async def test_a_command_may_still_run_when_the_test_has_ended(fake_proxy):
    http = fake_proxy.client(fake_proxy.user("alice"))
    await http.post("/api/sandboxes", json={"name": "box"})
    fake_proxy.advance(2)
    body = {"command": "sleep 600"}
    asking = asyncio.ensure_future(http.post("/proxy/box/v1/shell/exec", json=body))
    while not psutil.Process().children():
        await asyncio.sleep(0)


def test_nothing_is_left_of_it():
    gc.collect()
    assert psutil.Process().children() == []
    assert [each.name for each in threading.enumerate()] == ["MainThread"]


@pytest.mark.fake_proxy(profile="v1beta1", ready_after=0)
async def test_a_world_is_seeded_and_a_sandbox_fails(fake_proxy):
    made = await fake_proxy.seed(
        {"users": [{"username": "bob", "keys": [{}], "sandboxes": [{"name": "box"}]}]}
    )
    async with fake_proxy.client(made["users"][0]["keys"][0]["api_key"]) as http:
        assert (await http.get("/api/sandboxes/box")).json()["ready"] is True
        await fake_proxy.set_failure_mode("bob", "box", "failed")
        fake_proxy.clock.advance(1)
        assert (await http.get("/api/sandboxes/box")).json()["readyReason"] == "PodFailed"
        await fake_proxy.reset()
        assert (await http.get("/api/sandboxes/box")).status_code == 401


keys = []


sessions = []


@pytest.mark.parametrize("requests_before", [0, 3])
async def test_sessions_are_the_same_in_every_run(fake_proxy, requests_before):
    async with fake_proxy.client(fake_proxy.user("alice")) as http:
        for name in ("box", "other"):
            await http.post("/api/sandboxes", json={"name": name})
        fake_proxy.advance(2)
        body = {"command": "true"}
        for _ in range(requests_before):
            await http.post("/proxy/other/v1/shell/exec", json=body)
        reply = await http.post("/proxy/box/v1/shell/exec", json=body)
    sessions.append(reply.json()["data"]["session_id"])
    assert sessions[0] == sessions[-1]


@pytest.mark.parametrize("run", [1, 2])
def test_keys_are_the_same_in_every_run(fake_proxy, run):
    keys.append(fake_proxy.user("alice"))
    assert keys[0] == keys[-1]
    assert fake_proxy.state()["counts"] == {"users": 2, "keys": 1, "sandboxes": 0}
"""

ON_A_PORT = """
import threading

import httpx
import pytest


def test_a_command_really_runs(fake_proxy_server):
    headers = {"Authorization": f"Bearer {fake_proxy_server.user('alice')}"}
    with httpx.Client(base_url=fake_proxy_server.url, headers=headers) as http:
        http.post("/api/sandboxes", json={"name": "box"})
        assert http.get("/api/sandboxes/box").json()["ready"] is False
        fake_proxy_server.advance(2)
        assert http.get("/api/sandboxes/box").json()["ready"] is True
        body = {"command": "echo $((6 * 7)); sleep 600 &"}
        reply = http.post("/proxy/box/v1/shell/exec", json=body)
        assert reply.json()["data"]["output"].strip() == "42"


def test_a_request_under_way_does_not_hold_up_the_end(fake_proxy_server):
    http = fake_proxy_server.client(fake_proxy_server.user())
    http.post("/api/sandboxes", json={"name": "box"})
    fake_proxy_server.clock.advance(2)
    with pytest.raises(httpx.ReadTimeout):
        body = {"command": "sleep 600"}
        http.post("/proxy/box/v1/shell/exec", json=body, timeout=0.2)
    assert fake_proxy_server.requests(limit=1)[0]["status"] is None


@pytest.mark.fake_proxy(profile="v1beta1")
def test_the_fake_is_held_from_this_thread(fake_proxy_server):
    made = fake_proxy_server.seed(
        {"users": [{"username": "bob", "keys": [{}], "sandboxes": [{"name": "box"}]}]}
    )
    http = fake_proxy_server.client(made["users"][0]["keys"][0]["api_key"])
    fake_proxy_server.set_failure_mode("bob", "box", "expired")
    fake_proxy_server.advance(1)
    assert http.get("/api/sandboxes/box").json()["readyReason"] == "SandboxExpired"
    assert fake_proxy_server.state()["profile"] == "v1beta1"
    fake_proxy_server.reset()
    assert http.get("/api/sandboxes/box").status_code == 401
    admin = fake_proxy_server.client(fake_proxy_server.admin_key)
    assert admin.get("/_fake/state").json()["counts"]["users"] == 1


def test_nothing_is_left_of_the_others():
    assert [each.name for each in threading.enumerate()] == ["MainThread"]
"""

SCRIPTED = """
import asyncio

import pytest
from sandbox_fakeproxy import Outcome, ScriptedRuntime

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.fake_proxy(
        runtime=lambda: ScriptedRuntime(lambda command: Outcome(output="scripted")), ready_after=0
    ),
]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.mark.fake_proxy(profile="v1beta1")
async def test_commands_are_answered_as_scripted(fake_proxy):
    async with fake_proxy.client(fake_proxy.user()) as http:
        await http.post("/api/sandboxes", json={"name": "box"})
        reply = await http.post("/proxy/box/v1/shell/exec", json={"command": "ls"})
    assert reply.json()["data"]["output"] == "scripted"
    assert [command.text for command in fake_proxy.runtime.commands] == ["ls"]
    assert fake_proxy.state()["profile"] == "v1beta1"


def slow(clock):
    return ScriptedRuntime(lambda command: Outcome(output="slow", seconds=60), clock=clock)


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.fake_proxy(runtime=slow)
async def test_a_scripted_runtime_is_on_the_fakes_clock(fake_proxy, run):
    async with fake_proxy.client(fake_proxy.user()) as http:
        await http.post("/api/sandboxes", json={"name": "box"})
        body = {"command": "ls"}
        asking = asyncio.ensure_future(http.post("/proxy/box/v1/shell/exec", json=body))
        while not fake_proxy.runtime.commands:
            await asyncio.sleep(0)
        fake_proxy.advance(60)
        assert (await asking).json()["data"]["output"] == "slow"


sessions = []


@pytest.mark.parametrize("run", [1, 2])
@pytest.mark.fake_proxy(runtime=ScriptedRuntime, admin_key="a-key-of-mine")
def test_a_runtime_may_be_named_by_its_class(fake_proxy_server, run):
    http = fake_proxy_server.client(fake_proxy_server.user())
    http.post("/api/sandboxes", json={"name": "box"})
    reply = http.post("/proxy/box/v1/shell/exec", json={"command": "ls"})
    sessions.append(reply.json()["data"]["session_id"])
    assert sessions[0] == sessions[-1]
    assert fake_proxy_server.admin_key == "a-key-of-mine"
    admin = fake_proxy_server.client("a-key-of-mine")
    assert admin.get("/_fake/state").status_code == 200
"""

AT_FAULT = """
import threading

import pytest


@pytest.mark.fake_proxy("v1beta1")
def test_that_gives_no_name(fake_proxy):
    pass


@pytest.mark.fake_proxy(store=None)
def test_that_has_a_store(fake_proxy):
    pass


@pytest.mark.fake_proxy(redy_after=0)
def test_that_has_a_typo(fake_proxy_server):
    pass


@pytest.mark.fake_proxy(profile="v2")
def test_that_has_a_bad_value(fake_proxy):
    pass


def test_nothing_is_left_of_them():
    assert [each.name for each in threading.enumerate()] == ["MainThread"]
"""

FROZEN = """
import pytest
from freezegun import freeze_time
from sandbox_fakeproxy import SystemClock

SLEEP = {"command": "sleep 600"}
pytestmark = pytest.mark.fake_proxy(clock=SystemClock, ready_after=0.2)


@pytest.fixture(params=[False, True], ids=["frozen", "stepped-back"])
def wall_clock(request):
    with freeze_time("2020-01-01", tick=request.param) as wall_clock:
        yield wall_clock


def ready_sandbox(server):
    http = server.client(server.user())
    http.post("/api/sandboxes", json={"name": "box"})
    while not http.get("/api/sandboxes/box").json()["ready"]:
        pass
    return http


def test_limits_end_commands_and_waits(fake_proxy_server, wall_clock):
    http = ready_sandbox(fake_proxy_server)
    wall_clock.move_to("2019-01-01")
    assert http.get("/api/sandboxes/box").json()["ready"] is True

    def run(**limits):
        return http.post("/proxy/box/v1/shell/exec", json=SLEEP | limits).json()["data"]

    running = run(timeout=0.2)
    assert running["status"] == "running"
    assert run(hard_timeout=0.2)["status"] == "hard_timeout"
    assert run(no_change_timeout=1)["status"] == "no_change_timeout"
    body = {"id": running["session_id"], "seconds": 0.2}
    waited = http.post("/proxy/box/v1/shell/wait", json=body)
    assert waited.json()["data"]["status"] == "running"
    assert max(request["milliseconds"] for request in fake_proxy_server.requests()) > 900


@pytest.mark.fake_proxy(command_timeout=0.2)
def test_the_proxys_limit_ends_a_request(fake_proxy_server, wall_clock):
    http = ready_sandbox(fake_proxy_server)
    assert http.post("/proxy/box/v1/shell/exec", json=SLEEP).status_code == 504


def test_an_outage_and_the_end_do_not_stall(wall_clock, fake_proxy_server):
    http = ready_sandbox(fake_proxy_server)
    http.post("/proxy/box/v1/shell/exec", json=SLEEP | {"timeout": 0.2})
    wall_clock.move_to("2019-01-01")
    fake_proxy_server.stop()
    fake_proxy_server.start()
    assert http.get("/api/sandboxes/box").json()["ready"] is True


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.fake_proxy(ready_after=0)
async def test_in_process_a_limit_ends_a_command(fake_proxy, wall_clock, anyio_backend):
    async with fake_proxy.client(fake_proxy.user()) as http:
        await http.post("/api/sandboxes", json={"name": "box"})
        body = SLEEP | {"hard_timeout": 0.2}
        reply = await http.post("/proxy/box/v1/shell/exec", json=body)
    assert reply.json()["data"]["status"] == "hard_timeout"
"""

WITHOUT_THE_EXTRA = """
import sys

def pytest_configure(config):
    for name in ("orjson", "psutil", "python_multipart", "starlette", "uvicorn"):
        assert name not in sys.modules, name
    sys.modules["MISSING"] = None
"""

ASKING_FOR_IT = """
def test_that_needs_none_of_it():
    pass


def test_that_asks_for_it(fake_proxy):
    pass


def test_that_asks_for_a_server(fake_proxy_server):
    pass
"""


STRICTLY = ("-W", "error", "--strict-markers")
# To load every plugin of this machine takes a second and more. The README's example loads them,
# and so tests the entry point.
ONLY_PLUGINS = ("--disable-plugin-autoload", "-p", "anyio", "-p", "sandbox_fakeproxy.pytest_plugin")


def run(pytester: pytest.Pytester, tests: str) -> pytest.RunResult:
    """Run tests as strictly as a project may: any warning, and any unknown marker, is an error."""
    pytester.makepyfile(tests)
    return pytester.runpytest_subprocess(*STRICTLY, *ONLY_PLUGINS, timeout=50)


def test_a_project_tests_against_a_fake_in_process(pytester: pytest.Pytester) -> None:
    run(pytester, IN_PROCESS).assert_outcomes(passed=9)


def test_a_project_tests_against_a_fake_on_a_port(pytester: pytest.Pytester) -> None:
    run(pytester, ON_A_PORT).assert_outcomes(passed=4)


def test_a_marker_says_how_the_fake_is_made(pytester: pytest.Pytester) -> None:
    run(pytester, SCRIPTED).assert_outcomes(passed=5)


@pytest.mark.check  # takes nine seconds
def test_a_project_freezes_time_or_sets_it_back(pytester: pytest.Pytester) -> None:
    # In a process of its own: a freeze that fails midway would leave this one's time frozen.
    run(pytester, FROZEN).assert_outcomes(passed=8)


def test_the_marker_is_explained(pytester: pytest.Pytester) -> None:
    said = pytester.runpytest_inprocess("--markers").stdout.str()
    assert "@pytest.mark.fake_proxy(**options)" in said


@pytest.mark.parametrize("missing", ["python_multipart", "starlette"])
def test_without_its_extra_the_plugin_only_fails_tests_that_use_it(
    pytester: pytest.Pytester, missing: str
) -> None:
    pytester.makeconftest(WITHOUT_THE_EXTRA.replace("MISSING", missing))
    result = run(pytester, ASKING_FOR_IT)
    result.assert_outcomes(passed=1, errors=2)
    told = f"need {missing}, which is not installed. Run: {install_command('fakeproxy')}"
    assert told in result.stdout.str()


def test_a_marker_at_fault_is_named_and_leaves_no_thread(pytester: pytest.Pytester) -> None:
    result = run(pytester, AT_FAULT)
    result.assert_outcomes(passed=1, errors=4)
    result.stdout.fnmatch_lines_random(
        [
            "*The marker fake_proxy does not accept 'v1beta1'. Expected some of: *",
            "*The marker fake_proxy does not accept store=.*admin_key=, *clock=, *runtime=*",
            "*The marker fake_proxy does not accept redy_after=.*",
            "*ValueError: *v2*",
        ]
    )


def test_a_failed_test_shows_the_last_requests_and_the_state(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile("""
        def test_too_early(fake_proxy_server):
            http = fake_proxy_server.client(fake_proxy_server.user("alice"))
            http.post("/api/sandboxes", json={"name": "box"})
            fake_proxy_server.advance(1)
            http.post("/proxy/box/v1/shell/exec", json={"command": "ls"}).raise_for_status()
    """)
    ran = pytester.runpytest_inprocess("-W", "error")
    ran.assert_outcomes(failed=1)
    ran.stdout.fnmatch_lines(
        [
            "*fake_proxy_server*",
            "clock: 2026-01-01T00:00:01.000Z, profile: v1alpha1",
            "sandbox: alice's box, *",
            "201 POST /api/sandboxes (alice)",
            "503 POST /proxy/box/v1/shell/exec (alice)",
        ],
        consecutive=False,
    )
