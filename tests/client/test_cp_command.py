"""`remote-sandbox cp`: its arguments, its lines, its exit codes, over an in-memory sandbox."""

from __future__ import annotations

import json
import re
import shlex
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from sandbox_client import InvalidInput
from sandbox_client.cli.console import Console
from sandbox_client.cli.copy import Transfer, format_rate, parse_transfer
from sandbox_client.cli.copy_progress import CopyProgress
from sandbox_client.files.model import FileEntry

from tests.client.file_stub import SandboxStub, file_error, script_output
from tests.client.stubs import FakeClock, error_reply

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.terminal import Terminal


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder that is the current one."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize(
    ("sources", "target", "transfer"),
    [
        (["f"], "box:", Transfer("box", ["f"], "", True)),
        (["f", "g"], "box:dir", Transfer("box", ["f", "g"], "dir", True)),
        (["box:f"], ".", Transfer("box", ["f"], ".", False)),
        (["box:a:b"], "/x", Transfer("box", ["a:b"], "/x", False)),
        (["./a:b"], "box:", Transfer("box", ["./a:b"], "", True)),
        (["1box:f"], ".", Transfer("1box", ["f"], ".", False)),
    ],
)
def test_a_colon_separates_the_sandbox_from_the_path(
    sources: list[str], target: str, transfer: Transfer
) -> None:
    assert parse_transfer(sources, target) == transfer


@pytest.mark.parametrize(
    ("sources", "target", "words"),
    [
        (["f"], "g", "Source and target are both on this machine"),
        (["box:f"], "box:g", "Source and target are both in sandboxes"),
        (["box:f", "f"], "g", "The sources are not all in one place"),
        (["a:f", "b:f"], "g", "The sources are not all in one place"),
        ([""], "box:", "A path is empty"),
        (["f"], "../:x", "both on this machine"),
        (["f"], "BOX:x", "cannot be a sandbox's name"),
    ],
)
def test_invalid_sources_and_targets_are_rejected(
    sources: list[str], target: str, words: str
) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        parse_transfer(sources, target)

    assert "Write NAME:PATH" in caught.value.advice


def test_a_copy_prints_a_line_for_each_file_and_a_summary(here: Path, terminal: Terminal) -> None:
    (here / "tree").mkdir()
    (here / "tree/a").write_bytes(b"abc")
    (here / "tree/b").write_bytes(b"x")
    sandbox = SandboxStub()

    terminal.run("cp", "-r", "tree", "box:new", handler=sandbox)

    assert (terminal.code, terminal.out) == (0, "2 files (4 bytes) copied to box:new\n")
    assert terminal.err.splitlines() == ["copied a (3 bytes)", "copied b (1 byte)"]
    assert sandbox.files == {"/sandbox/new/a": b"abc", "/sandbox/new/b": b"x"}


def test_a_copy_into_a_directory_says_where_the_source_is(here: Path, terminal: Terminal) -> None:
    (here / "tree").mkdir()
    (here / "tree/a").write_bytes(b"abc")
    sandbox = SandboxStub(directories={"/", "/sandbox", "/sandbox/old"})

    terminal.run("cp", "tree", "box:old", handler=sandbox)

    assert terminal.out == "1 file (3 bytes) copied to box:old/tree\n"


def test_a_copy_from_the_sandbox_writes_a_local_file(here: Path, terminal: Terminal) -> None:
    terminal.run("cp", "box:f", ".", handler=SandboxStub({"/sandbox/f": b"data"}))

    assert (terminal.code, terminal.out) == (0, "1 file (4 bytes) copied to .\n")
    assert (here / "f").read_bytes() == b"data"


def test_a_skipped_link_is_named_and_ends_with_1(here: Path, terminal: Terminal) -> None:
    (here / "tree").mkdir()
    (here / "tree/link").symlink_to("nothing")

    terminal.run("cp", "tree", "box:", handler=SandboxStub())

    assert terminal.code == 1
    assert terminal.err == "skipped link: a link that leads to no file\n"
    assert terminal.out == "0 files (0 bytes) copied to box:; 1 skipped\n"


