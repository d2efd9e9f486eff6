"""Wrong runtimes behind the proxy: commands."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .mutant import Kind
from .rewriting import (
    EXEC,
    VIEW,
    answered,
    asked,
    body,
    changing,
    handled,
    losing,
    of_command,
    renaming,
    setting,
    turning,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from .rewriting import Answer, Held, Json, JsonChange


# Answers ---------------------------------------------------------------------------------------

ANSWER = Kind("A command's answer")
for _id, _said, _change, _clause in (
    ("no-hint", "lacks hint", losing("hint"), "reply"),
    ("no-success", "lacks success", losing("success"), "reply"),
    ("no-session", "lacks session_id", losing("data.session_id"), "reply"),
    ("no-command", "lacks command", losing("data.command"), "reply"),
    ("no-console", "has an empty console", setting("data.console", []), "reply"),
    ("no-ps1", "has no ps1 in its console", losing("data.console.*.ps1"), "reply"),
    ("null", "has null as data", setting("data", None), "reply"),
    ("console-null", "has null as console", setting("data.console", None), "reply"),
    ("output-null", "has null as output", setting("data.output", None), "output"),
    ("renamed", "writes exitCode", renaming("data.exit_code", "exitCode"), "reply"),
    ("exit-0", "has exit code 0 always", setting("data.exit_code", 0), "exit-code"),
    ("exit-text", "has a text as exit code", turning("data.exit_code", str), "reply"),
    ("exit-1", "has exit code 1 for every failure", turning("data.exit_code", bool), "exit-code"),
    ("status", "is done when it is completed", setting("data.status", "done"), "reply"),
    ("flat", "is not below data", changing(lambda said: said | said.pop("data")), "reply"),
    ("no-output", "has no output", setting("data.output", ""), "output"),
    ("one-line", "has one line of output", turning("data.output", lambda out: out[:4]), "output"),
    (
        "reversed-lines",
        "has the lines of output in another order",
        turning("data.output", lambda out: "\n".join(out.split("\n")[::-1])),
        "output",
    ),
    (
        "ascii",
        "has ASCII alone in its output",
        turning("data.output", lambda out: out.encode("ascii", "replace").decode()),
        "unicode",
    ),
    (
        "escaped",
        "has its output escaped as for HTML",
        turning("data.output", lambda out: out.replace("'", "&#39;")),
        "unicode",
    ),
):
    ANSWER.add(
        f"shell.answer.{_id}",
        f"A command's answer {_said}.",
        answered(EXEC, body(_change)),
        f"shell.exec.{_clause}",
    )
for _id, _said, _turn in (
    (
        "fails",
        "is no success",
        changing(lambda said: said | {"success": said["data"]["exit_code"] == 0}),
    ),
    (
        "status",
        "has failed, instead of being completed",
        changing(lambda said: said | {"data": said["data"] | _failed(said["data"])}),
    ),
):
    ANSWER.add(
        f"shell.failure.{_id}",
        f"A command that fails {_said}.",
        answered(EXEC, body(_turn)),
        "shell.exec.failure-succeeds",
    )


def _failed(data: Json) -> Json:
    return {} if data["exit_code"] in {0, None} else {"status": "failed"}


for _id, _said, _line in (
    ("stderr", "stderr is lost", changing(lambda line: f"{{ {line}\n}} 2>/dev/null")),
    ("stdout", "stdout is lost", changing(lambda line: f"{{ {line}\n}} >/dev/null")),
):
    ANSWER.add(
        f"shell.output.{_id}",
        f"What a command writes to {_said}.",
        asked((EXEC, of_command(_line))),
        "shell.exec.stderr",
    )
ANSWER.add(
    "shell.output.stderr-last",
    "What a command writes to stderr comes after all the rest.",
    asked(
        (
            EXEC,
            of_command(lambda line: f'e=$({{ {line}\n}} 2>&1 >&3) 3>&1; echo "$e" >&2'),
        )
    ),
    "shell.exec.stderr",
)
ANSWER.add(
    "shell.output.quotes",
    "Quotes in a command are lost.",
    asked((EXEC, of_command(lambda line: line.replace("'", "")))),
    "shell.exec.unicode",
)


def _late_kill(asked: Json) -> Json:
    """Keep a command's time limit running after its end, so that it ends the next command."""
    seconds = asked.get("hard_timeout")
    if seconds is None:
        return asked
    return asked | {"command": f"(sleep {seconds}; kill -9 $$) & {asked['command']}"}


