"""The runtime's file API: write, read, list, replace, search and find."""

from typing import Any

from dirty_equals import IsPartialDict

from sandbox_contract.clause import clause
from sandbox_contract.harness.actors import SandboxHandle
from sandbox_contract.harness.api import ANY, COUNT, TEXT, in_volume
from sandbox_contract.harness.run import Run
from sandbox_contract.http.expect import Json, Reply, require
from sandbox_contract.target import Need


class _Folder:
    """A directory of one clause in the shared sandbox."""

    def __init__(self, box: SandboxHandle, name: str) -> None:
        self.box = box
        self.name = name
        self.path = f"/sandbox/{name}"

    async def write(self, name: str, content: str, **fields: Any) -> Json:
        """Write a file, and return the response's `data`."""
        body = {"file": f"{self.path}/{name}", "content": content, **fields}
        return await self.box.succeed("/v1/file/write", body)

    async def read(self, name: str, **fields: Any) -> str:
        """Read a file, and return its content."""
        body = {"file": f"{self.path}/{name}", **fields}
        return str((await self.box.succeed("/v1/file/read", body))["content"])

    async def list_entries(self, **fields: Any) -> Json:
        """List the directory, and return the response's `data`."""
        return await self.box.succeed("/v1/file/list", {"path": self.path, **fields})

    async def names(self, **fields: Any) -> list[str]:
        """Return the sorted names of the directory's entries."""
        return sorted(str(entry["name"]) for entry in (await self.list_entries(**fields))["files"])


async def _folder(run: Run) -> _Folder:
    return _Folder(await run.sandboxes.ready(), run.name("folder"))


def _require_content(actual: str, expected: str) -> None:
    require(actual == expected, f"the content {expected!r}", repr(actual))