def test_a_copy_in_json_is_one_object(here: Path, terminal: Terminal) -> None:
    (here / "tree").mkdir()
    (here / "tree/f").write_bytes(b"abc")
    (here / "tree/link").symlink_to("nothing")

    terminal.run("cp", "--json", "tree", "box:new", handler=SandboxStub())

    assert terminal.err == "skipped link: a link that leads to no file\n"
    content = json.loads(terminal.out)
    assert isinstance(content.pop("seconds"), float)
    assert content == {
        "name": "box",
        "target": "box:new",
        "files": 1,
        "directories": 1,
        "bytes": 3,
        "not_executable": [],
        "skipped": [{"path": "link", "why": "a link that leads to no file"}],
    }


@pytest.mark.parametrize(
    ("names", "line", "run"),
    [
        (["run now"], "run now is not executable in the sandbox: ", "sh 'run now'"),
        (["a", "b"], "2 files, from a on, are not executable in the sandbox: ", "sh a"),
    ],
)
def test_a_mode_that_the_sandbox_does_not_keep_is_named(
    here: Path, terminal: Terminal, names: list[str], line: str, run: str
) -> None:
    for name in names:
        (here / name).write_bytes(b"#!")
        (here / name).chmod(0o755)

    terminal.run("cp", *names, "box:new/", handler=SandboxStub(keeps_modes=False))

    assert terminal.code == 0
    assert terminal.err.splitlines()[-1].startswith(line)
    assert terminal.err.endswith(f"as in `{run}`\n")


def test_a_file_that_is_left_out_is_named_and_ends_with_1(here: Path, terminal: Terminal) -> None:
    denied = script_output("@0 failed Permission denied")
    sandbox = SandboxStub(
        {"/sandbox/tree/f": b"x"}, {"/", "/sandbox", "/sandbox/tree"}, replies={"pack": [denied]}
    )

    terminal.run("cp", "box:tree", "new", handler=sandbox)

    assert terminal.code == 1
    assert terminal.err == "skipped f: it cannot be read: Permission denied\n"
    assert terminal.out == "0 files (0 bytes) copied to new; 1 skipped\n"


def test_a_rejected_file_and_later_files_are_counted_as_not_copied(
    here: Path, terminal: Terminal
) -> None:
    for name in ("a", "b", "c"):
        (here / name).write_bytes(b"x")
    full = file_error("no_space_left", "/sandbox/b", "disk full")
    sandbox = SandboxStub(replies={"write": [None, full]})

    terminal.run("cp", "a", "b", "c", "box:new", handler=sandbox)

    assert terminal.code == 1
    copied, summary, completing, error, *_ = terminal.err.splitlines()
    assert copied == "copied a (1 byte)"
    assert summary == "1 file copied, 2 files not copied, from b on; no file is incomplete"
    assert completing == "to complete the copy: `remote-sandbox cp a b c box:new`"
    assert "disk full" in error


def advised(terminal: Terminal) -> list[str]:
    """Return the words of the command line that the screen advises to complete a copy."""
    found = re.search(r"^to complete the copy: `remote-sandbox (.*)`$", terminal.err, re.MULTILINE)
    assert found is not None, terminal.err
    return shlex.split(found[1])


