"""The scripts for a repository, run by a fake proxy: by either API, in a jail and without."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client.repository import sandbox_answers, sandbox_scripts
from sandbox_client.repository.file_kinds import decide
from sandbox_client.repository.git import Git
from sandbox_client.repository.incoming import export_command, import_and_record, incoming
from sandbox_client.repository.local import open_repository
from sandbox_client.repository.outgoing import outgoing
from sandbox_client.repository.quarantine import Limits
from sandbox_client.repository.snapshot import survey
from sandbox_client.repository.store import Store
from sandbox_client.repository.summary import summarize

from tests.client.repository_stub import PATH, git, make_repository, write
from tests.fakeproxy.available_isolations import AVAILABLE_ISOLATIONS
from tests.integration.sandbox import BOX, ReadySandbox, ready_sandbox

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORY = "/sandbox/the project"


async def run(box: ReadySandbox, command: str, session: str | None) -> str:
    result = await box.client.run(BOX, command, session=session)
    return result.output.text


@pytest.mark.parametrize("isolation", AVAILABLE_ISOLATIONS)
@pytest.mark.parametrize("session", [None, "terminal"], ids=["pipes", "terminal"])
async def test_a_repository_goes_and_comes_back(
    tmp_path: Path, isolation: str, session: str | None
) -> None:
    top = make_repository(tmp_path / "person" / "repository", {"a.txt": "one\n"})
    write(top, {"it's new\n.txt": "x\n"})
    store = Store(open_repository(str(top), Git.of_person({"PATH": PATH, "HOME": str(tmp_path)})))
    found = survey(store.repository)
    async with ready_sandbox(tmp_path / "sandboxes", isolation=isolation) as box:
        checked = sandbox_answers.read_checked(
            await run(box, sandbox_scripts.check(DIRECTORY), session)
        )
        assert checked.state == "absent"
        with outgoing(store, BOX, DIRECTORY, found, decide(found.paths, (), ())) as out:
            bundle = out.bundle()
            await box.client.upload(BOX, [str(bundle.path)], "/sandbox/in.bundle")
            out.announce()
            command = sandbox_scripts.receive(
                *(out.sent, "/sandbox/in.bundle", bundle.sha256, store.repository.object_format),
                identity=store.identity,
            )
            received = sandbox_answers.read_received(await run(box, command, session))
            assert received.head == out.sent.commit
            out.confirm()

        await run(box, "cd 'the project' && echo better >a.txt && git commit -qam Work", None)
        await run(box, "echo left >'the project/left.txt'", None)

        command = export_command(store, store.require(BOX), "sandbox/box", "/sandbox/out.bundle")
        exported = sandbox_answers.read_exported(await run(box, command, session))
        await box.client.download(BOX, ["/sandbox/out.bundle"], str(tmp_path / "out.bundle"))
    sent = store.require(BOX)
    with incoming(store, sent, exported, tmp_path / "out.bundle", Limits()) as work:
        summary = summarize(work)
        import_and_record(store, sent, work, exported, "sandbox/box")

    assert [each.path for each in summary.files] == ["a.txt", "left.txt"]
    assert git(top, "show", "sandbox/box:a.txt") == "better"
    assert [each.subject for each in summary.commits] == [
        *("Uncommitted changes in the sandbox", "Work"),
    ]
