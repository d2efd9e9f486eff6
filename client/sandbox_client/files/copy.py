"""Copy files and directories between this machine and a sandbox, each file atomically.

`upload` and `download` do it for one tree each; here, all sources are listed before the first is
copied. Upload: list the local tree (`local`), create the directories, then upload and commit the
files in batches. Download: a script lists the tree into a scratch directory of the sandbox and
packs files there; they are read through the file API and written by an `AtomicWriter`.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from sandbox_client.api import files
from sandbox_client.errors import SandboxError

from . import local, streams
from .download import Download, not_a_directory
from .model import destination, require_distinct
from .outage import OUTAGE_LIMIT, Outage
from .upload import Upload

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from .model import CopyListener
    from .remote import Files


@dataclass(frozen=True)
class Copy:
    """Copy between this machine and the sandbox `name`, and report progress to `listener`.

    A copy survives that the proxy does not answer for OUTAGE_LIMIT, such as its restart.
    """

    files: Files
    name: str
    listener: CopyListener

    async def upload(self, sources: Sequence[str], target: str, *, into: bool = False) -> None:
        """Copy local files and directories to `target` in the sandbox.

        They are copied into the directory `target` if it exists or ends with a slash, if there are
        several sources, or if `into` is set. All sources are listed before the first is copied.

        Raises:
            SandboxError: a file was not copied; complete files stay, and partial ones are removed.
        """
        target_path = files.absolute(target)
        async with self._lasting() as remote, streams.stored(sources) as paths:
            trees = [await anyio.to_thread.run_sync(local.scan_tree, each) for each in paths]
            is_directory = await remote.is_directory(self.name, target_path)
            is_into = bool(into or len(trees) > 1 or target.endswith("/") or is_directory)
            if is_directory is False and (is_into or not trees[0].is_file):
                raise not_a_directory(target_path, self.name)
            places = [destination(tree, target_path, into=is_into) for tree in trees]
            require_distinct(trees, places)
            for tree in trees:
                self.listener.begin(tree, into=is_into)
            upload = Upload(remote, self.name, self.listener)
            for tree, to in zip(trees, places, strict=True):
                await upload.tree(tree, to)

    async def download(self, sources: Sequence[str], target: str, *, into: bool = False) -> None:
        """Copy files and directories of the sandbox to the local `target`, as `upload` does.

        Raises:
            SandboxError: a file was not copied; complete files stay, and partial ones are removed.
        """
        async with (
            self._lasting() as remote,
            Download(remote, self.name, self.listener) as download,
        ):
            found = [await download.scan(each) for each in sources]
            if target.endswith("/"):
                local.make_directory(Path(target))
            is_into = into or len(found) > 1 or local.is_directory(target)
            trees = [tree for tree, _ in found]
            if is_into or not trees[0].is_file:
                local.require_no_file(target)
            base = target.rstrip("/") or "/"
            places = [destination(tree, base, into=is_into) for tree in trees]
            require_distinct(trees, places)
            for tree in trees:
                self.listener.begin(tree, into=is_into)
            for (tree, scratch), to in zip(found, places, strict=True):
                await download.tree(tree, to, scratch)

    @contextlib.asynccontextmanager
    async def _lasting(self) -> AsyncGenerator[Files]:
        """Yield `files` with an outage limit; explain an error that ends the copy."""
        outage = Outage(self.files.sandboxes.timing, OUTAGE_LIMIT, self.listener.unanswered)
        try:
            yield replace(self.files, outage=outage, on_leftover=self.listener.left_behind)
        except SandboxError as error:
            raise outage.explain(error, self.name) from None
