"""The command `sandbox-contract`: arguments and printing, nothing else."""

import argparse
import contextlib
import difflib
import os
import re
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from functools import partial
from pathlib import Path
from types import FrameType

from sandbox_contract.clause import Clause, Level
from sandbox_contract.clauses.catalogue import CLAUSES
from sandbox_contract.harness.cleanup import sweep
from sandbox_contract.harness.cluster import REMOVAL
from sandbox_contract.harness.leftovers import Leftover
from sandbox_contract.report.diff import compare
from sandbox_contract.report.diff import render as render_difference
from sandbox_contract.report.files import write_reports
from sandbox_contract.report.json_report import InvalidReport, read
from sandbox_contract.report.summary import escape_line
from sandbox_contract.report.terminal import render
from sandbox_contract.target import OF_USERS, CannotRun

from .console import discard, prepare, print_error, standard_error, standard_output
from .distribution import version
from .options import YES_HELP, Unusable, add_address_options, add_target_options, target_from
from .progress import Progress
from .runner import judge, new_run_id, unhurried

CANNOT, INTERRUPTED = 2, 130
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)
_EPILOG = """\
Keys are better in the environment than among the arguments: ADMIN_API_KEY, or API_KEY and
SECOND_API_KEY. Exit codes of run: 0 every MUST that was judged holds, 1 a MUST fails, 2 nothing was
judged, the suite broke or the target no longer answered, 130 Ctrl-C or SIGTERM. A run of some
clauses, by --only, by --level or for want of a key, has the exit code of those that were judged;
every report counts the others.
"""


_SWEEP_EPILOG = """\
Sandboxes of a run that had a user's key are seen with that key only: set API_KEY as for the run.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit code."""
    prepare()
    parser = _parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:  # not shown as they are: one may be a key
        flags = [each.partition("=")[0] for each in unknown if each.startswith("-")]
        many = f"too many arguments: {len(unknown)}"
        parser.error(f"unknown arguments: {', '.join(flags)}" if flags else many)
    act: Callable[[argparse.Namespace], int] = options.act
    try:
        with _interruptible():
            return act(options)
    except (Unusable, CannotRun, InvalidReport) as exc:
        _complain(str(exc))
        return CANNOT
    except KeyboardInterrupt:
        _complain("Stopped.")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader closed the output: write nothing more, also at exit.
        discard(sys.stdout)
        return INTERRUPTED
    except OSError as exc:
        _complain(f"{exc.filename or 'The system'}: {exc.strerror or exc}")
        return CANNOT


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """Let Ctrl-C, SIGTERM and SIGHUP raise KeyboardInterrupt in the body, so that it cleans up.

    So does Ctrl-C in a process that was started with it ignored, such as a script's background job:
    nothing else would end a run and remove its resources.
    """
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, *_ENDINGS)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for each in _ENDINGS:
        if before[each] is not signal.SIG_IGN:  # as under nohup
            signal.signal(each, _interrupt)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


# The commands --------------------------------------------------------------------------------


def _run(options: argparse.Namespace) -> int:
    target = target_from(vars(options), os.environ)
    clauses = _chosen(options.only, options.level)
    if options.report is not None:
        options.report.mkdir(parents=True, exist_ok=True)  # it fails now, or not at the end
    run_id = new_run_id()
    said = standard_error()
    said.print(
        f"Judging {target.base_url} by {len(clauses)} of {len(CLAUSES)} clauses, run {run_id}."
        " Ctrl-C ends it and cleans up.",
        highlight=False,
        markup=False,
    )
    needs_users = any(OF_USERS.intersection(clause.needs) for clause in clauses)
    with Progress(said, len(clauses)) as progress:
        result = judge(
            target,
            clauses,
            run_id=run_id,
            seed=options.seed,
            shuffle=options.shuffle,
            listener=progress,
            confirm=partial(_confirm, is_confirmed=options.yes) if needs_users else None,
        )
    with unhurried():  # a Ctrl-C now would lose what the run has found
        # One that ended at the question leaves an earlier run's reports as they are.
        is_empty = result.interrupted and not result.verdicts
        directory: Path | None = None if is_empty else options.report
        paths = [] if directory is None else write_reports(result, directory)
        if result.left:
            _complain(f"To remove what is left: sandbox-contract sweep --run {run_id}")
        with contextlib.suppress(BrokenPipeError):  # the reader closed the output
            render(result, standard_output())
            for path in paths:
                print(path)
    return result.exit_code