ANSWER.add(
    "shell.run.late-kill",
    "A command's hard_timeout outlives it, and ends the session's next one.",
    asked((EXEC, _late_kill)),
    "shell.exec.hard-timeout-ends",
)
ANSWER.add(
    "shell.run.twice",
    "A command runs twice, and is answered once.",
    asked((EXEC, of_command(lambda line: f"{{ {line}\n}} >/dev/null 2>&1; {line}"))),
    "shell.exec.once",
)
ANSWER.add(
    "shell.run.not",
    "A command is said to have completed, and does not run.",
    asked((EXEC, of_command(lambda _line: "true"))),
    "shell.exec.output",
    "shell.exec.once",
)


def _running_as(status: str) -> JsonChange:
    """Return the change of a running command's status."""
    return lambda said: status if said == "running" else said


_TURNS: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("stripped", "loses the blanks at its ends", str.strip),
    ("no-last-newline", "loses its last newline", lambda out: out.removesuffix("\n")),
    ("one-newline", "ends with one newline", lambda out: out.rstrip("\n") + "\n"),
    ("one-blank", "has single blanks", lambda out: re.sub(" +", " ", out)),
    ("no-empty-lines", "has no empty lines", lambda out: re.sub("\n+", "\n", out)),
    ("no-tabs", "has blanks for tabs", str.expandtabs),
)
for _id, _said, _exact in _TURNS:
    ANSWER.add(
        f"shell.answer.{_id}",
        f"A command's output {_said}.",
        answered(EXEC, body(turning("data.output", _exact))),
        "shell.exec.exact-output",
    )

# Requests ----------------------------------------------------------------------------------------

FIELDS = Kind("What a command is asked with")
for _id, _said, _change, _clauses in (
    ("id", "id is ignored", losing("id"), ("shell.session.directory", "shell.session.variables")),
    ("exec-dir", "exec_dir is ignored", losing("exec_dir"), ("shell.exec.directory",)),
    ("strict", "strict is ignored", losing("strict"), ("shell.exec.strict-directory",)),
    (
        "always-strict",
        "A missing exec_dir is always an error",
        setting("strict", True),
        ("shell.exec.missing-directory",),
    ),
    ("truncate", "Output is always cut", losing("truncate"), ("shell.exec.truncate",)),
    ("whole", "Output is never cut", setting("truncate", False), ("shell.exec.truncate",)),
    (
        "timeout",
        "timeout is taken for no_change_timeout",
        renaming("timeout", "no_change_timeout"),
        ("shell.exec.timeout",),
    ),
    (
        "timeout-kills",
        "timeout is taken for hard_timeout",
        renaming("timeout", "hard_timeout"),
        ("shell.exec.timeout",),
    ),
    (
        "silence",
        "no_change_timeout is taken for timeout",
        renaming("no_change_timeout", "timeout"),
        ("shell.exec.no-change-timeout",),
    ),
    (
        "silence-kills",
        "no_change_timeout is taken for hard_timeout",
        renaming("no_change_timeout", "hard_timeout"),
        ("shell.exec.no-change-timeout",),
    ),
    (
        "hard",
        "hard_timeout is taken for timeout",
        renaming("hard_timeout", "timeout"),
        ("shell.exec.hard-timeout",),
    ),
    (
        "async",
        "async_mode is ignored, and what runs is given up after a second",
        changing(
            lambda said: {**said, "async_mode": False, "hard_timeout": said.get("async_mode") and 1}
        ),
        ("shell.exec.async",),
    ),
):
    FIELDS.add(f"shell.asked.{_id}", f"{_said}.", asked((EXEC, _change)), *_clauses)


