"""The runtime's file API through the proxy, row by row, on either runtime."""

import asyncio
import base64
import errno
import json
import os
import threading
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from sandbox_fakeproxy import LocalRuntime, RuntimeUnreachable, ScriptedRuntime
from sandbox_fakeproxy.runtime.files.search import SearchResult
from starlette.requests import Request
from starlette.types import Message

from tests.fakeproxy.fake_app import FakeApp, exec_path, fake_app
from tests.fakeproxy.file_api import API, FileApi

TEXT = "zero\none\ntwo\nthree\n"


@pytest.fixture
async def fake(tmp_path: Path) -> AsyncGenerator[FakeApp]:
    async with fake_app(LocalRuntime(tmp_path / "sandboxes")) as made:
        yield made


@pytest.fixture
async def files(fake: FakeApp, tmp_path: Path) -> FileApi:
    alice = await fake.new_user("alice")
    await fake.ready_sandbox(alice)
    place = tmp_path / "sandboxes" / fake.sandbox_id("alice")
    for name in ("sandbox", "home"):
        (place / name).mkdir(parents=True)
    return FileApi(alice, place / "sandbox", place / "home")


# Reading and writing.


async def test_a_written_file_is_read_back_and_its_parents_are_made(files: FileApi) -> None:
    written = await files.succeed("write", file="/sandbox/a/b/c.txt", content="grüß\n")
    assert written == {"file": "/sandbox/a/b/c.txt", "bytes_written": 7}
    read = await files.succeed("read", file="/sandbox/a/b/c.txt")
    assert read == {"file": "/sandbox/a/b/c.txt", "content": "grüß\n"}
    assert (files.sandbox / "a/b/c.txt").read_bytes() == b"gr\xc3\xbc\xc3\x9f\n"


async def test_home_is_a_place_of_its_own(files: FileApi) -> None:
    await files.succeed("write", file="/home/gem/.profile", content="x")
    assert (files.home / ".profile").read_text() == "x"


@pytest.mark.parametrize(
    ("lines", "content"),
    [
        ({}, TEXT),
        ({"start_line": None, "end_line": None}, TEXT),
        ({"start_line": 0}, TEXT),
        ({"start_line": 2}, "two\nthree\n"),
        ({"end_line": 1}, "zero\n"),
        ({"end_line": 1.0}, "zero\n"),
        ({"start_line": 1, "end_line": 3}, "one\ntwo\n"),
        ({"start_line": 3, "end_line": 99}, "three\n"),
        ({"start_line": 3, "end_line": 1}, ""),
        ({"start_line": 99}, ""),
        ({"end_line": 0}, ""),
    ],
)
async def test_lines_are_read_from_0_and_before_the_end(
    files: FileApi, lines: dict[str, int], content: str
) -> None:
    (files.sandbox / "file").write_text(TEXT)
    assert (await files.succeed("read", file="/sandbox/file", **lines))["content"] == content


async def test_line_ends_are_kept_as_they_are(files: FileApi) -> None:
    await files.succeed("write", file="/sandbox/file", content="a\r\nb\u2028c\n")
    assert (await files.succeed("read", file="/sandbox/file", end_line=1))["content"] == "a\r\n"
    assert (await files.succeed("read", file="/sandbox/file"))["content"] == "a\r\nb\u2028c\n"


async def test_a_write_replaces_and_an_append_adds(files: FileApi) -> None:
    await files.succeed("write", file="/sandbox/file", content="a longer text")
    await files.succeed("write", file="/sandbox/file", content="a")
    assert (await files.succeed("write", file="/sandbox/file", content="b", append=True)) == {
        "file": "/sandbox/file",
        "bytes_written": 1,
    }
    assert (files.sandbox / "file").read_text() == "ab"


async def test_a_write_keeps_the_inode_and_the_mode(files: FileApi) -> None:
    file = files.sandbox / "run.sh"
    file.touch(0o755)
    before = file.stat()
    await files.succeed("write", file="/sandbox/run.sh", content="echo")
    assert (file.stat().st_ino, file.stat().st_mode) == (before.st_ino, before.st_mode)


