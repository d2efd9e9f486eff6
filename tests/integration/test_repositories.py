"""A repository goes to a sandbox of a fake proxy and comes back, through the Python API."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.client.repository_stub import git, make_repository, write
from tests.integration.sandbox import BOX, ready_sandbox

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_client.repositories import PushPlan


async def test_a_repository_goes_and_comes_back(tmp_path: Path) -> None:
    top = make_repository(tmp_path / "person" / "project", {"a.txt": "one\n"})
    write(top, {"new.txt": "x\n"})
    plans: list[PushPlan] = []
    async with ready_sandbox(tmp_path / "sandboxes") as box:
        push = await box.client.push(BOX, str(top), on_plan=plans.append)
        assert (push.directory, plans) == ("/sandbox/project", [push.plan])
        assert (push.plan.amount.files, push.plan.survey.untracked) == (2, ("new.txt",))
        await box.client.run(BOX, "cd project && echo better >a.txt && git commit -qam Work")
        await box.client.run(BOX, "echo left >project/left.txt")

        pull = await box.client.pull(BOX, str(top), max_diff=10_000)

        assert [each.path for each in pull.summary.files] == ["a.txt", "left.txt"]
        assert "+better" in pull.diff
        assert git(top, "show", "sandbox/box:a.txt") == "better"
        again = await box.client.pull(BOX, str(top), apply=True)
        assert (again.is_changed, again.commit) == (False, pull.commit)
        assert "not clean" in str(again.not_applied)
        assert [*box.home.glob(".remote-sandbox-*")] == []
