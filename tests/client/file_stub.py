"""An in-memory sandbox that implements the file API and the shell scripts of the client."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import posixpath
import shlex
import tarfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx
from sandbox_client.api.files import HOME
from sandbox_client.files.shell_scripts import BLOCK_SIZE

from tests.client.statuses import ALPHA_READY, StatusRow
from tests.client.stubs import error_reply, executed, session_opened

if TYPE_CHECKING:
    from collections.abc import Sequence

# A text that identifies each script of the client.
_SCRIPTS = {
    "unpack": "tar -xmof",
    "archive": "tar -chf",
    "commit": "place()",
    "make_directories": "mkdir -p",
    "measure": "@0 size",
    "scan": "find -H",
    "pack": "dd if",
    "remove": 'rm -rf "$@"',
}


class LostReply(Exception):
    """An entry of `SandboxStub.replies`: the request takes effect, but its response is lost."""


@dataclass
class SandboxStub:
    """The sandbox `box`: its `files` by absolute path, and the `requested` operations.

    An operation is `read`, `write`, `list`, or the name of a script. `replies` has responses for
    the next calls of an operation; None is the usual response. `kinds` marks executable files (x),
    links to a directory (t) or to no file (l), and devices (o) for `scan`. Without `has_tar`, it
    handles no archives, and without `keeps_modes` no file is executable.
    """

    files: dict[str, bytes] = field(default_factory=dict[str, bytes])
    directories: set[str] = field(default_factory=lambda: {"/", "/sandbox", HOME})
    kinds: dict[str, str] = field(default_factory=dict[str, str])
    replies: dict[str, list[httpx.Response | Exception | None]] = field(
        default_factory=dict[str, "list[httpx.Response | Exception | None]"]
    )
    requested: list[str] = field(default_factory=list[str])
    bodies: list[dict[str, object]] = field(default_factory=list[dict[str, object]])
    sessions: set[str] = field(default_factory=set[str])
    status: StatusRow = ALPHA_READY
    has_tar: bool = True
    keeps_modes: bool = True

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content or b"{}")
        route = request.url.path.partition("/v1/")[2]
        match route.split("/"):
            case ["file", operation]:
                return self._reply(operation, body)
            case ["shell", "sessions", "create"]:
                self.sessions.add(body["id"])
                return session_opened(body["id"])
            case ["shell", "sessions", session] if request.method == "DELETE":
                self.sessions.discard(session)
                return httpx.Response(200, json={"success": True})
            case ["shell", "view"]:  # commands end at once: only a lost one is read
                return error_reply(404, "Session not found")
            case ["shell", "exec"]:
                command = str(body["command"])
                script = next(name for name, word in _SCRIPTS.items() if word in command)
                return self._reply(script, body)
            case _:
                assert request.url.path.endswith("/api/sandboxes/box"), request.url
                return self.status.response()

    def count(self, operation: str) -> int:
        """Return how often an operation was requested."""
        return self.requested.count(operation)

    def leftovers(self) -> list[str]:
        """Return the temporary files, scratch files and sessions that a copy must remove."""
        remaining = [path for path in self.files if ".part-" in path or ".remote-sandbox-" in path]
        return [*remaining, *self.sessions]

    def _reply(self, operation: str, body: dict[str, object]) -> httpx.Response:
        self.requested.append(operation)
        self.bodies.append(body)
        prepared = self.replies.get(operation, [])
        reply = prepared.pop(0) if prepared else None
        if isinstance(reply, Exception) and not isinstance(reply, LostReply):
            raise reply
        if isinstance(reply, httpx.Response):
            return reply
        usual = self._run(operation, body) if operation in _SCRIPTS else self._file(operation, body)
        if reply is not None:
            raise httpx.ReadError("the connection broke")
        return usual

    def _file(self, operation: str, body: dict[str, object]) -> httpx.Response:
        path = posixpath.normpath(str(body.get("file", body.get("path"))))
        if operation == "write":
            data = base64.b64decode(str(body["content"]))
            before = self.files.get(path, b"") if body["append"] else b""
            self.files[path] = before + data
            self.directories.add(posixpath.dirname(path))
            return file_reply({"bytes_written": len(data)})
        if operation == "list":
            return self._list(path)
        if path in self.directories:
            return file_error("invalid_target", path, "is a directory")
        if path not in self.files:
            return file_error("not_found", path, "no such file")
        try:
            lines = self.files[path].decode().splitlines(keepends=True)
        except UnicodeDecodeError:
            return file_error("decode_error", path, "not UTF-8")
        start, end = body.get("start_line"), body.get("end_line")
        assert isinstance(start, int | None)
        assert isinstance(end, int | None)
        return file_reply({"content": "".join(lines[start:end])})

    def _list(self, path: str) -> httpx.Response:
        if path in self.files:
            return file_error("invalid_target", path, "not a directory")
        if path not in self.directories:
            return file_error("not_found", path, "no such directory")
        rows = [
            {"name": posixpath.basename(each), "is_directory": False, "size": len(data)}
            for each, data in sorted(self.files.items())
            if posixpath.dirname(each) == path
        ]
        rows += [
            {"name": posixpath.basename(each), "is_directory": True, "size": None}
            for each in sorted(self.directories - {"/"})
            if posixpath.dirname(each) == path
        ]
        return file_reply({"files": rows})

    def _run(self, script: str, body: dict[str, object]) -> httpx.Response:
        base = str(body["exec_dir"])
        words = shlex.split(str(body["command"]))[4:]  # after: sh -c SCRIPT sh
        paths = [self._absolute(base, word) for word in words]
        match script:
            case "commit":
                lines = self._commit(paths, words)
            case "unpack":
                lines = self._unpack(base, paths[0])
            case "archive":
                lines = self._archive(base, paths[0])
            case "make_directories":
                self.files.pop(paths[0], None)
                self.directories.update(paths[1:])
                lines = []
            case "measure":
                lines = [f"@0 size {len(self.files.get(paths[0], b''))}"]
            case "scan":
                lines = self._scan(paths[0], paths[1])
            case "pack":
                lines = self._pack(paths, words)
            case _:
                prefixes = tuple(f"{path}/" for path in paths)
                for path in [
                    each for each in self.files if each in paths or each.startswith(prefixes)
                ]:
                    del self.files[path]
                lines = []
        return executed("".join(f"{line}\r\n" for line in [*lines, "@end"]))

    def _absolute(self, base: str, word: str) -> str:
        return posixpath.normpath(posixpath.join(base, word.replace("$HOME", HOME)))

    def _commit(self, paths: Sequence[str], words: Sequence[str]) -> list[str]:
        lines: list[str] = []
        for number, at in enumerate(range(0, len(words), 4)):
            temp, path, mode, sha256 = *paths[at : at + 2], *words[at + 2 : at + 4]
            data = self.files.get(temp, b"")
            if hashlib.sha256(data).hexdigest() != sha256:
                lines.append(f"@{number} differs")
            elif path in self.directories:
                lines.append(f"@{number} failed it is a directory")
            else:
                before = self.files.get(path, b"") if mode == "append" else b""
                self.files[path] = before + self.files.pop(temp)
                self.kinds[path] = "x" if mode == "755" else "f"
                is_lost = mode == "755" and not self.keeps_modes
                lines.append(f"@{number} done {'mode' if is_lost else ''}")
        return lines

    def _unpack(self, base: str, path: str) -> list[str]:
        data = self.files.pop(path)
        if not self.has_tar:
            return ["@0 unable sh: tar: not found"]
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            contents = {each.name: self._content(tar, each) for each in tar}
        script = contents.popitem()[1].decode()
        words = shlex.split(script.partition("set -- ")[2])
        for name, content in contents.items():
            self.files[posixpath.join(base, name)] = content
        paths = [self._absolute(base, word) for word in words]
        lines = self._commit(paths, words)
        for temp in paths[::4]:
            self.files.pop(temp, None)
        return lines

    def _archive(self, base: str, scratch: str) -> list[str]:
        words = shlex.split(self.files[f"{scratch}/words"].decode())[2:]
        if not self.has_tar:
            return ["@0 missing"]
        contents = [self.files[self._absolute(base, word)] for word in words]
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for word, content in zip(words, contents, strict=True):
                member = tarfile.TarInfo(word)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
        hashes = [f"{hashlib.sha256(data).hexdigest()}\n".encode() for data in contents]
        content = b"".join(hashes) + buffer.getvalue()
        blocks = [content[at : at + BLOCK_SIZE] for at in range(0, len(content), BLOCK_SIZE)]
        for number, block in enumerate(blocks):
            self.files[f"{scratch}/{number}"] = base64.encodebytes(block)
        return [f"@0 blocks {len(blocks)}"]

    def _content(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
        file = tar.extractfile(member)
        assert file is not None
        return file.read()

    def _scan(self, scratch: str, root: str) -> list[str]:
        records: list[str] = []
        for path in sorted({*self.files, *self.directories, *self.kinds}):
            if path != root and not path.startswith(f"{root}/"):
                continue
            listed = f"./{posixpath.relpath(path, root)}" if root in self.directories else path
            if root not in self.directories:
                listed = f"./{posixpath.basename(path)}"
            if path in self.files:
                mode = "755" if self.kinds.get(path) == "x" else "644"
                records.append(f"f {mode} {len(self.files[path])} {listed}\0")
            elif path != root:
                records.append(f"{self.kinds.get(path, 'd')} {listed}\0")
        self.files[f"{scratch}/list"] = base64.b64encode("".join(records).encode())
        return []

    def _pack(self, paths: Sequence[str], words: Sequence[str]) -> list[str]:
        lines: list[str] = []
        for at in range(1, len(words), 4):
            number, path = words[at], paths[at + 1]
            start, count = int(words[at + 2]), int(words[at + 3])
            data = self.files[path]
            if start == 0:
                lines.append(f"@{number} {len(data)} {hashlib.sha256(data).hexdigest()}")
            for block in range(start, start + count):
                packed = base64.encodebytes(data[block * BLOCK_SIZE : (block + 1) * BLOCK_SIZE])
                self.files[f"{paths[0]}/{number}.{block}"] = packed
        return lines


def file_reply(data: object) -> httpx.Response:
    """Return a success response of the file API."""
    return httpx.Response(200, json={"success": True, "message": "ok", "data": data, "hint": None})


def file_error(kind: str, path: str, message: str) -> httpx.Response:
    """Return an error response of the file API, which has status 200."""
    data = {"path": path, "operation": "read", "message": message, "error_type": kind}
    body = {"success": False, "message": message, "data": data, "hint": None}
    return httpx.Response(200, json=body)


def script_output(*lines: str) -> httpx.Response:
    """Return the response to a script that printed these lines and ended."""
    return executed("".join(f"{line}\r\n" for line in [*lines, "@end"]))