@pytest.mark.parametrize(
    ("fields", "written"),
    [
        ({"content": "\u00ff"}, b"\xc3\xbf"),
        ({"content": "a", "encoding": "utf-8"}, b"a"),
        ({"content": "a", "encoding": None}, b"a"),
        ({"content": "a", "leading_newline": True}, b"\na"),
        ({"content": "a", "trailing_newline": True}, b"a\n"),
        (
            {"content": base64.b64encode(bytes(range(256))).decode(), "encoding": "base64"},
            bytes(range(256)),
        ),
        ({"content": "AAEC\nAw==\n", "encoding": "base64"}, b"\0\1\2\3"),
        ({"content": "AA==", "encoding": "base64", "trailing_newline": True}, b"\0"),
        ({"content": "\0\u00ff", "encoding": "raw"}, b"\0\xff"),
        ({"content": ""}, b""),
    ],
)
async def test_each_encoding_writes_its_bytes(
    files: FileApi, fields: dict[str, Any], written: bytes
) -> None:
    data = await files.succeed("write", file="/sandbox/file", **fields)
    assert (files.sandbox / "file").read_bytes() == written
    assert data["bytes_written"] == len(written)


@pytest.mark.parametrize(
    "fields",
    [
        {"content": "no base64!", "encoding": "base64"},
        {"content": "A", "encoding": "base64"},
        {"content": "é", "encoding": "base64"},
        {"content": "\u20ac", "encoding": "raw"},
    ],
)
async def test_content_that_is_not_in_its_encoding_is_a_decode_error_and_writes_nothing(
    files: FileApi, fields: dict[str, str]
) -> None:
    fault = await files.fail("write", file="/sandbox/file", **fields)
    assert fault["error_type"] == "decode_error"
    assert not (files.sandbox / "file").exists()


# Listing.


async def test_a_list_tells_of_each_entry_and_counts(files: FileApi) -> None:
    (files.sandbox / "b.txt").write_text("12345")
    (files.sandbox / "a").mkdir()
    (files.sandbox / "a" / "deep").touch()
    os.utime(files.sandbox / "b.txt", (1.5, 1.5))
    data = await files.succeed("list", path="/sandbox")
    assert {key: data[key] for key in data if key != "files"} == {
        "path": "/sandbox",
        "total_count": 2,
        "directory_count": 1,
        "file_count": 1,
    }
    directory, file = data["files"]
    assert (directory["name"], directory["is_directory"]) == ("a", True)
    assert directory["size"] is directory["extension"] is None
    assert file == {
        "name": "b.txt",
        "path": "/sandbox/b.txt",
        "is_directory": False,
        "size": 5,
        "modified_time": "1970-01-01T00:00:01.500Z",
        "extension": ".txt",
    }


@pytest.mark.parametrize(
    ("fields", "paths"),
    [
        ({}, [".h", "a", "c.py", "d.txt"]),
        ({"show_hidden": None}, [".h", "a", "c.py", "d.txt"]),
        ({"show_hidden": False}, ["a", "c.py", "d.txt"]),
        ({"max_depth": 2}, [".h", "a", "c.py", "d.txt"]),
        (
            {"recursive": True},
            [".h", ".h/e", "a", "a/b", "a/b/f.py", "a/g.txt", "c.py", "d.txt"],
        ),
        (
            {"recursive": True, "show_hidden": False},
            ["a", "a/b", "a/b/f.py", "a/g.txt", "c.py", "d.txt"],
        ),
        ({"recursive": True, "max_depth": 1}, [".h", "a", "c.py", "d.txt"]),
        (
            {"recursive": True, "max_depth": 2},
            [".h", ".h/e", "a", "a/b", "a/g.txt", "c.py", "d.txt"],
        ),
        ({"file_types": [".py"]}, [".h", "a", "c.py"]),
        ({"file_types": ["txt"]}, [".h", "a", "d.txt"]),
        ({"sort_desc": True}, ["d.txt", "c.py", "a", ".h"]),
        ({"sort_by": "modified", "file_types": [".py", ".txt"]}, ["d.txt", "c.py", ".h", "a"]),
        ({"sort_by": "type"}, [".h", "a", "c.py", "d.txt"]),
    ],
)
async def test_a_list_applies_its_filters_and_order(
    files: FileApi, fields: dict[str, Any], paths: list[str]
) -> None:
    for name in (".h/e", "a/b/f.py", "a/g.txt", "c.py", "d.txt"):
        (files.sandbox / name).parent.mkdir(parents=True, exist_ok=True)
        (files.sandbox / name).touch()
    os.utime(files.sandbox / "d.txt", (1, 1))
    os.utime(files.sandbox / "c.py", (2, 2))
    os.utime(files.sandbox / ".h", (3, 3))
    data = await files.succeed("list", path="/sandbox", **fields)
    assert [each["path"].removeprefix("/sandbox/") for each in data["files"]] == paths


