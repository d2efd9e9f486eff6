"""The directories from which a tool may send a repository."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from sandbox_client.errors import RepositoryRefused
from sandbox_client.mcp_server.workspaces import Workspaces
from sandbox_client.repository.git import Git
from sandbox_client.repository.local import open_repository

from tests.client.repository_stub import PATH, git

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from sandbox_client.repository.local import Repository


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a home directory with a project and a private one."""
    for name in ("project/sub", "private"):
        (tmp_path / "home" / name).mkdir(parents=True)
    return tmp_path / "home"


def workspaces(
    home: Path,
    roots: Sequence[str] | None = None,
    here: Path | None = None,
    configured: Sequence[str] = (),
) -> Workspaces:
    return Workspaces.of(roots, here or home, home, configured)


def test_the_roots_of_the_client_are_the_workspaces(home: Path) -> None:
    (home / "with space").mkdir()
    roots = [(home / "project").as_uri(), (home / "with space").as_uri()]

    assert workspaces(home, roots, here=home / "private").directories == (
        home / "project",
        home / "with space",
    )


@pytest.mark.parametrize(
    "root",
    ["https://example.com/x", "file://other/home", "file:relative", "file://[", "file:///%00"],
)
def test_a_root_that_is_no_directory_of_this_machine_is_none(home: Path, root: str) -> None:
    assert workspaces(home, [root]).directories == ()


def test_a_client_without_roots_has_started_the_server_in_its_workspace(home: Path) -> None:
    assert workspaces(home, here=home / "project").directories == (home / "project",)


@pytest.mark.parametrize("roots", [None, ["file:///"]])
def test_a_workspace_that_contains_the_home_directory_is_none(
    home: Path, roots: Sequence[str] | None
) -> None:
    assert workspaces(home, roots, here=home).directories == ()


def test_the_configuration_names_directories_beside_the_workspace(home: Path) -> None:
    found = workspaces(home, [(home / "project").as_uri()], configured=["~/private", "/missing"])

    assert found.directories == (home / "project", home / "private")


@pytest.mark.parametrize("given", [".", "", "sub", "~/project", "{home}/project/sub/.."])
def test_a_directory_below_a_workspace_is_found(home: Path, given: str) -> None:
    found = workspaces(home, here=home / "project").directory(given.format(home=home))

    assert found.is_relative_to(home / "project")


@pytest.mark.parametrize(
    "given", ["..", "../private", "~/private", "{home}/private", "link", "/", "sub/../../private"]
)
def test_a_directory_elsewhere_is_refused(home: Path, given: str) -> None:
    (home / "project/link").symlink_to(home / "private")

    with pytest.raises(RepositoryRefused, match=r"is not below .*project, and a tool"):
        workspaces(home, here=home / "project").directory(given.format(home=home))


def test_without_a_workspace_every_directory_is_refused(home: Path) -> None:
    with pytest.raises(RepositoryRefused, match=r"project is in no workspace") as caught:
        workspaces(home).directory(str(home / "project"))

    assert "remote-sandbox push" in caught.value.advice


def test_a_file_is_refused(home: Path) -> None:
    (home / "project/file").touch()

    with pytest.raises(RepositoryRefused, match="file is not a directory"):
        workspaces(home, here=home / "project").directory("file")


def init(directory: Path) -> None:
    git(directory, "init", "--quiet")
    git(directory, "commit", "--quiet", "--allow-empty", "--message=Empty")


def opened(directory: Path) -> Repository:
    return open_repository(str(directory), Git.of_person({"PATH": PATH}))


def test_a_repository_in_a_workspace_may_be_sent(home: Path) -> None:
    init(home / "project")

    workspaces(home, here=home / "project").check(opened(home / "project/sub"))


def test_a_repository_that_is_larger_than_the_workspace_is_refused(home: Path) -> None:
    init(home / "project")
    allowed = workspaces(home, here=home / "project/sub")

    with pytest.raises(RepositoryRefused, match=r"project is not below .*project/sub"):
        allowed.check(opened(allowed.directory(".")))


def test_a_worktree_that_its_repository_knows_may_be_sent(home: Path) -> None:
    init(home / "private")
    git(home / "private", "worktree", "add", "--quiet", str(home / "project/tree"))

    workspaces(home, here=home / "project").check(opened(home / "project/tree"))


def test_a_worktree_that_only_the_workspace_knows_is_refused(home: Path) -> None:
    init(home / "private")
    git(home / "private", "worktree", "add", "--quiet", str(home / "other"))
    (home / "project/.git").write_bytes((home / "other/.git").read_bytes())

    with pytest.raises(RepositoryRefused, match=r"private/\.git is not below"):
        workspaces(home, here=home / "project").check(opened(home / "project"))


def test_a_git_directory_elsewhere_is_refused(home: Path) -> None:
    init(home / "private")
    (home / "project/.git").write_text(f"gitdir: {home / 'private/.git'}\n")

    with pytest.raises(RepositoryRefused, match=r"private/\.git is not below"):
        workspaces(home, here=home / "project").check(opened(home / "project"))


@pytest.mark.parametrize("is_alternate", [True, False])
@pytest.mark.parametrize("linked", ["", "00", "00/11"])
def test_objects_of_another_repository_are_refused(
    home: Path, linked: str, is_alternate: bool
) -> None:
    init(home / "private")
    init(home / "project")
    objects, other = home / "project/.git/objects", home / "private/.git/objects"
    if is_alternate:
        (objects / "info/alternates").write_text(f"{linked}\f{other}\n")
    elif linked:
        (objects / linked).parent.mkdir(exist_ok=True)
        (objects / linked).symlink_to(other)
    else:
        objects.rename(home / "old")
        objects.symlink_to(other)

    with pytest.raises(RepositoryRefused, match=r"project borrows objects of another repository"):
        workspaces(home, here=home / "project").check(opened(home / "project"))


def test_the_objects_of_a_known_worktree_are_its_repositorys(home: Path) -> None:
    init(home / "private")
    alternates = home / "private/.git/objects/info/alternates"
    alternates.write_text(f"{home / 'shared/objects'}\n")
    git(home / "private", "worktree", "add", "--quiet", str(home / "project/tree"))

    workspaces(home, here=home / "project").check(opened(home / "project/tree"))
