"""Forwarding of requests to a sandbox."""

import asyncio
import contextlib

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import EXEC, NO_SERVICE, NOT_READY, in_volume
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Reply, require
from sandbox_contract.target import Need

from .lifetime import is_from_warm_pool, observe_lifetime
from .routes import expect_head_as_get

_DEADLINE = 300.0  # seconds that the proxy waits for a response of the runtime
_SIGNAL_TIMEOUT = 20  # seconds that one command waits for a file of another
_MAX_HOLD = 450  # seconds that a command is held at most: more than _DEADLINE


# Not ready --------------------------------------------------------------------------------------


@clause(
    "commands.not-ready.503",
    "A command for a newly created sandbox is 503.",
    source="not-ready",
    needs=Need.USER,
)
async def a_new_sandbox_refuses_commands(run: Run) -> None:
    reply = (await run.once(observe_lifetime)).exec_before_ready
    if is_from_warm_pool(run, is_ready=reply.status == 200):
        return
    reply.expect(503)
    is_no_service = reply.fields().get("message") == NO_SERVICE
    reply.expect_refusal(503, NO_SERVICE if is_no_service else NOT_READY)


@clause(
    "commands.not-ready.runs-nothing",
    "A command for a sandbox that is not ready yet does not run, not even later.",
    source="not-ready",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_that_comes_too_soon_does_not_run(run: Run) -> None:
    await run.sandboxes.ready()  # otherwise unsupported: no sandbox gets ready
    box, files = await run.sandboxes.new(), list[str]()

    async def send_until_ready() -> bool | None:
        if await run.clock.is_phase(box, Phase.READY):
            return True
        file = run.name("early")
        reply = await box.exec(in_volume(f"touch {file}"))
        if reply.status < 400 and await run.clock.is_phase(box, Phase.READY):
            return True  # it became ready in between, and the command may have run
        files.append(file)
        return None

    awaited = f"sandbox {box.name} to be ready"
    await run.clock.until(awaited, send_until_ready, last=lambda: "a sandbox that is not ready")
    await run.sandboxes.until_it_answers(box)
    if not files:
        run.note("ready at once, as from a pool of warm ones")
    found = (await box.output(in_volume("ls"))).split()
    made = [file for file in files if file in found]
    require(not made, "no file that such a command would have made", made)


@clause(
    "commands.not-ready.service",
    "Until the sandbox has a service, a command is 503, and the message says so.",
    source="not-ready",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_command_before_the_service_is_refused(run: Run) -> None:
    box = await run.sandboxes.new()
    (await box.exec("true")).expect_refusal(503, NO_SERVICE)
    (await box.ask("/v1/sandbox", method="GET")).expect_refusal(503, NO_SERVICE)


@clause(
    "commands.not-ready.pod",
    "Until the pod is ready, a command is 503, and the message says so.",
    source="not-ready",
    needs=(Need.USER, Need.EXACT_CLOCK),
)
async def a_command_before_the_pod_is_ready_is_refused(run: Run) -> None:
    box = await run.sandboxes.new()
    await run.clock.until_phase(box, Phase.PENDING)
    (await box.exec("true")).expect_refusal(503, NOT_READY)
    await run.clock.until_phase(box, Phase.STARTING)
    (await box.exec("true")).expect_refusal(503, NOT_READY)


@clause(
    "commands.paused.runs-nothing",
    "A command for a paused sandbox does not run, not even after a resume.",
    source="paused",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_paused_sandbox_runs_nothing(run: Run) -> None:
    box, file = await run.sandboxes.ready(), run.name("file")
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    reply = await box.exec(in_volume(f"touch {file}"))
    require(reply.status >= 400, "a refusal", reply, reply)
    await run.sandboxes.ready()
    found = await box.output(in_volume(f"ls {file} 2>/dev/null; true"))
    require(found == "", "no file that the command would have made", found)


@clause(
    "commands.paused.503",
    "A command for a paused sandbox is 503.",
    source="paused",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def a_paused_sandbox_refuses_commands(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    (await box.exec("true")).expect_refusal(503, NOT_READY)


# Requests and responses -------------------------------------------------------------------------


@clause(
    "commands.reply.unchanged",
    "The runtime's error responses pass through with their status and body.",
    source="forwarded-requests",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def the_runtimes_errors_pass(run: Run) -> None:
    box = await run.sandboxes.ready()
    unknown = (await box.exec("true", id=run.name("session"))).expect(404)
    require("error" not in unknown.fields(), "the runtime's own words", unknown, unknown)
    invalid = (await box.ask(EXEC, {})).expect(422)
    require(isinstance(invalid.fields()["detail"], list), "FastAPI's detail", invalid, invalid)


def _probe(box: SandboxHandle, path: str) -> str:
    return box.runtime(f"/contract-probe/{path}")


@clause(
    "commands.method.any",
    "Requests of any method and path reach the runtime, and its status is returned.",
    source="forwarded-requests",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME, Need.PROBE),
)
async def any_method_reaches_the_runtime(run: Run) -> None:
    box = await run.sandboxes.ready()
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        for status in (200, 201, 400, 418, 500):
            reply = await box.owner.call(method, _probe(box, f"status/{status}"))
            reply.expect_fields(status, method=method, status=status)


@clause(
    "commands.head.as-get",
    "Below /proxy/, every route with GET also has HEAD: the same status and headers, and no body.",
    source="head-and-options",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def head_matches_get(run: Run) -> None:
    box = await run.sandboxes.ready()
    await expect_head_as_get(box.owner.call, box.runtime("/v1/sandbox"))


@clause(
    "commands.query.forwarded",
    "A query string reaches the runtime.",
    source="query-strings-headers-and-bodies",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def a_query_reaches_the_runtime(run: Run) -> None:
    box, file = await run.sandboxes.ready(), f"/sandbox/{run.name('file')}"
    await box.succeed("/v1/file/write", {"file": file, "content": '{"in": "json"}'})
    reply = await box.owner.call("GET", box.runtime(f"/v1/file/download?path={file}"))
    body = reply.expect(200).exchange.body
    require(body == b'{"in": "json"}', "the file's content", reply, reply)


@clause(
    "commands.body.forwarded",
    "An upload reaches the runtime.",
    source="query-strings-headers-and-bodies",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def an_upload_reaches_the_runtime(run: Run) -> None:
    box, name = await run.sandboxes.ready(), run.name("file")
    reply = await box.owner.call(
        "POST",
        box.runtime("/v1/file/upload"),
        files={"file": (name, bytes(range(256))), "path": (None, f"/sandbox/{name}")},
    )
    reply.expect_fields(success=True)
    size = await box.output(in_volume(f"wc -c < {name}"))
    require(size.strip() == "256", "a file of 256 bytes", size)


@clause(
    "commands.body.large",
    "A body over 100 KB reaches the runtime.",
    source="query-strings-headers-and-bodies",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def a_large_body_passes(run: Run) -> None:
    box, file = await run.sandboxes.ready(), f"/sandbox/{run.name('file')}"
    body = {"file": file, "content": "x" * 150_000}
    written = await box.succeed("/v1/file/write", body)
    require(written["bytes_written"] == 150_000, "150,000 bytes written", written)


@clause(
    "commands.reply.binary",
    "A response that is not JSON passes through unchanged.",
    source="query-strings-headers-and-bodies",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def a_binary_reply_passes(run: Run) -> None:
    box, file = await run.sandboxes.ready(), f"/sandbox/{run.name('file')}"
    body = {"file": file, "content": "AAEC/f7/", "encoding": "base64"}
    await box.succeed("/v1/file/write", body)
    reply = await box.owner.call("GET", box.runtime(f"/v1/file/download?path={file}"))
    is_same = reply.expect(200).exchange.body == b"\x00\x01\x02\xfd\xfe\xff"
    require(is_same, "the file's six bytes", reply.exchange.body, reply)


@clause(
    "commands.headers.forwarded",
    "Headers reach the runtime.",
    source="query-strings-headers-and-bodies",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME, Need.PROBE),
    level=Level.SHOULD,
)
async def headers_reach_the_runtime(run: Run) -> None:
    box = await run.sandboxes.ready()
    sent = {"X-Contract": "a value", "Accept-Language": "tlh"}
    reply = await box.owner.call("GET", _probe(box, "status/200"), headers=sent)
    headers = reply.expect_fields()["headers"]
    received = {name: headers.get(name.lower()) for name in sent}
    require(received == sent, f"the headers {sent}", received, reply)


@clause(
    "commands.unreachable.reset",
    "When the runtime resets the connection, the response is 502.",
    source="unreachable-runtimes",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME, Need.PROBE),
    level=Level.SHOULD,
)
async def a_reset_connection_is_a_bad_gateway(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.owner.call("GET", _probe(box, "reset"))).expect_refusal(502)


@clause(
    "commands.unreachable.no-json",
    "When the runtime's response claims to be JSON and is not, the response is 502.",
    source="unreachable-runtimes",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME, Need.PROBE),
    level=Level.SHOULD,
)
async def invalid_json_is_a_bad_gateway(run: Run) -> None:
    box = await run.sandboxes.ready()
    (await box.owner.call("GET", _probe(box, "no-json"))).expect_refusal(502)


# Time -------------------------------------------------------------------------------------------


def _wait_for_file(file: str, seconds: int) -> str:
    """Return a shell loop that waits until a file exists, for `seconds` at most."""
    condition = f"[ -e {file} ] || [ $i -ge {seconds * 20} ]"
    return f"i=0; until {condition}; do sleep 0.05; i=$((i+1)); done"


class _HeldCommand:
    """A command that runs until another command releases it, and marks its progress with files."""

    def __init__(self, run: Run, box: SandboxHandle) -> None:
        self.box = box
        self._name = run.name("held")

    @property
    def command(self) -> str:
        """The shell command, which runs until its release or for `_MAX_HOLD` seconds."""
        loop = _wait_for_file(f"{self._name}.go", _MAX_HOLD)
        return in_volume(f"touch {self._name}.on; {loop}; touch {self._name}.done")

    async def reached(self, stage: str) -> bool:
        """Return whether the command reaches a stage in time.

        The wait is a command in the sandbox, so that it takes one request.
        """
        file = f"{self._name}.{stage}"
        command = in_volume(f"{_wait_for_file(file, _SIGNAL_TIMEOUT)}; ls {file}")
        return bool((await self.box.run(command))["exit_code"] == 0)

    async def release(self) -> None:
        """Let the command end."""
        await self.box.run(in_volume(f"touch {self._name}.go"))


async def _start_held(held: _HeldCommand) -> asyncio.Task[Reply]:
    """Start a held command, and return its pending request when the command runs."""
    request = asyncio.ensure_future(held.box.exec(held.command, no_change_timeout=3600))
    try:
        require(
            await held.reached("on"), f"a command that begins within {_SIGNAL_TIMEOUT} s", "none"
        )
    except BaseException:
        request.cancel()
        raise
    return request


@clause(
    "commands.deadline.504",
    "A command without a response after 300 s is 504.",
    source="time-limit",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME, Need.LONG_WAIT),
    level=Level.SHOULD,
)
async def a_command_beyond_the_deadline_is_a_gateway_timeout(run: Run) -> None:
    held = _HeldCommand(run, await run.sandboxes.ready())
    request = await _start_held(held)
    try:
        await run.clock.advance(_DEADLINE)
        reply = await _response_after_deadline(run, request)
        reply.expect_refusal(504)
    finally:
        await held.release()
        await _disconnect(request)


async def _response_after_deadline(run: Run, request: asyncio.Task[Reply]) -> Reply:
    """Return the response that is due; a late proxy gets 5 more seconds on its clock."""
    done, _ = await asyncio.wait({request}, timeout=0.5)
    if not done:
        await run.clock.advance(5)
        done, _ = await asyncio.wait({request}, timeout=10)
    require(done, f"an answer after {_DEADLINE:g} s", "none")
    return request.result()


async def _disconnect(request: asyncio.Task[Reply]) -> None:
    request.cancel()
    with contextlib.suppress(asyncio.CancelledError, Exception):
        await request


@clause(
    "commands.deadline.within",
    "A command with a response within 300 s is not cut off.",
    source="time-limit",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME, Need.EXACT_CLOCK),
)
async def a_command_within_the_deadline_completes(run: Run) -> None:
    held = _HeldCommand(run, await run.sandboxes.ready())
    request = await _start_held(held)
    try:
        await run.clock.advance(_DEADLINE - 1)
        require(not request.done(), "a command that is not cut off", "an answer")
        await held.release()
        data = (await request).expect_fields(success=True)["data"]
        require(data["status"] == "completed", "a command that has completed", data)
    finally:
        await held.release()
        await _disconnect(request)


@clause(
    "commands.disconnect.goes-on",
    "A command continues after its caller disconnects.",
    source="disconnects",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_command_outlives_its_caller(run: Run) -> None:
    held = _HeldCommand(run, await run.sandboxes.ready())
    await _disconnect(await _start_held(held))
    await held.release()
    require(await held.reached("done"), "a command that goes on to its end", "none")