async def test_a_list_by_size_without_sizes_and_with_permissions(files: FileApi) -> None:
    for name, size in (("a", 3), ("b", 1), ("c", 2)):
        (files.sandbox / name).write_bytes(b"x" * size)
        (files.sandbox / name).chmod(0o640)
    data = await files.succeed(
        "list", path="/sandbox", sort_by="size", include_size=False, include_permissions=True
    )
    assert [each["name"] for each in data["files"]] == ["b", "c", "a"]
    assert {(each["size"], each["permissions"]) for each in data["files"]} == {(None, "640")}


async def test_a_link_is_listed_as_its_target_and_not_descended(files: FileApi) -> None:
    (files.home / "real").mkdir()
    (files.home / "real" / "file").write_text("123")
    (files.sandbox / "dir").symlink_to("/home/gem/real")
    (files.sandbox / "file").symlink_to("/home/gem/real/file")
    (files.sandbox / "loop").symlink_to("/sandbox")
    (files.sandbox / "out").symlink_to("/etc")
    data = await files.succeed("list", path="/sandbox", recursive=True)
    assert [(each["name"], each["is_directory"]) for each in data["files"]] == [
        ("dir", True),
        ("file", False),
        ("loop", True),
        ("out", False),
    ]
    assert data["files"][1]["size"] == 3


async def test_a_list_that_is_too_long_says_so(files: FileApi) -> None:
    for number in range(10_001):
        (files.sandbox / str(number)).touch()
    data = await files.succeed("list", path="/sandbox")
    assert (data["total_count"], data["truncated"]) == (10_000, True)
    data = await files.succeed("find", path="/sandbox", glob="*")
    assert (len(data["files"]), data["truncated"]) == (10_000, True)


async def test_a_name_that_is_not_utf_8_does_not_spoil_the_list(files: FileApi) -> None:
    try:
        (files.sandbox / os.fsdecode(b"\xff.txt")).touch()
    except OSError:
        return  # a filesystem that has only names in UTF-8
    assert (await files.succeed("list", path="/sandbox"))["files"][0]["name"] == "\ufffd.txt"
    assert (await files.succeed("find", path="/sandbox", glob="*"))["files"] == [
        "/sandbox/\ufffd.txt"
    ]


# Replacing, searching, finding.


async def test_a_replacement_is_everywhere_and_counted(files: FileApi) -> None:
    (files.sandbox / "file").write_text("a-b-c")
    data = await files.succeed("replace", file="/sandbox/file", old_str="-", new_str="")
    assert data == {"file": "/sandbox/file", "replaced_count": 2}
    assert (files.sandbox / "file").read_text() == "abc"
    data = await files.succeed("replace", file="/sandbox/file", old_str="-", new_str="+")
    assert data["replaced_count"] == 0


async def test_a_replacement_that_would_not_fit_into_memory_is_refused(files: FileApi) -> None:
    (files.sandbox / "file").write_text("a" * 100_000)
    fault = await files.fail("replace", file="/sandbox/file", old_str="a", new_str="b" * 50_000)
    assert fault["error_type"] == "invalid_target"
    assert (files.sandbox / "file").stat().st_size == 100_000