def _confirm(notice: str, *, is_confirmed: bool) -> bool:
    """Print the notice of leftovers in a cluster; return whether the run may go on.

    Raises:
        Unusable: there is no terminal to ask in.
    """
    print_error(notice)
    if is_confirmed:
        return True
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise Unusable("Pass --yes to go on. Nothing was created.")
    print("Go on? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def _list(options: argparse.Namespace) -> int:
    for clause in _chosen(options.only, options.level):
        needs = "; ".join(need.value.partition(":")[0] for need in clause.needs)
        print(f"{clause.id}  {clause.level}\n  {clause.sentence}\n  {clause.link}")
        print(f"  needs: {needs}" if needs else "  needs nothing but a proxy", end="\n\n")
    return 0


def _sweep(options: argparse.Namespace) -> int:
    target = target_from(vars(options), os.environ)
    if not target.keys:
        raise Unusable("No key to look with: set ADMIN_API_KEY or API_KEY.")
    count = 0

    def tell(leftover: Leftover, fault: str | None) -> None:
        nonlocal count
        count += 1
        done = "NOT removed" if fault else "left" if options.dry_run else "removed"
        print(escape_line(f"{done}: {leftover.what}" + (f" ({fault})" if fault else "")))

    swept = sweep(target, options.run, tell, removes=not options.dry_run)
    if not count:
        whose = f"run {options.run}" if options.run else "any run"
        print(f"Nothing is left of {whose}, as far as these keys show.")
    if swept.in_cluster:
        print(f"A deployed proxy's cluster keeps what no request removes (see {REMOVAL}):")
        for pattern in swept.in_cluster:
            print(f"  {pattern}")
    return 0 if swept.is_complete else 1


def _diff(options: argparse.Namespace) -> int:
    first, second = (read(_text(path)) for path in (options.first, options.second))
    difference = compare(first, second)
    if not difference.compared:
        raise InvalidReport("The reports have no clause in common: there is nothing to compare.")
    render_difference(difference, (str(options.first), str(options.second)), standard_output())
    return 0 if difference.is_empty else 1


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidReport(f"{path} cannot be read as a report: {exc}") from exc


# Arguments --------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="sandbox-contract",
        description="Judge a sandbox proxy by its contract.",
        epilog="'sandbox-contract COMMAND --help' describes a command.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version()}")
    add = parser.add_subparsers(metavar="COMMAND", required=True).add_parser

    run = _command(add, "run", _run, "judge a proxy", _EPILOG)
    add_target_options(run.add_argument)
    _add_choice(run)
    run.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="another course of races and histories",
    )
    run.add_argument("--yes", action="store_true", help=YES_HELP)
    run.add_argument("--shuffle", type=int, metavar="N", help="another order of the clauses")
    run.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.html, junit.xml and report.json into a directory",
    )

    _add_choice(_command(add, "list", _list, "print every clause"))

    sweeping = _command(add, "sweep", _sweep, "remove what a killed run has left", _SWEEP_EPILOG)
    add_address_options(sweeping.add_argument)
    sweeping.add_argument("--dry-run", action="store_true", help="list them, and remove nothing")
    which = sweeping.add_mutually_exclusive_group(required=True)
    which.add_argument("--run", type=_run_id, metavar="ID", help="what this run has left")
    which.add_argument("--all", action="store_true", help="what any run has left, or still uses")

    differing = _command(add, "diff", _diff, "compare two reports: exit code 1 if they differ")
    for name in ("first", "second"):
        differing.add_argument(name, type=Path, metavar=f"{name.upper()}.json")
    return parser


def _command(
    add: Callable[..., argparse.ArgumentParser],
    name: str,
    act: Callable[[argparse.Namespace], int],
    told: str,
    epilog: str = "",
) -> argparse.ArgumentParser:
    parser = add(
        name,
        help=told,
        description=f"{told[0].upper()}{told[1:]}.",
        epilog=epilog,
        allow_abbrev=False,
    )
    parser.set_defaults(act=act)
    return parser


def _add_choice(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="ID",
        help="only these clauses, or all whose ids begin so, such as sandboxes.quota",
    )
    parser.add_argument(
        "--level", choices=[level.lower() for level in Level], help="only MUST, or only SHOULD"
    )


def _chosen(only: Sequence[str], level: str | None) -> list[Clause]:
    """Return the clauses that were asked for, in the order of the catalogue."""
    for wanted in only:
        if not any(_is_of(clause, wanted) for clause in CLAUSES):
            near = difflib.get_close_matches(wanted, [clause.id for clause in CLAUSES], 1, 0.8)
            areas = ", ".join(dict.fromkeys(clause.area for clause in CLAUSES))
            meant = f"Did you mean {near[0]}?" if near else f"The areas are {areas}."
            raise Unusable(
                f"--only has value {wanted!r}, and no clause begins so. {meant}"
                " 'sandbox-contract list' prints them all."
            )
    named = [each for each in CLAUSES if not only or any(_is_of(each, one) for one in only)]
    chosen = [each for each in named if level in {None, each.level.lower()}]
    if not chosen:
        raise Unusable(
            f"--only and --level select no clause: none of these is a {str(level).upper()}."
        )
    return chosen


def _is_of(clause: Clause, wanted: str) -> bool:
    return clause.id == wanted or clause.id.startswith(f"{wanted.rstrip('.')}.")


def _run_id(text: str) -> str:
    if re.fullmatch("[0-9a-f]{6}", text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no run's id, such as 0a1b2c")
    return text


def _interrupt(number: int, _frame: FrameType | None) -> None:
    if number == signal.SIGHUP:  # the terminal has gone
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and stream.isatty():
                discard(stream)
    signal.raise_signal(signal.SIGINT)  # interrupts the clause, after which the run cleans up


def _complain(text: str) -> None:
    print_error(f"sandbox-contract: {text}")