@pytest.mark.parametrize(
    ("source", "target"),
    [("tree", "box:new"), ("-tree/", "box:"), ("tree/.", "box:a b"), ("tree", "box:new/")],
)
def test_the_advised_line_completes_a_broken_upload(
    here: Path, terminal: Terminal, source: str, target: str
) -> None:
    folder = here / source.rstrip("/.")
    folder.mkdir()
    files = {"a": b"1", "b": b"2", "large": bytes(100_000)}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    whole, sandbox = SandboxStub(), SandboxStub()
    terminal.run("cp", "--", source, target, handler=whole)
    assert terminal.code == 0
    full = file_error("no_space_left", "large", "disk full")
    sandbox.replies = {"write": [None, None, full]}

    terminal.run("cp", "--", source, target, handler=sandbox)
    assert terminal.code == 1
    assert 0 < len(sandbox.files) < 3
    terminal.run(*advised(terminal), handler=sandbox)

    assert terminal.code == 0
    assert sandbox.files == whole.files


@pytest.mark.parametrize(
    ("source", "target"),
    [("box:tree", "new"), ("box:tree/", "."), ("box:tree/.", "new"), ("box:", "new")],
)
def test_the_advised_line_completes_a_broken_download(
    here: Path, terminal: Terminal, source: str, target: str
) -> None:
    def sandbox() -> SandboxStub:
        files = {"a": b"1", "b": b"2", "large": bytes(100_000)}
        content = {f"/sandbox/tree/{name}": data for name, data in files.items()}
        return SandboxStub(content, {"/", "/sandbox", "/sandbox/tree", "/home/gem"})

    (here / "whole").mkdir()
    (here / "broken").mkdir()
    terminal.run("cp", source, f"whole/{target}", handler=sandbox())
    assert terminal.code == 0
    broken = sandbox()
    broken.replies = {"pack": [httpx.Response(400, json={"error": "x", "message": "no"})]}

    terminal.run("cp", source, f"broken/{target}", handler=broken)
    assert terminal.code == 1
    assert contents(here / "broken") != contents(here / "whole")
    terminal.run(*advised(terminal), handler=broken)

    assert terminal.code == 0
    assert contents(here / "broken") == contents(here / "whole")