async def test_a_search_answers_lines_and_their_numbers_from_0(files: FileApi) -> None:
    (files.sandbox / "file").write_text(TEXT)
    data = await files.succeed("search", file="/sandbox/file", regex="^t|r.*o$")
    assert data == {
        "file": "/sandbox/file",
        "matches": ["zero", "two", "three"],
        "line_numbers": [0, 2, 3],
    }
    line = data["line_numbers"][1]
    read = await files.succeed("read", file="/sandbox/file", start_line=line, end_line=line + 1)
    assert read["content"] == "two\n"


async def test_a_search_without_a_match_is_empty(files: FileApi) -> None:
    (files.sandbox / "file").write_text(TEXT)
    data = await files.succeed("search", file="/sandbox/file", regex="^$")
    assert (data["matches"], data["line_numbers"]) == ([], [])


@pytest.mark.parametrize("regex", ["(", "*", "a{99999999999999}", "(?P<a>)(?P<a>)"])
async def test_an_invalid_regular_expression_is_refused(files: FileApi, regex: str) -> None:
    (files.sandbox / "file").touch()
    assert await files.invalid_fields("search", file="/sandbox/file", regex=regex) == ["regex"]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*.py", ["a.py"]),
        ("**/*.py", ["a.py", "d/b.py", "d/e/c.py"]),
        ("d/*.py", ["d/b.py"]),
        ("d/**", ["d/b.py", "d/e/c.py"]),
        ("**/e/*", ["d/e/c.py"]),
        ("?.p[xy]", ["a.py"]),
        ("[!a].py", []),
        ("d", []),
        (".*", [".hidden"]),
        (".d/*", [".d/x.py"]),
        ("*", ["a.py"]),
    ],
)
async def test_files_are_found_by_a_pattern_of_their_path(
    files: FileApi, glob: str, found: list[str]
) -> None:
    for name in ("a.py", "d/b.py", "d/e/c.py", ".hidden", ".d/x.py"):
        (files.sandbox / name).parent.mkdir(parents=True, exist_ok=True)
        (files.sandbox / name).touch()
    data = await files.succeed("find", path="/sandbox", glob=glob)
    assert data == {"path": "/sandbox", "files": [f"/sandbox/{name}" for name in found]}


@pytest.mark.parametrize("glob", ["", "/etc/*", "../*", "a/../../*", "."])
async def test_a_pattern_that_climbs_is_refused(files: FileApi, glob: str) -> None:
    assert await files.invalid_fields("find", path="/sandbox", glob=glob) == ["glob"]


# Up and down.


async def test_an_uploaded_file_is_downloaded(files: FileApi) -> None:
    content = bytes(range(256)) * 4000
    reply = await files.upload("here.bin", content, path="/sandbox/new/there.bin")
    assert reply.json()["data"] == {
        "file_path": "/sandbox/new/there.bin",
        "file_size": len(content),
        "success": True,
    }
    reply = await files.download("/sandbox/new/there.bin")
    assert reply.status_code == 200
    assert reply.content == content
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-length"] == str(len(content))
    assert reply.headers["content-disposition"] == 'attachment; filename="there.bin"'


async def test_a_download_that_looks_like_json_passes_unchanged(files: FileApi) -> None:
    (files.sandbox / "größe.json").write_text("{no json")
    reply = await files.download("/sandbox/größe.json")
    assert reply.text == "{no json"
    disposition = "attachment; filename*=utf-8''gr%C3%B6%C3%9Fe.json"
    assert reply.headers["content-disposition"] == disposition


async def test_an_upload_without_a_path_goes_home_under_its_own_name(files: FileApi) -> None:
    reply = await files.upload("notes.txt", b"x")
    assert reply.json()["data"]["file_path"] == "/home/gem/notes.txt"
    assert (files.home / "notes.txt").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["../x", "a/b", "..", "."])
async def test_an_upload_without_a_path_needs_a_name_that_is_none(
    files: FileApi, name: str
) -> None:
    reply = await files.upload(name, b"x")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["body", "path"]


