"""Repositories of this machine that go to sandboxes, and the work that comes back as a branch."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import anyio
import anyio.to_thread

from .api.sandboxes import check_name
from .errors import ProxyFailed, ProxyUnreachable, RepositoryRefused, SandboxError
from .files.outage import OUTAGE_LIMIT, Outage
from .polling import ignore_progress, periodic_progress
from .repository import sandbox_answers, sandbox_scripts
from .repository.branch import branch_of, earlier_branch, require_free
from .repository.file_kinds import decide
from .repository.git import Git
from .repository.incoming import (
    apply_and_record,
    export_command,
    incoming,
    known_work,
    make_branch,
    require_download,
    require_ours,
    require_pulled,
    require_sent,
)
from .repository.local import open_repository
from .repository.model import (
    APPLYING,
    IMPORTING,
    UNDOING,
    UNPACKING,
    Pull,
    PullOptions,
    Push,
    PushOptions,
    PushPlan,
)
from .repository.outgoing import outgoing, require_sendable, sandbox_directory
from .repository.process import Interrupt
from .repository.quarantine import Limits
from .repository.snapshot import survey
from .repository.store import Store
from .repository.transfer import START_DEADLINE, Transfer
from .repository.transfer_errors import explain
from .repository.working_tree import is_unfinished, require_finished, undo_unfinished

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Mapping
    from contextlib import AbstractContextManager

    from .files.remote import Files
    from .polling import ProgressCallback
    from .repository.file_kinds import Decision
    from .repository.outgoing import Outgoing
    from .repository.quarantine import CheckedWork
    from .repository.records import Sent
    from .repository.sandbox_answers import Checked, Exported
    from .repository.snapshot import Survey


class Pushed(NamedTuple):
    """A sandbox, and a directory of it that a repository was sent to."""

    name: str
    directory: str


@dataclass(frozen=True)
class Repositories:
    """Send repositories of this machine to sandboxes through `files`, and fetch the work.

    `proxy` is the URL of the proxy, by which the records of pushes are kept apart.
    """

    files: Files
    proxy: str
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    limits: Limits = field(default_factory=Limits)

    async def check(self, repo: str, options: PushOptions) -> None:
        """Check the part of a push to any sandbox that needs no request.

        Raises:
            RepositoryRefused: something has to be decided or changed first.
        """
        _directory(options)
        transfer = Transfer("", self.files, lambda _activity: None)

        def look() -> None:
            store = self._open(repo, transfer.interrupt)
            options.check(store.repository)
            _surveyed(store, options)

        await transfer.in_thread(look)

    async def push(
        self,
        name: str,
        repo: str,
        options: PushOptions | None = None,
        *,
        on_plan: Callable[[PushPlan], None] = lambda _plan: None,
        on_activity: Callable[[str], None] = lambda _activity: None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> Push:
        """Send the working tree of `repo` to a sandbox; see `Client.push`.

        Raises:
            RepositoryRefused: something has to be decided or changed first; nothing was sent.
        """
        wanted = options or PushOptions()
        given = _directory(wanted)
        async with self._transfer(name, repo, "push", on_activity, on_progress) as transfer:
            store = transfer.store
            await transfer.in_thread(partial(wanted.check, store.repository))
            found, decision = await transfer.in_thread(partial(_surveyed, store, wanted))
            where = transfer.directory(given)
            checked = await transfer.check(where, wanted.program)
            require_ours(store, checked)
            if not checked.has_program:
                raise sandbox_answers.no_program(wanted.program)
            manager = outgoing(store, name, where, found, decision, sandbox_has=checked.sent)
            transfer.begin("making a snapshot of the working tree")
            async with transfer.managed(manager) as out:
                if out.is_needed:
                    await transfer.in_thread(partial(require_pulled, out, checked))
                plan = out.plan(found, decision, checked)
                on_plan(plan)
                return await self._send(transfer, plan, out, checked)

    async def pull(
        self,
        name: str,
        repo: str,
        options: PullOptions | None = None,
        *,
        on_activity: Callable[[str], None] = lambda _activity: None,
        on_progress: ProgressCallback = ignore_progress,
    ) -> Pull:
        """Fetch the work of a sandbox as a branch of `repo`; see `Client.pull`.

        Raises:
            RepositoryRefused: nothing was sent, or the branch cannot be written.
            WorkRefused: the work is not safe; nothing here was changed.
        """
        wanted = options or PullOptions()
        given = _directory(wanted)
        async with self._transfer(name, repo, "pull", on_activity, on_progress) as transfer:
            await transfer.in_thread(partial(wanted.check, transfer.store.repository))
            store, put_back = transfer.store, 0
            if wanted.apply and is_unfinished(store.repository):
                transfer.begin(UNDOING)
                put_back = await transfer.in_thread(partial(undo_unfinished, store.repository))
            newest = store.require(name, given)
            choose = partial(_free_branch, store, newest, wanted.branch)
            branch, earlier = await transfer.in_thread(choose)
            sent = require_sent(store, newest, await transfer.check(newest.directory))
            if sent.commit != newest.commit:  # the last push broke off
                choose = partial(_free_branch, store, sent, wanted.branch)
                branch, earlier = await transfer.in_thread(choose)
            try:
                pull = await self._fetch(transfer, sent, branch, wanted)
            except RepositoryRefused:
                now = store.find(name, sent.directory, sent.commit)
                if now is None or now.imported == sent.imported:
                    raise
                pull = await self._fetch(transfer, now, branch, wanted)  # another pull came between
            others = () if given else tuple(each.directory for each in store.of(name))
            left = tuple(sorted(set(others) - {pull.directory}))
            return replace(pull, other_directories=left, earlier_branch=earlier, put_back=put_back)

    async def pushed(self, repo: str) -> list[Pushed]:
        """Return the directories in the sandboxes of this proxy that `repo` was sent to."""
        store = await anyio.to_thread.run_sync(partial(self._open, repo, Interrupt()))
        return [Pushed(each.sandbox, each.directory) for each in store.all()]

    def _open(self, repo: str, interrupt: Interrupt) -> Store:
        git = replace(Git.of_person(self.environ), interrupt=interrupt)
        return Store(open_repository(repo, git), self.proxy)

    @contextlib.asynccontextmanager
    async def _transfer(
        self,
        name: str,
        repo: str,
        verb: str,
        on_activity: Callable[[str], None],
        on_progress: ProgressCallback,
    ) -> AsyncGenerator[Transfer]:
        """Yield the transfer of one push or pull; explain an error that ends it."""
        check_name(name)
        outage = Outage(self.files.sandboxes.timing, OUTAGE_LIMIT)
        one_shot = replace(self.files.one_shot, start_deadline=START_DEADLINE)
        files = replace(self.files, outage=outage, one_shot=one_shot)
        transfer = Transfer(name, files, on_activity, verb)
        clock = self.files.sandboxes.timing.clock
        start = clock()

        async def report() -> None:
            await on_progress(clock() - start, None, transfer.activity)

        try:
            async with periodic_progress(report):
                transfer.begin("looking at the repository")
                open_store = partial(self._open, repo, transfer.interrupt)
                transfer.store = await transfer.in_thread(open_store)
                try:
                    yield transfer
                finally:
                    await transfer.remove_scratch()
        except SandboxError as error:
            raise explain(error, transfer, verb) from None

    async def _send(
        self, transfer: Transfer, plan: PushPlan, out: Outgoing, checked: Checked
    ) -> Push:
        """Send a bundle and let the sandbox unpack it, unless it has the commit already."""
        if not out.is_needed:
            await transfer.in_thread(out.confirm)
            return Push(plan, out.sent.commit)
        try:
            return await self._deliver(transfer, plan, out, checked)
        except (ProxyUnreachable, ProxyFailed):
            raise  # the next push goes on with this bundle
        except BaseException:
            out.discard_bundle()
            raise

    async def _deliver(
        self, transfer: Transfer, plan: PushPlan, out: Outgoing, checked: Checked
    ) -> Push:
        transfer.begin("packing the repository")
        bundle = await transfer.in_thread(out.bundle)
        await transfer.upload(bundle, out.note)
        transfer.begin(UNPACKING)
        await transfer.in_thread(out.announce)
        before = transfer.store.find(transfer.name, out.sent.directory, checked.sent)
        command = sandbox_scripts.receive(
            out.sent,
            transfer.bundle,
            bundle.sha256,
            transfer.store.repository.object_format,
            before.known if before else (),
            transfer.store.identity,
        )
        received = sandbox_answers.read_received(await transfer.run(command))
        await transfer.in_thread(out.confirm)
        keeps_modes = received.keeps_modes
        if checked.state != "ours":  # a mode that is kept for one command only shows in the next
            with contextlib.suppress(SandboxError):  # it has arrived all the same
                keeps_modes = (await transfer.check(plan.directory)).keeps_modes
        return Push(plan, received.head, bundle.size, keeps_modes)

    async def _fetch(
        self, transfer: Transfer, sent: Sent, branch: str, options: PullOptions
    ) -> Pull:
        """Let the sandbox export its work, fetch and check it, and make the branch."""
        store = transfer.store
        with transfer.incoming(sent.directory) as note:
            transfer.begin("collecting the work in the sandbox")
            command = await transfer.in_thread(
                partial(export_command, store, sent, branch, transfer.bundle)
            )
            exported = sandbox_answers.read_exported(await transfer.run(command))
            result = Pull(
                transfer.name,
                store.repository.top,
                sent.directory,
                branch,
                left_uncommitted=exported.left_uncommitted,
                other_branches=exported.branches,
                stashes=exported.stashes,
                inner_repositories=exported.inner,
            )
            if exported.tip == sent.commit:
                return result
            if require_download(exported, sent, self.limits):
                bundle = await transfer.download(exported, note)
                work = incoming(store, sent, exported, bundle, self.limits)
            else:
                work = known_work(store, sent, self.limits)
            return await self._import(transfer, work, sent, exported, options, result)

    async def _import(
        self,
        transfer: Transfer,
        manager: AbstractContextManager[CheckedWork],
        sent: Sent,
        exported: Exported,
        options: PullOptions,
        result: Pull,
    ) -> Pull:
        """Check the work, then make the branch, which is not interrupted, and apply the work."""
        transfer.begin("checking the work")
        async with transfer.managed(manager) as work:
            transfer.begin(IMPORTING)
            finish = partial(make_branch, transfer.store, sent, exported, options, result, work)
            pull = await transfer.in_thread(finish, to_end=True)
            if not options.apply:
                return pull
            transfer.begin(APPLYING)
            apply = partial(apply_and_record, transfer.store, sent, work)
            allow = options.allow_programs
            try:
                applied = await transfer.in_thread(partial(apply, allow_runs_later=allow))
            except RepositoryRefused as error:
                return replace(pull, not_applied=error)
            return replace(pull, applied_part=applied.part)


def _directory(options: PushOptions | PullOptions) -> str | None:
    return None if options.directory is None else sandbox_directory(options.directory)


def _free_branch(store: Store, sent: Sent, given: str | None) -> tuple[str, str]:
    """Return the branch for the work on `sent`, if it may be written, and that of earlier work."""
    branch = given or branch_of(store, sent)
    require_free(store.repository, branch)
    return branch, "" if given else earlier_branch(store.repository, branch)


def _surveyed(store: Store, options: PushOptions) -> tuple[Survey, Decision]:
    require_finished(store.repository)
    found = survey(store.repository, history=options.history)
    decision = decide(found.paths, options.include, options.leave_out)
    require_sendable(found, decision)
    return found, decision
