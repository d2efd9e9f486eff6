"""Wrong runtimes behind the proxy: files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .mutant import Kind
from .rewriting import (
    INSIDE,
    answered,
    asked,
    body,
    changing,
    data_of,
    handled,
    losing,
    plain,
    renaming,
    setting,
    status,
    turning,
)

if TYPE_CHECKING:
    from .rewriting import Answer, Held, Json, JsonChange

FILE = rf"{INSIDE}/v1/file"
READ, WRITE, LISTED, REPLACE, SEARCH, FIND = (
    f"POST {FILE}/{each}" for each in ("read", "write", "list", "replace", "search", "find")
)
DOWNLOAD = f"GET {FILE}/download"

# Written and read --------------------------------------------------------------------------------


async def _without_parents(request: Held) -> Answer:
    """Write a file, and do not make its directories."""
    file = request.fields.get("file")
    if not isinstance(file, str):
        return await request.send()
    parent = file.rpartition("/")[0] or "/"
    listed = await request.ask("POST", "/v1/file/list", {"path": parent})
    fault = data_of(listed)
    if fault.get("error_type") != "not_found":
        return await request.send()
    message = f"No such file or directory: '{file}'"
    body(setting("message", message))(listed)
    told = {"path": file, "operation": "write", "message": message}
    body(setting("data", fault | told))(listed)
    return listed


WRITTEN = Kind("Files written and read")
for _id, _said, _change, _clauses in (
    ("append-ignored", "append is ignored", losing("append"), ("write.append",)),
    (
        "append-always",
        "What is written is always added",
        setting("append", True),
        ("write.replaces",),
    ),
    ("base64", "base64 is written as it is", losing("encoding"), ("write.base64",)),
    (
        "stripped",
        "The last newline is not written",
        turning("content", lambda text: text.rstrip("\n")),
        ("read.reply", "write.append"),
    ),
    (
        "tabs",
        "Tabs are written as spaces",
        turning("content", lambda text: text.expandtabs()),
        ("read.reply",),
    ),
    (
        "crlf",
        "Lines are written with CR",
        turning("content", lambda text: text.replace("\n", "\r\n")),
        ("read.reply",),
    ),
    (
        "ascii",
        "What is not ASCII is lost",
        turning("content", lambda text: text.encode("ascii", "replace").decode()),
        ("read.reply", "write.reply"),
    ),
    ("empty", "Nothing is written", setting("content", ""), ("read.reply", "write.reply")),
    (
        "flat",
        "A file is written where the volume begins, whatever its directory",
        turning("file", lambda path: f"/sandbox/{path.rpartition('/')[2]}"),
        ("write.parents",),
    ),
):
    WRITTEN.add(
        f"files.written.{_id}",
        f"{_said}.",
        asked((WRITE, _change)),
        *(f"files.{clause}" for clause in _clauses),
    )
for _id, _said, _change in (
    ("no-count", "lacks bytes_written", losing("data.bytes_written")),
    ("no-file", "lacks the file", losing("data.file")),
    (
        "characters",
        "counts characters as bytes",
        turning("data.bytes_written", lambda count: 5 if count == 9 else count),
    ),
    ("text", "has a text as bytes_written", turning("data.bytes_written", str)),
):
    WRITTEN.add(
        f"files.written.{_id}",
        f"The answer to a write {_said}.",
        answered(WRITE, body(_change)),
        "files.write.reply",
    )
WRITTEN.add(
    "files.written.no-parents",
    "A file's directories are not made.",
    handled(WRITE, _without_parents),
    "files.write.parents",
)
for _id, _said, _change in (
    ("start", "start_line is ignored", losing("start_line")),
    ("end", "end_line is ignored", losing("end_line")),
    ("from-1", "Lines are counted from 1", turning("start_line", lambda line: line - 1)),
    ("to-end", "end_line is read too", turning("end_line", lambda line: line + 1)),
):
    WRITTEN.add(f"files.read.{_id}", f"{_said}.", asked((READ, _change)), "files.read.lines")
for _id, _said, _change in (
    ("no-file", "lacks the file", losing("data.file")),
    ("no-hint", "lacks hint", losing("hint")),
    ("stripped", "has content without space around it", turning("data.content", str.strip)),
    ("renamed", "calls the content text", renaming("data.content", "text")),
    ("flat", "is not below data", changing(lambda said: said | said["data"] | {"data": None})),
):
    WRITTEN.add(
        f"files.read.{_id}",
        f"The answer to a read {_said}.",
        answered(READ, body(_change)),
        "files.read.reply",
    )

# Listed ------------------------------------------------------------------------------------------

LISTS = Kind("Directories listed")
for _id, _said, _change in (
    ("no-total", "lacks total_count", losing("data.total_count")),
    ("no-directories", "lacks directory_count", losing("data.directory_count")),
    ("no-files", "lacks file_count", losing("data.file_count")),
    ("more", "counts one too many", turning("data.total_count", lambda count: count + 1)),
    ("text", "has a text as count", turning("data.file_count", str)),
    ("null", "has null as files", setting("data.files", None)),
    ("numbers", "has numbers as files", turning("data.files", lambda files: [0 for _ in files])),
    ("no-path", "lacks the path", losing("data.path")),
    ("no-size", "lacks sizes", losing("data.files.*.size")),
    ("no-time", "lacks modified_time", losing("data.files.*.modified_time")),
    ("size-text", "has texts as sizes", turning("data.files.*.size", str)),
    ("no-kind", "does not tell directories", setting("data.files.*.is_directory", False)),
    ("names", "has names as paths", turning("data.files.*.path", lambda path: path[-5:])),
    ("relative", "has paths as names", turning("data.files.*.name", lambda name: f"./{name}")),
):
    LISTS.add(
        f"files.listed.{_id}",
        f"A list of files {_said}.",
        answered(LISTED, body(_change)),
        "files.list.reply",
    )
for _id, _said, _change, _clause in (
    ("flat", "recursive is ignored", losing("recursive"), "recursive"),
    ("deep", "A list is always recursive", setting("recursive", True), "recursive"),
    ("bottomless", "max_depth is ignored", losing("max_depth"), "max-depth"),
    (
        "shallow",
        "A list goes no deeper than 2",
        changing(lambda said: {"max_depth": 2} | said),
        "max-depth",
    ),
    ("hidden", "Hidden files are always listed", setting("show_hidden", True), "hidden"),
    ("unhidden", "Hidden files are never listed", setting("show_hidden", False), "hidden"),
):
    LISTS.add(f"files.listed.{_id}", f"{_said}.", asked((LISTED, _change)), f"files.list.{_clause}")

# Searched ----------------------------------------------------------------------------------------

SEARCHED = Kind("Files searched and changed")
for _id, _said, _matches, _change, _clause in (
    ("replace-not", "Text is not replaced", REPLACE, setting("new_str", "old"), "replace"),
    ("replace-cut", "Text is cut out", REPLACE, setting("new_str", ""), "replace"),
    ("search-all", "Every line is found", SEARCH, setting("regex", ""), "search"),
    (
        "search-literal",
        "An expression is taken for text",
        SEARCH,
        turning("regex", lambda regex: regex.replace(".", "[.]")),
        "search",
    ),
    ("find-all", "Every file is found", FIND, setting("glob", "**"), "find"),
    ("find-none", "No file is found", FIND, setting("glob", "nothing"), "find"),
):
    SEARCHED.add(
        f"files.searched.{_id}", f"{_said}.", asked((_matches, _change)), f"files.{_clause}.reply"
    )

# Faults ------------------------------------------------------------------------------------------

FAULTS = Kind("File faults")


def _at_fault(change: Any) -> Any:
    """Return the change of an answer that tells a fault."""
    return body(lambda said: said if said.get("success", True) else change(said))


def _worded(said: Json) -> Json:
    return {"success": False, "message": said["message"], "data": None, "hint": None}


for _id, _said, _change in (
    ("success", "is a success", setting("success", True)),
    ("no-data", "is not described", _worded),
    ("no-type", "has no error_type", losing("data.error_type")),
    ("io-error", "is always io_error", setting("data.error_type", "io_error")),
    ("upper-case", "is written in upper case", turning("data.error_type", str.upper)),
    ("no-path", "does not say the path", losing("data.path")),
    ("no-operation", "does not say the operation", losing("data.operation")),
    ("no-message", "has no message", setting("data.message", "")),
    ("no-retryable", "does not say whether to try again", losing("data.retryable")),
    ("retryable-text", "has a text as retryable", turning("data.retryable", str)),
):
    FAULTS.add(
        f"files.fault.{_id}",
        f"A fault {_said}.",
        answered(READ, _at_fault(_change)),
        "files.fault.not-found",
        "files.fault.invalid-target",
    )


def _status_of_fault(code: int) -> Any:
    def change(answer: Any) -> None:
        if b'"success":false' in answer.body:
            answer.status = code

    return change


for _code in (404, 500):
    FAULTS.add(
        f"files.fault.{_code}",
        f"A fault is {_code}.",
        answered(READ, _status_of_fault(_code)),
        "files.fault.not-found",
        "files.fault.invalid-target",
    )
FAULTS.add(
    "files.fault.not-a-file",
    "A directory where a file is meant is not_found.",
    answered(READ, _at_fault(setting("data.error_type", "not_found"))),
    "files.fault.invalid-target",
)
FAULTS.add(
    "files.fault.empty",
    "A file that is not there is read as an empty one.",
    answered(
        READ,
        _at_fault(
            changing(lambda said: said | {"success": True, "data": {"content": "", "file": ""}})
        ),
    ),
    "files.fault.not-found",
)
for _id, _said, _change in (
    ("empty", "is empty", changing(lambda answer: (plain("")(answer), status(200)(answer)))),
    ("200", "is 200 and says what is wrong", status(200)),
):
    FAULTS.add(
        f"files.download.{_id}",
        f"A download of what is not there {_said}.",
        answered(DOWNLOAD, _change, on=404),
        "files.download.missing",
    )

# Where they are ----------------------------------------------------------------------------------

PLACES = Kind("Where files are")
PLACES.add(
    "files.places.apart",
    "The file API has another volume than the commands.",
    asked(
        (
            rf"POST {FILE}/(read|write)",
            turning("file", lambda path: path.replace("/sandbox", "/home/gem")),
        )
    ),
    "files.shell.same",
    "files.write.base64",
)


def _nowhere(gone: str) -> JsonChange:
    return lambda path: "/nowhere" if path == gone else path


for _id, _path in (("home", "/home/gem"), ("volume", "/sandbox")):
    PLACES.add(
        f"files.places.no-{_id}",
        f"There is no {_path}.",
        asked((LISTED, turning("path", _nowhere(_path)))),
        "files.place.there",
    )

KINDS = (WRITTEN, LISTS, SEARCHED, FAULTS, PLACES)