async def test_an_upload_that_cannot_be_kept_is_a_fault(files: FileApi) -> None:
    reply = await files.upload("x", b"x", path="/etc/x")
    assert reply.status_code == 200
    assert reply.json()["success"] is False
    assert reply.json()["data"]["error_type"] == "permission_denied"
    assert reply.json()["data"]["operation"] == "upload"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nno form", 400),
        ("multipart/form-data", b"--x--", 400),
        ("application/json", b"{}", 422),
        ("application/x-www-form-urlencoded", b"file=text", 422),
    ],
)
async def test_an_upload_that_is_no_form_with_a_file_is_refused(
    files: FileApi, content_type: str, body: bytes, status: int
) -> None:
    reply = await files.client.request(
        "POST", f"{API}/file/upload", content=body, headers={"Content-Type": content_type}
    )
    assert reply.status_code == status, reply.text
    assert "detail" in reply.json()


@pytest.mark.parametrize(
    ("path", "status", "error_type"),
    [
        ("/sandbox/missing", 404, "not_found"),
        ("/sandbox", 400, "invalid_target"),
        ("/etc/passwd", 400, "permission_denied"),
        ("sandbox/file", 400, "invalid_path"),
    ],
)
async def test_a_download_that_cannot_be_had_says_why(
    files: FileApi, path: str, status: int, error_type: str
) -> None:
    reply = await files.download(path)
    assert reply.status_code == status
    assert reply.json()["success"] is False
    assert reply.json()["data"]["error_type"] == error_type


async def test_a_download_needs_a_path(files: FileApi) -> None:
    reply = await files.client.request("GET", f"{API}/file/download")
    assert reply.status_code == 422
    assert reply.json()["detail"][0]["loc"] == ["query", "path"]


# Faults, each by its error_type.


async def test_not_found(files: FileApi) -> None:
    for operation, fields in {
        "read": {"file": "/sandbox/missing"},
        "replace": {"file": "/sandbox/missing", "old_str": "a", "new_str": "b"},
        "search": {"file": "/sandbox/missing", "regex": "a"},
        "list": {"path": "/sandbox/missing"},
        "find": {"path": "/sandbox/missing", "glob": "*"},
    }.items():
        fault = await files.fail(operation, **fields)
        assert fault["error_type"] == "not_found"
        assert fault["path"] == "/sandbox/missing"
        assert fault["retryable"] is False


@pytest.mark.parametrize(
    "path",
    ["/", "/home", "/etc/passwd", "/sandbox/../etc/passwd", "/sandbox/out/passwd", "/sandboxes/x"],
)
async def test_permission_denied_outside(files: FileApi, path: str) -> None:
    (files.sandbox / "out").symlink_to("/etc")
    for operation, fields in {
        "read": {"file": path},
        "write": {"file": path, "content": ""},
        "replace": {"file": path, "old_str": "a", "new_str": "b"},
        "search": {"file": path, "regex": "a"},
        "list": {"path": path},
        "find": {"path": path, "glob": "*"},
    }.items():
        assert (await files.fail(operation, **fields))["error_type"] == "permission_denied"


async def test_invalid_target(files: FileApi) -> None:
    (files.sandbox / "dir").mkdir()
    (files.sandbox / "file").touch()
    os.mkfifo(files.sandbox / "pipe")
    for operation, fields in [
        ("read", {"file": "/sandbox/dir"}),
        ("read", {"file": "/sandbox/pipe"}),
        ("read", {"file": "/sandbox/file/below"}),
        ("read", {"file": "/sandbox/file/"}),
        ("write", {"file": "/sandbox/dir", "content": ""}),
        ("write", {"file": "/sandbox", "content": ""}),
        ("write", {"file": "/sandbox/new/", "content": ""}),
        ("write", {"file": "/sandbox/pipe", "content": ""}),
        ("write", {"file": "/sandbox/file/below", "content": ""}),
        ("search", {"file": "/sandbox/dir", "regex": ""}),
        ("replace", {"file": "/sandbox/dir", "old_str": "a", "new_str": ""}),
        ("list", {"path": "/sandbox/file"}),
        ("find", {"path": "/sandbox/file", "glob": "*"}),
    ]:
        fault = await files.fail(operation, **fields)
        assert fault["error_type"] == "invalid_target", (operation, fields, fault)


