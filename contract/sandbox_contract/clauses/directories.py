"""A sandbox's directories: where a session starts, which ones a pause keeps, and shared files."""

from sandbox_contract.clause import Level, clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import user_path
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
async def a_pause_keeps_the_volume(run: Run) -> None:
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
    write_files = f'for d in "$HOME" "${{TMPDIR:-/tmp}}"; do echo x > "$d/{name}"; done'
    list_files = f'ls "$HOME/{name}" "${{TMPDIR:-/tmp}}/{name}" 2> /dev/null; true'
    await box.run(write_files)
    written = await box.output(list_files)
    require(len(written.split()) == 2, "two files that were written", written)
    (await box.pause()).expect(200)
    await run.clock.until_phase(box, Phase.PAUSED)
    await run.sandboxes.ready()
    found = await box.output(list_files)
    require(found == "", "none of the files", found)


_FILE = "contract-only-mine.txt"
_DIRECTORIES = ("/sandbox", "/home/gem")


async def _has_file(box: SandboxHandle) -> bool:
    """Return whether a sandbox has the file, in its volume or its home."""
    found = [
        await box.ask("/v1/file/read", {"file": f"{directory}/{_FILE}"})
        for directory in _DIRECTORIES
    ]
    return any(reply.expect_fields()["success"] for reply in found)


async def _create_ready(run: Run, box: SandboxHandle) -> SandboxHandle:
    (await box.create()).expect(201)
    await run.sandboxes.until_ready(box)
    return box


async def _write_file(box: SandboxHandle) -> None:
    for directory in _DIRECTORIES:
        await box.succeed("/v1/file/write", {"file": f"{directory}/{_FILE}", "content": "mine"})
    require(await _has_file(box), "a file that was written", "none")


@clause(
    "sandboxes.files.per-user",
    "Sandboxes of two users share no files, even with the same name.",
    source="files-of-one-sandbox",
    needs=(Need.SECOND_USER, Need.WAITING, Need.RUNTIME),
)
async def users_share_no_files(run: Run) -> None:
    first = await run.sandboxes.ready()
    await _write_file(first)
    second = await _create_ready(
        run, await run.sandboxes.unused(await run.actors.bob(), name=first.name)
    )
    require(not await _has_file(second), "no file of another user's sandbox", "one")


async def _observe_files_of_new_sandboxes(run: Run) -> tuple[bool, bool]:
    """Return whether new sandboxes have old files.

    The first value is for another sandbox of the user, the second for a deleted one of the name.
    """
    first = await run.sandboxes.ready()
    await _write_file(first)
    box = await _create_ready(run, await run.sandboxes.unused(first.owner, "life"))
    has_other_sandboxs_file = await _has_file(box)
    await _write_file(box)
    (await box.delete()).expect(200)
    return has_other_sandboxs_file, await _has_file(await _create_ready(run, box))


@clause(
    "sandboxes.files.per-sandbox",
    "Two sandboxes of one user share no files.",
    source="files-of-one-sandbox",
    needs=_RUNNING,
)
async def sandboxes_share_no_files(run: Run) -> None:
    has_other_sandboxs_file, _ = await run.once(_observe_files_of_new_sandboxes)
    require(not has_other_sandboxs_file, "no file of the same user's other sandbox", "one")


@clause(
    "sandboxes.files.of-a-life",
    "A new sandbox with a deleted sandbox's name has none of its files.",
    source="files-after-a-delete",
    needs=_RUNNING,
    level=Level.SHOULD,
)
async def a_reused_name_has_no_old_files(run: Run) -> None:
    _, has_deleted_sandboxs_file = await run.once(_observe_files_of_new_sandboxes)
    require(not has_deleted_sandboxs_file, "no file of the sandbox that was deleted", "one")


@clause(
    "sandboxes.files.of-a-username",
    "A new user with a deleted user's name has none of that user's files.",
    source="files-after-a-delete",
    needs=(Need.ADMIN, Need.WAITING, Need.RUNTIME),
    level=Level.SHOULD,
)
async def a_reused_username_has_no_old_files(run: Run) -> None:
    first = await run.actors.temporary_user()
    await _write_file(await _create_ready(run, run.sandboxes.handle(first, "old")))
    name = (await first.names())[0]
    await run.actors.admin("DELETE", user_path(first.id))
    second = await run.actors.user(first.username, run.cleanup.of_clause)
    box = await _create_ready(run, run.sandboxes.handle(second, name=name))
    require(not await _has_file(box), "no file of the deleted user", "one")
