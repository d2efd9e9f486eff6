"""Wrong proxies in how sandboxes are paused and resumed."""

from __future__ import annotations

from dataclasses import replace

from sandbox_fakeproxy import APIError, LocalRuntime, Sandbox, Service

from .mutant import Kind
from .rewriting import BOX, answered, body, error, losing, setting, status, turning

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
class PausedOnce(Service):
    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        if sandbox.desired.is_paused:
            raise APIError(409, f"Sandbox '{sandbox.name}' is paused already")
        await super().pause_sandbox(sandbox)


@SCALED.of(
    "sandboxes.resume.once",
    "Resuming a sandbox that runs is 409.",
    "sandboxes.resume.again",
)
class ResumedOnce(Service):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        if not sandbox.desired.is_paused:
            raise APIError(409, f"Sandbox '{sandbox.name}' runs already")
        await super().resume_sandbox(sandbox)


@SCALED.of(
    "sandboxes.pause.ready-only",
    "A sandbox that is not ready yet cannot be paused.",
    "sandboxes.delete.paused",
)
class ReadyOnly(Service):
    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        if self.controller.phase(sandbox, self.clock.now()) not in {"ready", "paused"}:
            raise APIError(409, f"Sandbox '{sandbox.name}' is not ready")
        await super().pause_sandbox(sandbox)


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
    "sandboxes.pause.keeps-home",
    "Pausing a sandbox keeps its home.",
    "directories.pause.empties-pod",
)
class KeepingHome(LocalRuntime):
    async def stop(self, sandbox_id: str) -> None:
        home = self.paths(sandbox_id).home
        aside = home.with_name("aside")
        if home.is_dir():
            home.rename(aside)
        await super().stop(sandbox_id)
        if aside.is_dir():
            aside.rename(home)


@SCALED.of(
    "sandboxes.pause.not",
    "Pausing a sandbox does nothing.",
    "readiness.paused.row",
)
class NotPaused(Service):
    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        await self.runtime.stop(sandbox.id)


@SCALED.of(
    "sandboxes.resume.not",
    "Resuming a sandbox does nothing.",
    "sandboxes.resume.ready",
)
class NotResumed(Service):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        pass


@SCALED.of(
    "sandboxes.resume.never-ready",
    "A resumed sandbox starts for ever.",
    "sandboxes.resume.ready",
)
class ResumedInVain(Service):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        await super().resume_sandbox(sandbox)
        changed = self.current(sandbox)
        if changed is not None and changed != sandbox:
            self.store.update_sandbox(never_ready(changed))


def never_ready(sandbox: Sandbox) -> Sandbox:
    """Return a sandbox as one that starts for ever once it is not paused."""
    failure_mode = type(sandbox.desired.failure_mode).NEVER_READY
    return replace(sandbox, desired=replace(sandbox.desired, failure_mode=failure_mode))


@SCALED.of(
    "sandboxes.pause.runs-on",
    "Commands run in a paused sandbox.",
    "commands.paused.runs-nothing",
)
class RunsOn(Service):
    def require_ready(self, sandbox: Sandbox) -> None:
        condition = self.status(sandbox).condition
        if condition is None or not condition.ready:
            super().require_ready(sandbox)


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
class Restarted(Service):
    async def resume_sandbox(self, sandbox: Sandbox) -> None:
        desired = replace(sandbox.desired, is_paused=False, since=self.clock.now())
        self.store.update_sandbox(replace(sandbox, desired=desired, observed=sandbox.desired))


@SCALED.of(
    "sandboxes.pause.others",
    "Pausing a sandbox pauses all of that user's.",
    "sandboxes.pause.others-stay",
)
class OthersPaused(Service):
    async def pause_sandbox(self, sandbox: Sandbox) -> None:
        now = self.clock.now()
        for each in self.store.sandboxes(sandbox.user_id):
            self.store.update_sandbox(self.controller.paused(each, now))


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