@pytest.mark.parametrize(
    "path", ["", "file", "./file", "~/file", "/sandbox/a\0b", "/sandbox/" + "a" * 256, "/a" * 2049]
)
async def test_invalid_path(files: FileApi, path: str) -> None:
    assert (await files.fail("read", file=path))["error_type"] == "invalid_path"
    assert (await files.fail("write", file=path, content=""))["error_type"] == "invalid_path"


async def test_invalid_path_in_a_ring_of_links(files: FileApi) -> None:
    (files.sandbox / "a").symlink_to("b")
    (files.sandbox / "b").symlink_to("a")
    assert (await files.fail("read", file="/sandbox/a"))["error_type"] == "invalid_path"


async def test_decode_error(files: FileApi) -> None:
    (files.sandbox / "file").write_bytes(b"ok\xff")
    fault = await files.fail("read", file="/sandbox/file")
    assert fault["error_type"] == "decode_error"
    assert "byte 2" in fault["message"]
    assert "download" in fault["message"]
    for operation, fields in {
        "search": {"regex": "a"},
        "replace": {"old_str": "a", "new_str": "b"},
    }.items():
        fault = await files.fail(operation, file="/sandbox/file", **fields)
        assert fault["error_type"] == "decode_error"


async def test_text_that_is_too_large_is_an_invalid_target_and_downloads(files: FileApi) -> None:
    with (files.sandbox / "file").open("wb") as file:
        file.truncate(16 * 1024 * 1024 + 1)
    fault = await files.fail("read", file="/sandbox/file")
    assert fault["error_type"] == "invalid_target"
    assert "download" in fault["message"]
    assert len((await files.download("/sandbox/file")).content) == 16 * 1024 * 1024 + 1