def contents(root: Path) -> dict[str, bytes]:
    """Return the content of each file below a directory."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tree", "box:f"], "/sandbox/f in sandbox 'box' is not a directory"),
        (["file", "box:f/"], "/sandbox/f in sandbox 'box' is not a directory"),
        (["file", "tree", "box:f"], "/sandbox/f in sandbox 'box' is not a directory"),
        (["file/", "box:"], "file/ cannot be read: Not a directory"),
        (["box:f/", "."], "/sandbox/f in sandbox 'box' is not a directory"),
        (["box:dir", "file"], "file is not a directory"),
        (["box:f", "file/"], "file is not a directory"),
        (["box:f", "box:dir", "file"], "file is not a directory"),
        (["box:none", "."], "The sandbox could not read /sandbox/none: no such directory"),
    ],
)
def test_what_is_not_a_directory_is_named_as_it_was_given(
    here: Path, terminal: Terminal, words: list[str], message: str
) -> None:
    (here / "tree").mkdir()
    (here / "file").write_bytes(b"x")
    directories = {"/", "/sandbox", "/sandbox/dir", "/home/gem"}
    sandbox = SandboxStub({"/sandbox/f": b"x"}, directories)

    terminal.run("cp", *words, handler=sandbox)

    assert terminal.code == 1
    assert terminal.err.splitlines()[0] == f"error: {message}"
    assert terminal.err.splitlines()[2].startswith("next: ")
    assert sandbox.files == {"/sandbox/f": b"x"}


def test_an_error_names_no_temporary_file(here: Path, terminal: Terminal) -> None:
    (here / "f").write_bytes(b"x")

    def refuse(request: httpx.Request) -> httpx.Response:
        path = json.loads(request.content or b"{}").get("file", "")
        if not path:
            return SandboxStub()(request)
        return file_error("permission_denied", path, f"not writable: '{path}'")

    terminal.run("cp", "f", "box:x", handler=refuse)

    message = "The sandbox could not read /sandbox/x: not writable: '/sandbox/x'"
    assert f"error: {message}" in terminal.err.splitlines()


def test_a_refused_rename_names_the_file_alone(here: Path, terminal: Terminal) -> None:
    (here / "f").write_bytes(b"x")
    text = "@0 failed mv: cannot move './.x.part-0123abcd' to './x': Permission denied"
    sandbox = SandboxStub(replies={"commit": [script_output(text)]})

    terminal.run("cp", "f", "box:x", handler=sandbox)

    said = terminal.err.replace("\n", " ")
    assert "/sandbox/x in sandbox 'box' was not written: mv: cannot move './x' to './x':" in said
    assert "(ls -ld /sandbox/x, and its directory)" in said
    assert "choose" not in said


def test_a_deleted_sandbox_has_no_line_that_completes_the_copy(
    here: Path, terminal: Terminal
) -> None:
    (here / "tree").mkdir()
    (here / "tree" / "large").write_bytes(bytes(200_000))
    gone = error_reply(403, "You do not have access to this sandbox")
    sandbox = SandboxStub(replies={"write": [None, None, gone]})

    terminal.run("cp", "tree", "box:new", handler=sandbox)

    assert "was deleted while the copy ran" in terminal.err
    assert "to complete the copy" not in terminal.err


def test_a_missing_source_prints_no_summary(here: Path, terminal: Terminal) -> None:
    terminal.run("cp", "none", "box:", handler=SandboxStub())

    assert terminal.code == 1
    assert [line.split(":")[0] for line in terminal.err.splitlines()] == ["error", "cause", "next"]


@pytest.mark.parametrize(
    "words",
    [["f", "g"], ["box:f"], ["BOX:f", "."]],
    ids=["no sandbox", "no target", "invalid name"],
)
def test_wrong_usage_ends_with_2(words: list[str], terminal: Terminal) -> None:
    sandbox = SandboxStub()

    terminal.run("cp", *words, handler=sandbox)

    assert terminal.code == 2
    assert "error: " in terminal.err
    assert sandbox.requested == []


def test_an_interactive_terminal_shows_a_bar(
    here: Path, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    name = "a-name-that-is-longer-than-thirty-characters"
    (here / name).write_bytes(b"x")

    terminal.run("cp", name, "box:f", handler=SandboxStub())

    assert (terminal.code, terminal.out) == (0, "1 file (1 byte) copied to box:f\n")
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.err)
    assert "copied" not in shown
    assert f"…{name[-29:]}" in shown
    assert "/1 file " in shown


def test_an_outage_is_counted_down_until_something_is_copied(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = FakeClock()
    progress = CopyProgress(Console(as_json=False, name="box"), clock)
    entry = FileEntry("f", 1)

    progress.unanswered(30.0)
    clock.now += 4
    progress.unanswered(26.0)
    clock.now += 1

    assert progress.activity("f") == "no answer, trying 25 s more"
    assert capsys.readouterr().err == "the proxy does not answer: trying for 30 s more\n"
    progress.transferred(entry, 1)
    assert progress.activity("f") == "f"
    clock.now += 7
    assert progress.activity("f") == "f, no progress for 7 s"


def test_temporary_files_that_may_remain_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    progress = CopyProgress(Console(as_json=False, name="box"))

    for path in ("/sandbox/.f.part-0a", "/sandbox/a b/.f.part-0b", "/sandbox/.*.part-*"):
        progress.left_behind(path)

    progress.print_leftovers()

    assert capsys.readouterr().err.splitlines() == [
        "Temporary files may remain: box:/sandbox/.*.part-*",
        "Temporary files may remain: box:/sandbox/a b/.f.part-0b",
    ]


@pytest.mark.parametrize(
    ("size", "seconds", "text"),
    [(5_000_000, 0.9, ""), (5_000_000, 4.0, " in 4 s (1.2 MB/s)"), (0, 2.0, " in 2 s (0 bytes/s)")],
)
def test_a_copy_of_a_second_or_more_has_its_rate(size: int, seconds: float, text: str) -> None:
    assert format_rate(size, seconds) == text
