"""The public client of the runtime's API, sync and async, through the fake on a real port."""

from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pydantic
import pytest
from agent_sandbox import AsyncSandbox, Sandbox
from agent_sandbox.core.api_error import ApiError
from agent_sandbox.errors import UnprocessableEntityError
from sandbox_fakeproxy import FakeProxyServer

DEADLINE = 30.0  # seconds

OCTETS = bytes(range(256)) * 1000


@dataclass(frozen=True)
class SandboxPaths:
    """Where a sandbox is, and the headers that open it."""

    url: str
    headers: dict[str, str]


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> Generator[SandboxPaths]:
    with FakeProxyServer(tmp_path_factory.mktemp("sandboxes"), ready_after=0) as fake:
        key = fake.user("alice")
        fake.client(key).post("/api/sandboxes", json={"name": "box"})
        yield SandboxPaths(f"{fake.url}/proxy/box", {"Authorization": f"Bearer {key}"})


@pytest.fixture
def sdk(paths: SandboxPaths) -> Generator[Sandbox]:
    with httpx.Client(timeout=DEADLINE, trust_env=False) as http:
        yield Sandbox(base_url=paths.url, headers=paths.headers, httpx_client=http)


@pytest.fixture
async def async_sdk(paths: SandboxPaths) -> AsyncGenerator[AsyncSandbox]:
    async with httpx.AsyncClient(timeout=DEADLINE, trust_env=False) as http:
        yield AsyncSandbox(base_url=paths.url, headers=paths.headers, httpx_client=http)


def there(value: Any) -> Any:
    """Return a value that the client declares optional and a success always has."""
    assert value is not None
    return value


def test_every_file_method_of_the_contract_works(sdk: Sandbox, tmp_path: Path) -> None:
    written = sdk.file.write_file(file="/sandbox/sync/a.txt", content="one\ntwo\n")
    assert written.success is True
    assert there(written.data).bytes_written == 8
    read = sdk.file.read_file(file="/sandbox/sync/a.txt", start_line=1, end_line=2)
    assert there(read.data).content == "two\n"
    replaced = sdk.file.replace_in_file(file="/sandbox/sync/a.txt", old_str="two", new_str="2")
    assert there(replaced.data).replaced_count == 1
    found = there(sdk.file.search_in_file(file="/sandbox/sync/a.txt", regex=r"\d").data)
    assert (found.matches, found.line_numbers) == (["2"], [1])
    files = there(sdk.file.find_files(path="/sandbox", glob="sync/*.txt").data).files
    assert files == ["/sandbox/sync/a.txt"]
    listed = there(sdk.file.list_path(path="/sandbox/sync", include_permissions=True).data)
    assert (listed.total_count, listed.directory_count, listed.file_count) == (1, 0, 1)
    (entry,) = listed.files
    assert (entry.name, entry.size, entry.extension) == ("a.txt", 6, ".txt")
    assert int(entry.permissions, 8) & 0o600 == 0o600
    (tmp_path / "up.bin").write_bytes(OCTETS)
    with (tmp_path / "up.bin").open("rb") as file:
        uploaded = there(sdk.file.upload_file(file=file, path="/sandbox/sync/b.bin").data)
    assert (uploaded.file_path, uploaded.file_size) == ("/sandbox/sync/b.bin", len(OCTETS))
    assert b"".join(sdk.file.download_file(path="/sandbox/sync/b.bin")) == OCTETS
    assert there(sdk.file.upload_file(file=("c.txt", b"c")).data).file_path == "/home/gem/c.txt"


async def test_every_file_method_of_the_contract_works_async(async_sdk: AsyncSandbox) -> None:
    files = async_sdk.file
    written = await files.write_file(
        file="/sandbox/async/a.bin", content="AAEC", encoding="base64", append=True
    )
    assert there(written.data).bytes_written == 3
    await files.write_file(file="/sandbox/async/b.txt", content="x", trailing_newline=True)
    read = await files.read_file(file="/sandbox/async/b.txt", sudo=False)
    assert there(read.data).content == "x\n"
    replaced = await files.replace_in_file(file="/sandbox/async/b.txt", old_str="x", new_str="yy")
    assert there(replaced.data).replaced_count == 1
    found = await files.search_in_file(file="/sandbox/async/b.txt", regex="y+")
    assert there(found.data).matches == ["yy"]
    paths = await files.find_files(path="/sandbox/async", glob="**/*.bin")
    assert there(paths.data).files == ["/sandbox/async/a.bin"]
    listed = await files.list_path(path="/sandbox/async", sort_by="size", sort_desc=True)
    assert [entry.name for entry in there(there(listed.data).files)] == ["a.bin", "b.txt"]
    await files.upload_file(file=OCTETS, path="/sandbox/async/c.bin")
    blocks = [block async for block in files.download_file(path="/sandbox/async/c.bin")]
    assert b"".join(blocks) == OCTETS


def test_a_sandbox_describes_itself(sdk: Sandbox) -> None:
    context = sdk.sandbox.get_context()
    assert context.success is True
    assert context.home_dir == context.detail.system.home_dir == "/home/gem"
    assert all(tool.bin for tool in context.detail.runtime.python)


async def test_a_sandbox_describes_itself_async(async_sdk: AsyncSandbox) -> None:
    assert (await async_sdk.sandbox.get_context()).home_dir == "/home/gem"


def test_a_fault_is_told_where_the_client_can_hold_it(sdk: Sandbox) -> None:
    """Its model of a read needs a content; its model of a list needs but a path."""
    fault = sdk.file.list_path(path="/sandbox/missing")
    assert fault.success is False
    assert there(fault.data).model_extra == {
        "operation": "list",
        "message": "No such file or directory: '/sandbox/missing'",
        "error_type": "not_found",
        "retryable": False,
    }
    with pytest.raises(pydantic.ValidationError, match="content"):
        sdk.file.read_file(file="/sandbox/missing")


def test_a_request_that_does_not_fit_is_the_clients_own_error(sdk: Sandbox) -> None:
    with pytest.raises(UnprocessableEntityError) as caught:
        sdk.file.read_file(file="/sandbox/x", start_line=-1)
    assert caught.value.body.detail[0].loc == ["body", "start_line"]


def test_a_download_of_a_missing_file_is_404(sdk: Sandbox) -> None:
    with pytest.raises(ApiError) as caught:
        b"".join(sdk.file.download_file(path="/sandbox/missing"))
    assert caught.value.status_code == 404
    assert caught.value.body["data"]["error_type"] == "not_found"