class BrokenDisk:
    """The system's calls, of which writing fails."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, _file: int, _data: bytes) -> int:
        raise OSError(self._number, os.strerror(self._number))


@pytest.mark.parametrize(
    ("number", "error_type", "retryable"),
    [
        (errno.EACCES, "permission_denied", False),
        (errno.EPERM, "permission_denied", False),
        (errno.EEXIST, "already_exists", False),
        (errno.EROFS, "read_only_filesystem", False),
        (errno.ENOSPC, "no_space_left", False),
        (errno.EDQUOT, "no_space_left", False),
        (errno.EIO, "io_error", True),
        (errno.EMFILE, "io_error", True),
    ],
)
async def test_a_fault_of_the_disk_has_its_type(
    files: FileApi,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error_type: str,
    *,
    retryable: bool,
) -> None:
    monkeypatch.setattr("sandbox_fakeproxy.runtime.files.volume.os", BrokenDisk(number))
    fault = await files.fail("write", file="/sandbox/file", content="x")
    assert (fault["error_type"], fault["retryable"]) == (error_type, retryable)
    assert os.strerror(number) in fault["message"]


# Requests that do not fit.


@pytest.mark.parametrize(
    ("operation", "fields", "at_fault"),
    [
        ("read", {}, ["file"]),
        ("read", {"file": 1}, ["file"]),
        ("read", {"file": None}, ["file"]),
        (
            "read",
            {"file": "/sandbox/x", "start_line": -1, "end_line": "three"},
            ["start_line", "end_line"],
        ),
        ("read", {"file": "/sandbox/x", "start_line": True}, ["start_line"]),
        ("read", {"file": "/sandbox/x", "sudo": "perhaps"}, ["sudo"]),
        ("write", {}, ["file", "content"]),
        ("write", {"file": "/sandbox/x", "content": 1}, ["content"]),
        ("write", {"file": "/sandbox/x", "content": "", "encoding": "utf-16"}, ["encoding"]),
        ("write", {"file": "/sandbox/x", "content": "", "append": 2}, ["append"]),
        ("list", {}, ["path"]),
        ("list", {"path": "/sandbox", "max_depth": 0}, ["max_depth"]),
        ("list", {"path": "/sandbox", "max_depth": 1.5}, ["max_depth"]),
        ("list", {"path": "/sandbox", "sort_by": "colour"}, ["sort_by"]),
        ("list", {"path": "/sandbox", "file_types": ".py"}, ["file_types"]),
        ("list", {"path": "/sandbox", "file_types": [1]}, ["file_types"]),
        ("replace", {"file": "/sandbox/x"}, ["old_str", "new_str"]),
        ("replace", {"file": "/sandbox/x", "old_str": "", "new_str": ""}, ["old_str"]),
        ("search", {"file": "/sandbox/x"}, ["regex"]),
        ("find", {}, ["path", "glob", "glob"]),
    ],
)
async def test_each_field_that_does_not_fit_is_named(
    files: FileApi, operation: str, fields: dict[str, Any], at_fault: list[str]
) -> None:
    assert await files.invalid_fields(operation, **fields) == at_fault


@pytest.mark.parametrize("name", ["grep", "glob", "str_replace_editor", "watch", "stat", "", "x"])
async def test_an_operation_outside_the_contract_is_404(files: FileApi, name: str) -> None:
    reply = await files.request(name)
    assert (reply.status_code, reply.json()) == (404, {"detail": "Not Found"})


async def test_another_method_is_405(files: FileApi) -> None:
    reply = await files.client.request("GET", f"{API}/file/read")
    assert (reply.status_code, reply.headers["allow"]) == (405, "POST")
    reply = await files.client.request("POST", f"{API}/file/download")
    assert (reply.status_code, reply.headers["allow"]) == (405, "GET")


async def test_sudo_is_taken_and_reaches_no_further(files: FileApi) -> None:
    fault = await files.fail("read", file="/etc/passwd", sudo=True)
    assert fault["error_type"] == "permission_denied"
    await files.succeed("write", file="/sandbox/file", content="", sudo=True)


# The sandbox around the files.


async def test_the_description_of_a_sandbox_has_no_wrapper(files: FileApi) -> None:
    reply = await files.client.request("GET", f"{API}/sandbox")
    assert reply.status_code == 200
    about = reply.json()
    assert set(about) == {"success", "message", "home_dir", "version", "detail"}
    assert about["success"] is True
    assert about["home_dir"] == "/home/gem"
    assert set(about["detail"]) == {"system", "runtime", "utils"}


async def test_commands_and_the_api_share_their_files(files: FileApi) -> None:
    command = 'echo hi > file; ln -s "$HOME/note" link; echo there > ~/note'
    body = {"command": command, "exec_dir": "/sandbox"}
    await files.client.request("POST", exec_path(), body)
    assert (await files.succeed("read", file="/sandbox/file"))["content"] == "hi\n"
    assert (await files.succeed("read", file="/sandbox/link"))["content"] == "there\n"
    await files.succeed("write", file="/home/gem/new", content="from the API")
    reply = await files.client.request("POST", exec_path(), {"command": "cat ~/new"})
    assert reply.json()["data"]["output"] == "from the API"


async def test_files_outlive_a_pause_and_not_a_deletion(fake: FakeApp, files: FileApi) -> None:
    await files.succeed("write", file="/sandbox/file", content="x")
    await files.client.request("POST", "/api/sandboxes/box/pause")
    assert (await files.request("read", file="/sandbox/file")).status_code == 503
    await files.client.request("POST", "/api/sandboxes/box/resume")
    fake.clock.advance(2)
    assert (await files.succeed("read", file="/sandbox/file"))["content"] == "x"
    await files.client.request("DELETE", "/api/sandboxes/box")
    assert not files.sandbox.parent.exists()
    await fake.ready_sandbox(files.client)
    assert (await files.fail("read", file="/sandbox/file"))["error_type"] == "not_found"


def a_write(content: str) -> Request:
    """Return a request as the runtime gets it."""
    body = json.dumps({"file": "/sandbox/late", "content": content}).encode()
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/v1/file/write",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    return Request(scope, receive)


@pytest.mark.parametrize("end", ["stop", "remove"])
@pytest.mark.parametrize("kind", [LocalRuntime, ScriptedRuntime])
async def test_a_write_that_was_allowed_before_a_stop_is_not_done_after_it(
    tmp_path: Path, end: str, kind: type[LocalRuntime] | type[ScriptedRuntime]
) -> None:
    runtime = LocalRuntime(tmp_path) if kind is LocalRuntime else ScriptedRuntime()
    assert await runtime.answer("one", a_write("in time")) is not None
    late = runtime.answer("one", a_write("too late"))
    await getattr(runtime, end)("one")
    with pytest.raises(RuntimeUnreachable):
        await late
    await runtime.close()
    if kind is LocalRuntime:
        kept = tmp_path / "one" / "sandbox" / "late"
        assert kept.exists() == (end == "stop")
        assert not kept.exists() or kept.read_text() == "in time"


async def test_after_the_end_no_file_is_made(tmp_path: Path) -> None:
    runtime = LocalRuntime(tmp_path)
    await runtime.close()
    with pytest.raises(RuntimeUnreachable):
        await runtime.answer("one", a_write("too late"))
    assert not names_below(tmp_path)


async def test_a_sandbox_is_deleted_however_deep_its_files_are(files: FileApi) -> None:
    await files.succeed("write", file="/sandbox" + "/d" * 1900 + "/f", content="deep")
    (files.home / "closed").mkdir()
    (files.home / "closed" / "file").touch()
    (files.home / "closed").chmod(0)
    (files.home / "link").symlink_to(files.sandbox.parent.parent)
    reply = await files.client.request("DELETE", "/api/sandboxes/box")
    assert reply.status_code == 200
    assert not files.sandbox.parent.exists()
    assert files.sandbox.parent.parent.exists()


async def test_files_are_their_sandboxs_own(fake: FakeApp, files: FileApi) -> None:
    await files.succeed("write", file="/sandbox/file", content="alice's")
    bob = await fake.new_user("bob")
    await fake.ready_sandbox(bob)
    reply = await bob.request("POST", f"{API}/file/read", {"file": "/sandbox/file"})
    assert reply.json()["data"]["error_type"] == "not_found"


async def test_a_scripted_runtime_has_files_too_and_leaves_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with fake_app(ScriptedRuntime()) as fake:
        alice = await fake.new_user()
        await fake.ready_sandbox(alice)
        files = FileApi(alice, tmp_path, tmp_path)
        await files.succeed("write", file="/sandbox/a", content="x")
        assert (await files.succeed("read", file="/sandbox/a"))["content"] == "x"
        assert "a" in names_below(tmp_path)
        await alice.request("DELETE", "/api/sandboxes/box")
        assert "a" not in names_below(tmp_path)
    assert not names_below(tmp_path)


def names_below(directory: Path) -> set[str]:
    return {path.name for path in directory.rglob("*")}


async def test_slow_searches_in_one_sandbox_hold_up_no_other(
    fake: FakeApp, files: FileApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()

    def slow(_text: str, _regex: str, _seconds: float) -> SearchResult:
        go_on.wait(15)
        return SearchResult([], [], truncated=False)

    monkeypatch.setattr("sandbox_fakeproxy.runtime.files.volume.search", slow)
    (files.sandbox / "file").write_text(TEXT)
    searches = [
        asyncio.ensure_future(files.succeed("search", file="/sandbox/file", regex="x"))
        for _ in range(40)
    ]
    bob = await fake.new_user("bob")
    await fake.ready_sandbox(bob)
    try:
        asking = bob.request(
            "POST", f"{API}/file/write", {"file": "/sandbox/file", "content": "bob's"}
        )
        assert (await asyncio.wait_for(asking, 10)).json()["success"] is True
    finally:
        go_on.set()
        await asyncio.gather(*searches)
