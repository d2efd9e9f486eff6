"""Put together a pull: the export's answer, the checked bundle, and the new record.

If tracked files were withheld, the sandbox has a commit without them and without parents. Each
commit that comes back is then made again on the snapshot, with the files as they are there. The
same commits always become the same ones, so a later pull goes forward.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox_client.errors import RepositoryRefused, WorkRefused

from .apply import Applied, apply_work, here, ignored_paths
from .branch import Imported, haves, import_work, is_in_the_way
from .file_moves import parents_of
from .names import decode
from .quarantine import CheckedWork, check, checked_work, require_bundle, require_size
from .sandbox_answers import refusal
from .sandbox_scripts import export
from .snapshot import index_line
from .store import base_is_gone
from .summary import read_diff, summarize
from .trees import kinds_of

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from .model import Pull, PullOptions
    from .outgoing import Outgoing
    from .quarantine import Limits
    from .records import Sent, Withheld
    from .sandbox_answers import Checked, Exported
    from .store import Store

_SIGNATURES = (b"gpgsig", b"gpgsig-sha256", b"mergetag")  # void in a commit that is made again


def require_sent(store: Store, sent: Sent, checked: Checked) -> Sent:
    """Return the record of the commit that the sandbox has in the directory of `sent`.

    It differs from `sent`, the newest record, after a push that broke off or came from elsewhere.

    Raises:
        RepositoryRefused: the sandbox has nothing there that was sent from here.
    """
    if checked.state in {"absent", "empty"}:
        raise RepositoryRefused(
            f"Sandbox '{sent.sandbox}' has no repository at {sent.directory} any more",
            advice="Send it again with {push}. What was not pulled before is lost.",
        ).but(
            cause="the sandbox: it was made again, the directory was removed, or it was outside"
            " /sandbox, which a pause empties."
        )
    require_ours(store, checked, "pull")
    if not checked.sent:
        raise refusal("receiving")
    found = store.find(sent.sandbox, sent.directory, checked.sent)
    if found is None:
        raise refusal("another")
    return found


def require_ours(store: Store, checked: Checked, verb: str = "push") -> None:
    """Check that a directory of a sandbox has nothing but what was sent from this repository.

    Raises:
        RepositoryRefused: it has other files, or another repository.
    """
    if checked.state == "occupied":
        raise refusal("occupied", verb=verb)
    if checked.state == "ours" and checked.owner != store.identity:
        raise refusal("other", verb=verb)


def require_pulled(out: Outgoing, checked: Checked) -> None:
    """Check, before a long transfer, that a push would not be refused for the agent's commits.

    It is the sandbox that makes sure; here, only commits that are not known at all are found.

    Raises:
        RepositoryRefused: the sandbox has commits that were not pulled, or an unknown push.
    """
    before = out.store.find(out.sent.sandbox, out.sent.directory, checked.sent)
    known = before.known if before else ()
    if not checked.head or not checked.sent or checked.head in known:
        return
    if before and before.withheld:
        return
    if kinds_of(out.stage.git, [checked.head]) != {checked.head: "commit"}:
        raise refusal("has-commits" if before else "another", checked.head[:10])


def export_command(store: Store, sent: Sent, branch: str, bundle: str) -> str:
    """Return the command that writes the new work for `branch` to `bundle`, in the sandbox.

    If git has removed the commit that was sent, such as one that was amended, it comes back, too.

    Raises:
        RepositoryRefused: it was removed, and the sandbox has it without the withheld files.
    """
    held = haves(store.repository, sent, branch) if store.is_complete(sent) else []
    if sent.withheld and not held:
        raise base_is_gone(sent)
    return export(sent, bundle, held, store.identity)


def require_download(exported: Exported, sent: Sent, limits: Limits) -> bool:
    """Return whether there is a bundle to download.

    Raises:
        WorkRefused: it is too large, or there is none of work that is not known.
    """
    require_size(exported.size, limits)
    if not exported.size and exported.tip not in {sent.commit, sent.pulled}:
        raise WorkRefused("The sandbox names a commit as its work, but has no bundle of it")
    return exported.size > 0


@contextmanager
def incoming(
    store: Store, sent: Sent, exported: Exported, bundle: Path, limits: Limits
) -> Generator[CheckedWork]:
    """Check a bundle that was downloaded; the work is as it will be in the repository.

    Raises:
        WorkRefused: it differs from the one that the sandbox made, or is not safe.
    """
    require_bundle(bundle, exported.size, exported.sha256)
    with checked_work(store, sent, bundle, exported.tip, limits) as work:
        restored = restore_withheld(work)
        if restored is not work:  # a withheld file may be a twin, or a link on a way out
            check(restored, limits, store.repository.object_format)
        yield restored


@contextmanager
def known_work(store: Store, sent: Sent, limits: Limits) -> Generator[CheckedWork]:
    """Yield the work that was pulled last, which was checked then and is in the repository."""
    base = replace(sent, commit=sent.snapshot)
    with store.stage(store.repository.git.isolated(limits.process)) as stage:
        heads = [f"^{each}" for each in (sent.head, sent.snapshot) if each]
        text = stage.git.text("rev-list", "--topo-order", "--reverse", sent.imported, *heads)
        yield CheckedWork(stage, base, sent.imported, tuple(text.split()))


def import_and_record(
    store: Store, sent: Sent, work: CheckedWork, exported: Exported, branch: str
) -> Imported:
    """Make the branch or let it go forward, and save both in the record.

    Raises:
        RepositoryRefused: the branch is checked out, diverged, or changed meanwhile.
        InvalidInput: the name of the branch is invalid.
    """
    imported = import_work(store.repository, work, branch)
    if current := store.find(sent.sandbox, sent.directory, sent.commit):
        store.update(current.after_pull(exported.tip, imported.new))
    return imported


def make_branch(
    store: Store,
    sent: Sent,
    exported: Exported,
    options: PullOptions,
    result: Pull,
    work: CheckedWork,
) -> Pull:
    """Make the branch of checked work; return `result` with the comparison to what was sent."""
    imported = Imported(result.branch, sent.imported, sent.imported)
    if exported.size:
        imported = import_and_record(store, sent, work, exported, result.branch)
    summary = summarize(work)
    head = store.repository.relation_to(imported.new)
    ignored = ignored_paths(store.repository, (each.path for each in summary.files))
    return replace(
        result,
        head=head,
        base=sent.snapshot if head != "related" or sent.snapshot != sent.head else "",
        commit=imported.new,
        is_new=not imported.old,
        is_changed=imported.is_changed,
        summary=summary,
        is_in_the_way=head == "related" and is_in_the_way(store.repository, imported.new),
        ignored=ignored,
        overwrites=here(store.repository, ignored),
        diff=read_diff(work, options.max_diff) if options.max_diff else "",
    )


def apply_and_record(
    store: Store, sent: Sent, work: CheckedWork, *, allow_runs_later: bool = False
) -> Applied:
    """Apply checked work as `apply_work` does, and note that for the next time.

    Raises:
        RepositoryRefused: it cannot be applied; the working tree is as it was.
    """
    applied = apply_work(store.repository, work, allow_runs_later=allow_runs_later)
    if current := store.find(sent.sandbox, sent.directory, sent.commit):
        store.update(current.after_apply(work.tip))
    return applied


def restore_withheld(work: CheckedWork) -> CheckedWork:
    """Return the work on the snapshot, with the files that were withheld; same if there are none.

    A file that the agent made at the place of a withheld one stays the agent's.
    """
    if not work.sent.withheld:
        return work
    made = {work.sent.commit: work.sent.snapshot}
    for commit in work.commits:
        made[commit] = _restored(work, commit, made)
    sent = replace(work.sent, commit=work.sent.snapshot)
    return replace(
        work, sent=sent, tip=made[work.tip], commits=tuple(made[each] for each in work.commits)
    )


def _restored(work: CheckedWork, commit: str, made: dict[str, str]) -> str:
    git = work.stage.git
    head, _, message = git.run("cat-file", "commit", commit).partition(b"\n\n")
    lines = [b"tree " + _tree(work, commit).encode()]
    is_dropped = False
    for line in head.split(b"\n")[1:]:
        name, _, value = line.partition(b" ")
        if name:
            is_dropped = name in _SIGNATURES
        if is_dropped:
            continue
        if name == b"parent":
            lines.append(b"parent " + made.get(decode(value), decode(value)).encode())
        else:
            lines.append(line)
    raw = b"\n".join(lines) + b"\n\n" + message
    return git.run("hash-object", "-t", "commit", "-w", "--stdin", stdin=raw).decode().strip()


def _tree(work: CheckedWork, commit: str) -> str:
    index = work.stage.path / "index-restored"
    index.unlink(missing_ok=True)
    git = work.stage.git.with_variables(GIT_INDEX_FILE=str(index))
    git.run("read-tree", commit)
    present = {decode(each) for each in git.run("ls-files", "-z").split(b"\0")}
    missing = [each for each in work.sent.withheld if not _is_taken(each, present)]
    git.run("update-index", "-z", "--index-info", stdin=b"".join(map(index_line, missing)))
    return git.text("write-tree")


def _is_taken(entry: Withheld, present: set[str]) -> bool:
    """Check whether a path is in a tree; a directory in its place is refused."""
    if present.intersection(parents_of(entry.path)) or any(
        each.startswith(f"{entry.path}/") for each in present
    ):
        raise WorkRefused(f"The work has something else at the place of {entry.path!a}")
    return entry.path in present
