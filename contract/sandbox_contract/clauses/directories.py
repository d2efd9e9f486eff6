"""A sandbox's directories: where a session starts, which files a pause keeps, and who sees them."""

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.paths import user_path
from sandbox_contract.harness.readiness import Phase
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import require
from sandbox_contract.target import Need

_RUNNING = (Need.USER, Need.WAITING, Need.RUNTIME)


@clause(
    "directories.start.workspace",
    "A session starts in the directory that WORKSPACE names, or else in the home directory.",
    source="where-a-session-starts",
    needs=_RUNNING,
)
async def a_session_starts_in_the_workspace(run: Run) -> None:
    box = await run.sandboxes.ready()
    # A fake without jails cannot show /home/gem under its name: HOME is that directory there.
    lines = (await box.output('pwd; echo "${WORKSPACE:-$HOME}"')).splitlines()
    require(len(set(lines)) == 1, "the workspace, or else the home", lines)


@clause(
    "sandboxes.pause.keeps-files",
    "Files below /sandbox survive a pause.",
    source="what-a-pause-keeps",
    needs=_RUNNING,
)
async def files_outlast_a_pause(run: Run) -> None:
    box, text = await run.sandboxes.ready(), run.name("text")
    file = f"/sandbox/{run.name('file')}"
    await box.succeed("/v1/file/write", {"file": file, "content": text})
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    await run.sandboxes.ready()
    content = (await box.succeed("/v1/file/read", {"file": file}))["content"]
    require(content == text, f"the content {text!r}", content)


@clause(
    "directories.pause.empties-pod",
    "A pause empties /home/gem and /tmp, which belong to the pod.",
    source="what-a-pause-keeps",
    needs=_RUNNING,
)
async def a_pause_empties_the_pod(run: Run) -> None:
    box, name = await run.sandboxes.ready(), run.name("file")
    written = f'for d in "$HOME" "${{TMPDIR:-/tmp}}"; do echo x > "$d/{name}"; done'
    left = f'ls "$HOME/{name}" "${{TMPDIR:-/tmp}}/{name}" 2> /dev/null; true'
    await box.run(written)
    require(await box.output(left) != "", "two files that were written", "none")
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    await run.sandboxes.ready()
    found = await box.output(left)
    require(found == "", "none of the files", found)


_NAME = "contract-only-mine.txt"
_PLACES = ("/sandbox", "/home/gem")


async def _holds(box: SandboxHandle) -> bool:
    """Tell whether a sandbox has the file, in its volume or its home."""
    found = [await box.ask("/v1/file/read", {"file": f"{place}/{_NAME}"}) for place in _PLACES]
    return any(reply.expect_fields()["success"] for reply in found)


async def _started(run: Run, box: SandboxHandle) -> SandboxHandle:
    (await box.create()).expect(201)
    await run.sandboxes.until_ready(box)
    return box


async def _marked(box: SandboxHandle) -> None:
    for place in _PLACES:
        await box.succeed("/v1/file/write", {"file": f"{place}/{_NAME}", "content": "mine"})
    require(await _holds(box), "a file that was written", "none")


@clause(
    "sandboxes.files.per-user",
    "Sandboxes of two users share no files, even with the same name.",
    source="files-of-one-sandbox",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def users_share_no_files(run: Run) -> None:
    mine = await run.sandboxes.ready()
    await _marked(mine)
    theirs = await _started(run, await run.sandboxes.unused(await run.actors.bob(), name=mine.name))
    require(not await _holds(theirs), "no file of another user's sandbox", "one")


async def _lives(run: Run) -> tuple[bool, bool]:
    """Tell whether a new sandbox has another's file, and whether one of its name has its own."""
    mine = await run.sandboxes.ready()
    await _marked(mine)
    box = await _started(run, await run.sandboxes.unused(mine.owner, "life"))
    has_anothers = await _holds(box)
    await _marked(box)
    (await box.delete()).expect(200)
    return has_anothers, await _holds(await _started(run, box))


@clause(
    "sandboxes.files.per-sandbox",
    "Two sandboxes of one user share no files.",
    source="files-of-one-sandbox",
    needs=_RUNNING,
)
async def sandboxes_share_no_files(run: Run) -> None:
    has_anothers, _ = await run.once(_lives)
    require(not has_anothers, "no file of the same user's other sandbox", "one")


@clause(
    "sandboxes.files.of-a-life",
    "A new sandbox with a deleted sandbox's name has none of its files.",
    source="files-after-a-delete",
    needs=_RUNNING,
    level=Level.SHOULD,
)
async def lives_share_no_files(run: Run) -> None:
    _, has_the_deleted_ones = await run.once(_lives)
    require(not has_the_deleted_ones, "no file of the sandbox that was deleted", "one")


@clause(
    "sandboxes.files.of-a-username",
    "A new user with a deleted user's name has none of that user's files.",
    source="files-after-a-delete",
    needs=(Need.ADMIN, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def users_of_one_name_share_no_files(run: Run) -> None:
    first = await run.actors.temporary_user()
    await _marked(await _started(run, run.sandboxes.handle(first, "old")))
    name = (await first.names())[0]
    await run.actors.admin("DELETE", user_path(first.id))
    second = await run.actors.user(first.username, run.cleanup.of_clause)
    box = await _started(run, run.sandboxes.handle(second, name=name))
    require(not await _holds(box), "no file of the user who was deleted", "one")