async def _run_strict(request: Held) -> Answer:
    answer, fields = await request.send(), request.fields
    if fields.get("strict") and answer.status == 400:
        await request.send_fields({"command": fields["command"]})
    return answer


FIELDS.add(
    "shell.asked.strict-runs",
    "With strict, a missing exec_dir is an error, and the command runs all the same.",
    handled(EXEC, _run_strict),
    "shell.exec.strict-directory",
)
FIELDS.add(
    "shell.asked.no-command",
    "Without a command, nothing runs, and that is a success.",
    asked((EXEC, lambda said: {"command": "true", **said})),
    "shell.exec.command-required",
    "commands.reply.unchanged",
)
FIELDS.add(
    "shell.asked.which-field",
    "Without a command, the answer does not say what is missing.",
    answered(EXEC, body(setting("detail.*.loc", ["body"])), on=422),
    "shell.exec.command-required",
)
for _id, _said, _status, _clause in (
    ("async-status", "An answer at once says completed", "completed", "shell.exec.async"),
    ("timeout-status", "A command that goes on is terminated", "terminated", "shell.exec.timeout"),
):
    FIELDS.add(
        f"shell.asked.{_id}",
        f"{_said}.",
        answered(EXEC, body(turning("data.status", _running_as(_status)))),
        _clause,
    )
FIELDS.add(
    "shell.asked.exit-early",
    "What runs has exit code 0 already.",
    answered(rf"({EXEC}|{VIEW})", body(turning("data.exit_code", lambda code: code or 0))),
    "shell.exec.async",
    "shell.view.exit-code",
)


def _home_if_missing(said: Json) -> Json:
    if not str(said.get("exec_dir", "")).startswith("/nowhere") or said.get("strict"):
        return said
    return {**losing("exec_dir")(said), "command": f"cd; {said['command']}"}


FIELDS.add(
    "shell.asked.missing-as-home",
    "With an exec_dir that is missing, a command runs in the home, wherever its session is.",
    asked((EXEC, _home_if_missing)),
    "shell.exec.missing-directory",
)


async def _not_killed(request: Held) -> Answer:
    fields = request.fields
    if "hard_timeout" not in fields:
        return await request.send()
    answer = await request.send_fields(renaming("hard_timeout", "timeout")(fields))
    body(turning("data.status", _running_as("hard_timeout")))(answer)
    return answer


FIELDS.add(
    "shell.asked.hard-not-killed",
    "After hard_timeout, a command is said to be killed, and goes on.",
    handled(EXEC, _not_killed),
    "shell.exec.hard-timeout",
)


def _cut(output: str) -> str:
    left_out = len(output) - 9_900
    marker = f"\n[... {left_out} characters left out ...]\n"
    return output if left_out <= 100 else output[:5_000] + marker + output[-4_900:]


async def _cut_short(request: Held) -> Answer:
    answer = await request.send()
    if request.fields.get("truncate", True):
        for path in ("data.output", "data.console.*.output"):
            body(turning(path, _cut))(answer)
    return answer


FIELDS.add(
    "shell.asked.cut-short",
    "Output above 10,000 characters is cut.",
    handled(EXEC, _cut_short),
    "shell.exec.truncate",
)
FIELDS.add(
    "shell.asked.cut-to-nothing",
    "Long output is left out.",
    answered(
        EXEC,
        body(turning("data.output", lambda out: out if len(out) < 35_000 else "")),
    ),
    "shell.exec.truncate",
)

FIELDS.add(
    "shell.asked.other-start",
    "A command without exec_dir starts in /sandbox.",
    asked((EXEC, lambda said: said if "id" in said else {"exec_dir": "/sandbox", **said})),
    "directories.start.workspace",
)

KINDS = (
    ANSWER,
    FIELDS,
)