@clause(
    "files.write.reply",
    "Writing a file returns its path and the number of bytes.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_file_is_written(run: Run) -> None:
    folder = await _folder(run)
    written = await folder.write("a.txt", "żółć\n")
    wanted = {"file": f"{folder.path}/a.txt", "bytes_written": 9}
    require(written == IsPartialDict(wanted), f"data {wanted}", written)


@clause(
    "files.write.parents",
    "Writing a file creates its parent directories.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def parent_directories_are_created(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("one/two/three.txt", "deep")
    _require_content(await folder.read("one/two/three.txt"), "deep")


@clause(
    "files.write.append",
    "With append, writing adds to the file's content.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def append_adds_to_a_file(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.txt", "one\n")
    await folder.write("a.txt", "two\n", append=True)
    _require_content(await folder.read("a.txt"), "one\ntwo\n")


@clause(
    "files.write.replaces",
    "Without append, writing replaces the file's content.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_file_is_replaced(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.txt", "a long first text\n")
    await folder.write("a.txt", "short\n")
    _require_content(await folder.read("a.txt"), "short\n")


@clause(
    "files.write.base64",
    "Content in base64 can have any bytes.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def any_bytes_are_written(run: Run) -> None:
    folder = await _folder(run)
    written = await folder.write("bytes", "AAEC/f7/", encoding="base64")
    require(written["bytes_written"] == 6, "6 bytes written", written)
    dump = await folder.box.output(in_volume(f"od -An -tx1 < {folder.name}/bytes"))
    require(dump.split() == ["00", "01", "02", "fd", "fe", "ff"], "the six bytes", dump)


@clause(
    "files.read.reply",
    "Reading a file returns the content that was written.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_file_is_read(run: Run) -> None:
    folder, text = await _folder(run), 'żółć "quoted"\n\ttab\n'
    await folder.write("a.txt", text)
    reply = await folder.box.ask("/v1/file/read", {"file": f"{folder.path}/a.txt"})
    data = reply.expect_fields(success=True, message=ANY, hint=None)["data"]
    wanted = {"content": text, "file": f"{folder.path}/a.txt"}
    require(data == IsPartialDict(wanted), f"data {wanted}", data, reply)


@clause(
    "files.read.lines",
    "start_line and end_line select a range of lines.",
    source="read-and-write",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_range_of_lines_is_read(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.txt", "".join(f"line {number}\n" for number in range(10)))
    part = await folder.read("a.txt", start_line=2, end_line=5)
    _require_content(part.rstrip("\n"), "line 2\nline 3\nline 4")
    first = await folder.read("a.txt", start_line=0, end_line=1)
    _require_content(first.rstrip("\n"), "line 0")


@clause(
    "files.list.reply",
    "A directory is listed with the fields of its entries and their counts.",
    source="list",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def a_directory_is_listed(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.txt", "12345")
    await folder.write("sub/b.txt", "1")
    data = await folder.list_entries()
    wanted = {"path": folder.path, "total_count": 2, "directory_count": 1, "file_count": 1}
    require(data == IsPartialDict(wanted), f"data {wanted}", data)
    (file,) = [entry for entry in data["files"] if entry["name"] == "a.txt"] or [{}]
    file_entry = {"path": f"{folder.path}/a.txt", "is_directory": False, "size": 5}
    file_entry |= {"modified_time": ANY}
    require(file == IsPartialDict(file_entry), f"an entry {file_entry}", data["files"])
    (sub,) = [entry for entry in data["files"] if entry["name"] == "sub"] or [{}]
    require(sub.get("is_directory") is True, "sub, a directory", data["files"])


@clause(
    "files.list.recursive",
    "With recursive, the list includes all directories below.",
    source="list",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def recursive_lists_subdirectories(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("one/two/c.txt", "")
    require(await folder.names() == ["one"], "one", await folder.names())
    below = await folder.names(recursive=True)
    require(below == ["c.txt", "one", "two"], "c.txt, one and two", below)


@clause(
    "files.list.max-depth",
    "max_depth limits a recursive list.",
    source="list",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def max_depth_limits_a_list(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("one/two/three/d.txt", "")
    shallow = await folder.names(recursive=True, max_depth=1)
    whole = await folder.names(recursive=True)
    require("d.txt" in whole, "d.txt in the whole list", whole)
    is_limited = "one" in shallow and "d.txt" not in shallow and len(shallow) < len(whole)
    require(is_limited, f"less than {whole}", shallow)


@clause(
    "files.list.hidden",
    "show_hidden determines whether hidden files are listed.",
    source="list",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def hidden_files_can_be_left_out(run: Run) -> None:
    folder = await _folder(run)
    await folder.write(".hidden", "")
    await folder.write("seen", "")
    shown = await folder.names(show_hidden=True)
    require(shown == [".hidden", "seen"], ".hidden and seen", shown)
    visible = await folder.names(show_hidden=False)
    require(visible == ["seen"], "seen alone", visible)


@clause(
    "files.replace.reply",
    "replace replaces text in a file.",
    source="replace-search-and-find",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def text_is_replaced(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.txt", "old and new\n")
    body = {"file": f"{folder.path}/a.txt", "old_str": "old", "new_str": "bold"}
    await folder.box.succeed("/v1/file/replace", body)
    _require_content(await folder.read("a.txt"), "bold and new\n")


@clause(
    "files.search.reply",
    "search finds the lines of a file that match.",
    source="replace-search-and-find",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def text_is_found(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.txt", "one\nneedle here\nthree\n")
    body = {"file": f"{folder.path}/a.txt", "regex": "need.e"}
    found = str(await folder.box.succeed("/v1/file/search", body))
    require("needle" in found, "the line with needle", found)
    require("three" not in found, "no line that does not match", found)


@clause(
    "files.find.reply",
    "find finds the files that match a pattern.",
    source="replace-search-and-find",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def files_are_found(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("a.py", "")
    await folder.write("b.txt", "")
    body = {"path": folder.path, "glob": "*.py"}
    found = str(await folder.box.succeed("/v1/file/find", body))
    require("a.py" in found, "a.py", found)
    require("b.txt" not in found, "no file that does not match", found)


def _require_file_error(reply: Reply, path: str, operation: str, error_type: str) -> None:
    data = reply.expect_fields(success=False)["data"]
    wanted = {"path": path, "operation": operation, "message": TEXT, "error_type": error_type}
    require(data == IsPartialDict(wanted), f"data {wanted}", data, reply)
    require(isinstance(data["retryable"], bool), "retryable true or false", data, reply)


@clause(
    "files.fault.not-found",
    "Reading a missing file is 200 with success false and a description of the error.",
    source="file-faults",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def reading_a_missing_file_is_not_found(run: Run) -> None:
    folder = await _folder(run)
    path = f"{folder.path}/missing.txt"
    reply = await folder.box.ask("/v1/file/read", {"file": path})
    _require_file_error(reply, path, "read", "not_found")


@clause(
    "files.fault.invalid-target",
    "Reading a directory as a file is the error invalid_target.",
    source="file-faults",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def reading_a_directory_is_invalid_target(run: Run) -> None:
    folder = await _folder(run)
    await folder.write("sub/a.txt", "")
    path = f"{folder.path}/sub"
    reply = await folder.box.ask("/v1/file/read", {"file": path})
    _require_file_error(reply, path, "read", "invalid_target")


@clause(
    "files.download.missing",
    "Downloading a missing file is 404, or another error as deployed, and never 2xx.",
    source="upload-and-download",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def downloading_a_missing_file_is_refused(run: Run) -> None:
    folder = await _folder(run)
    path = folder.box.runtime(f"/v1/file/download?path={folder.path}/missing")
    reply = await folder.box.owner.call("GET", path)
    require(reply.status >= 400, "a refusal", reply, reply)
    if reply.status != 404:
        run.note(f"{reply.status}, as where the query is dropped")


@clause(
    "files.shell.same",
    "Commands and the file API see the same files.",
    source="where-a-session-starts",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def commands_and_files_share_a_filesystem(run: Run) -> None:
    folder = await _folder(run)
    await folder.box.run(in_volume(f"mkdir {folder.name} && echo shell > {folder.name}/a.txt"))
    _require_content(await folder.read("a.txt"), "shell\n")
    await folder.write("b.txt", "file API\n")
    _require_content(await folder.box.output(in_volume(f"cat {folder.name}/b.txt")), "file API")


@clause(
    "files.place.there",
    "/home/gem and /sandbox exist.",
    source="where-a-session-starts",
    needs=(Need.USER, Need.WAITING, Need.RUNTIME),
)
async def home_and_volume_exist(run: Run) -> None:
    box = await run.sandboxes.ready()
    for path in ("/home/gem", "/sandbox"):
        data = await box.succeed("/v1/file/list", {"path": path})
        counts = {"path": path, "total_count": COUNT, "file_count": COUNT}
        require(data == IsPartialDict(counts), f"data {counts}", data)
