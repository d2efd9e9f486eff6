"""The tools for repositories against a fake proxy in this process, with real repositories."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client import Paused, RepositoryRefused
from sandbox_client.mcp_server.tool import format_verb
from sandbox_client.presentation.errors import next_step

from tests.client.repository_stub import git, make_repository, write
from tests.integration.sandbox import BOX, Delivery, ReadySandbox, ready_sandbox
from tests.integration.test_file_tools import TOOLS_BY_NAME, SharedClient, call_tool

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    import httpx
    from sandbox_client.mcp_server.tool import Result


@pytest.fixture
async def box(tmp_path: Path) -> AsyncGenerator[ReadySandbox]:
    async with ready_sandbox(tmp_path / "sandboxes") as made:
        yield made


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a repository, the directory in which the MCP client has started the server."""
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "one\n"})
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(top)
    return top


async def test_a_repository_is_sent_and_the_work_comes_back(
    box: ReadySandbox, project: Path
) -> None:
    write(project, {"new.txt": "not in git yet\n"})
    sent = await call_tool(box, "send_repository", directory=".")
    assert (sent.content or {})["directory"] == "/sandbox/project"
    assert "not in git yet, and goes as well: new.txt" in sent.text
    assert "run_agent with directory /sandbox/project works there" in sent.text
    nothing = await call_tool(box, "fetch_work")
    assert (nothing.content or {})["has_work"] is False
    assert nothing.text.endswith("get_prompt_output shows whether the agent still works.")
    await box.client.run(BOX, "cd project && echo two >a.txt && git commit -qam 'Count to two'")

    work = await call_tool(box, "fetch_work", directory="")

    content = work.content or {}
    assert (content["branch"], content["files_changed"]) == ("sandbox/box", 1)
    assert git(project, "show", "sandbox/box:a.txt") == "two"
    assert f"git -C {project} merge sandbox/box" in work.text
    _, length, below = work.text.partition("[Below: ")
    assert length
    size, _, text = below.partition(" characters.]\n")
    assert len(text) == int(size)
    assert "Count to two" in text
    assert text.endswith("\n-one\n+two\n")


async def test_a_repository_outside_of_the_workspace_is_not_sent(
    box: ReadySandbox, project: Path, tmp_path: Path
) -> None:
    make_repository(tmp_path / "private", {"a": "secret"})
    requests = len(box.transport.sent)

    for directory in ("../../private", str(tmp_path / "private"), "~"):
        with pytest.raises(RepositoryRefused, match="is not below"):
            await call_tool(box, "send_repository", directory=directory)

    (project / ".git").rename(project.parent / ".git")  # a part of a larger one
    git(project, "rev-parse")
    for tool, arguments in (("send_repository", {"directory": "."}), ("fetch_work", {})):
        with pytest.raises(RepositoryRefused, match=f"{project.parent} is not below {project}"):
            await call_tool(box, tool, **arguments)
    assert len(box.transport.sent) == requests


async def test_the_roots_of_the_client_are_the_workspace(
    box: ReadySandbox, project: Path, tmp_path: Path
) -> None:
    other = make_repository(tmp_path / "other", {"a": "1"})

    async def list_roots() -> list[str]:
        return [other.as_uri()]

    async def send(directory: str) -> Result:
        arguments = {"name": BOX, "directory": directory}
        tool, provider = TOOLS_BY_NAME["send_repository"], SharedClient(box.client, {})
        return await tool.run(provider, arguments, box.in_process.report, list_roots)

    assert ((await send(".")).content or {})["directory"] == "/sandbox/other"
    with pytest.raises(RepositoryRefused, match=f"{project} is not below {other}"):
        await send(str(project))


async def test_a_secret_stops_a_repository(box: ReadySandbox, project: Path) -> None:
    write(project, {".env": "TOKEN=1"})

    with pytest.raises(RepositoryRefused, match=r"may hold secrets by the name: \.env") as caught:
        await call_tool(box, "send_repository", directory=".")

    line = "`remote-sandbox push --include /.env NAME`, which the user runs in a terminal"
    assert line in next_step(caught.value, format_verb)


async def test_a_paused_sandbox_is_sent_nothing_and_nothing_is_fetched(
    box: ReadySandbox, project: Path
) -> None:
    await call_tool(box, "send_repository", directory=str(project))
    await box.client.pause(BOX, on_progress=box.in_process.report)

    with pytest.raises(Paused, match=r"is paused; nothing was sent$"):
        await call_tool(box, "send_repository", directory=".")
    with pytest.raises(Paused, match=r"is paused; nothing was fetched$"):
        await call_tool(box, "fetch_work")


async def test_a_last_look_that_fails_does_not_deny_what_has_arrived(
    box: ReadySandbox, project: Path
) -> None:
    def delivery(_: httpx.Request) -> Delivery:
        has_record = any(project.glob(".git/remote-sandbox/sent/*/*.json"))
        has_bundle = any(project.glob(".git/remote-sandbox/tmp-outgoing-*/*"))
        return "refused for now" if has_record and not has_bundle else "delivered"

    box.transport.delivery = delivery
    sent = await call_tool(box, "send_repository", directory=".")
    assert (sent.content or {})["commit"] == git(project, "rev-parse", "HEAD")
