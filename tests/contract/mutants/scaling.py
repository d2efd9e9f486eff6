"""Wrong proxies in how sandboxes are paused and resumed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_fakeproxy._errors import Refusal
from sandbox_fakeproxy._http import Arguments, Reply
from sandbox_fakeproxy._local.runtime import LocalRuntime
from sandbox_fakeproxy._proxy.sandboxes import Sandboxes
from sandbox_fakeproxy._state.controller import Controller
from sandbox_fakeproxy._state.fates import Fate
from sandbox_fakeproxy._state.profiles import Phase
from sandbox_fakeproxy._state.records import Intent

from .mutant import Kind
from .rewriting import BOX, answered, body, error, losing, setting, status, turning

if TYPE_CHECKING:
    from datetime import datetime

    from sandbox_fakeproxy._state.records import Sandbox, User


# Pause and resume --------------------------------------------------------------------------------

SCALED = Kind("Pausing and resuming")
for _id, _said, _change in (
    ("no-replicas", "lacks replicas", body(losing("replicas"))),
    ("no-success", "lacks success", body(losing("success"))),
    ("replicas-text", "has a text as replicas", body(turning("replicas", str))),
    ("replicas-2", "says 2 replicas", body(setting("replicas", 2))),
    ("message", "says otherwise", body(setting("message", "Sandbox scaled"))),
    ("status", "is 202", status(202)),
):
    for _verb in ("pause", "resume"):
        SCALED.add(
            f"sandboxes.{_verb}.{_id}",
            f"The answer to {_verb} {_said}.",
            answered(f"POST {BOX}/{_verb}", _change),
            f"sandboxes.{_verb}.reply",
        )


@SCALED.of(
    "sandboxes.pause.once",
    "Pausing a paused sandbox is 409.",
    "sandboxes.pause.again",
)
class PausedOnce(Sandboxes):
    async def pause(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        if sandbox.asked.is_paused:
            raise Refusal(409, f"Sandbox '{sandbox.name}' is paused already")
        return await super().pause(_user, sandbox, _asked)


@SCALED.of(
    "sandboxes.resume.once",
    "Resuming a sandbox that runs is 409.",
    "sandboxes.resume.again",
)
class ResumedOnce(Sandboxes):
    async def resume(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        if not sandbox.asked.is_paused:
            raise Refusal(409, f"Sandbox '{sandbox.name}' runs already")
        return await super().resume(_user, sandbox, _asked)


@SCALED.of(
    "sandboxes.pause.ready-only",
    "A sandbox that is not ready yet cannot be paused.",
    "sandboxes.delete.paused",
)
class ReadyOnly(Sandboxes):
    async def pause(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        phase = self._controller.phase(sandbox, self._clock.now())
        if phase not in {Phase.READY, Phase.PAUSED}:
            raise Refusal(409, f"Sandbox '{sandbox.name}' is not ready")
        return await super().pause(_user, sandbox, _asked)


@SCALED.of(
    "sandboxes.pause.loses-files",
    "Pausing a sandbox loses its files.",
    "sandboxes.pause.keeps-files",
)
class Losing(LocalRuntime):
    is_removing = False

    async def stop(self, sandbox_id: str) -> None:
        is_removal, self.is_removing = self.is_removing, True
        await (super().stop(sandbox_id) if is_removal else super().remove(sandbox_id))
        self.is_removing = False


@SCALED.of(
    "sandboxes.pause.not",
    "Pausing a sandbox does nothing.",
    "readiness.paused.row",
)
class NotPaused(Controller):
    def paused(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        return sandbox


@SCALED.of(
    "sandboxes.resume.not",
    "Resuming a sandbox does nothing.",
    "sandboxes.resume.ready",
)
class NotResumed(Controller):
    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        return sandbox


@SCALED.of(
    "sandboxes.resume.never-ready",
    "A resumed sandbox starts for ever.",
    "sandboxes.resume.ready",
)
class ResumedInVain(Controller):
    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        changed = super().resumed(sandbox, now)
        if changed == sandbox:
            return sandbox
        return replace(changed, asked=replace(changed.asked, fate=Fate.NEVER_READY))


@SCALED.of(
    "sandboxes.pause.runs-on",
    "Commands run in a paused sandbox.",
    "commands.paused.runs-nothing",
)
class RunsOn(Controller):
    def accepts_commands(self, sandbox: Sandbox, now: datetime) -> bool:
        return True


@SCALED.of(
    "sandboxes.pause.leaves-running",
    "What runs in a sandbox goes on while it is paused.",
    "sandboxes.pause.ends-work",
)
class LeftRunning(LocalRuntime):
    async def stop(self, sandbox_id: str) -> None:
        pass


@SCALED.of(
    "sandboxes.resume.restarts",
    "Resuming a sandbox that runs starts it anew.",
    "sandboxes.resume.running",
)
class Restarted(Controller):
    def resumed(self, sandbox: Sandbox, now: datetime) -> Sandbox:
        asked = Intent(sandbox.asked.fate, is_paused=False, since=now)
        return replace(sandbox, asked=asked, before=sandbox.asked)


@SCALED.of(
    "sandboxes.pause.others",
    "Pausing a sandbox pauses all of that user's.",
    "sandboxes.pause.others-stay",
)
class OthersPaused(Sandboxes):
    async def pause(self, _user: User, sandbox: Sandbox, _asked: Arguments) -> Reply:
        now = self._clock.now()
        for other in self._store.sandboxes(sandbox.user_id):
            self._store.update_sandbox(self._controller.paused(other, now))
        return _paused(sandbox)


def _paused(sandbox: Sandbox) -> Reply:
    message = f"Sandbox '{sandbox.name}' paused successfully"
    return Reply({"success": True, "message": message, "replicas": 0})


SCALED.add(
    "sandboxes.pause.refused",
    "Pausing is 200 in its answer's body, and 500 in its status.",
    answered(f"POST {BOX}/pause", status(500)),
    "sandboxes.pause.reply",
)
SCALED.add(
    "sandboxes.resume.409",
    "Resuming a sandbox works, and is 409.",
    answered(f"POST {BOX}/resume", error(409, "Conflict", "Sandbox cannot be resumed")),
    "sandboxes.resume.reply",
)

KINDS = (SCALED,)
