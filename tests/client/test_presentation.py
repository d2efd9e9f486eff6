"""Results of commands as sentences and as objects."""

from __future__ import annotations

import pytest
from sandbox_client import CommandResult
from sandbox_client.api.runtime import SIGNALS, CommandStatus
from sandbox_client.presentation.commands import describe_ending, prompt_content
from sandbox_client.truncation import TruncatedText

RUNNING, KILLED, ENDED = (
    CommandStatus("running"),
    CommandStatus("killed", 137),
    CommandStatus("completed", 130),
)
INT_AND_TERM = SIGNALS[:2]

STILL = "still running in session 's1'"


@pytest.mark.parametrize(
    ("result", "sentence"),
    [
        (CommandResult("box", "s1", ENDED), "exit code 130"),
        (
            CommandResult("box", "s1", ENDED, seconds=2.04, started=True),
            "exit code 130, after 2.0 s",
        ),
        (CommandResult("box", "s1", CommandStatus("completed")), "exit code unknown"),
        (CommandResult("box", "s1", KILLED), "killed by SIGKILL"),
        (CommandResult("box", "s1", CommandStatus("killed")), "killed"),
        (CommandResult("box", "s1", CommandStatus("killed", 128 + 99)), "killed by signal 99"),
        (
            CommandResult("box", "s1", CommandStatus("unknown")),
            "its state is not known, in session 's1'",
        ),
        (
            CommandResult("box", "s1", RUNNING, signals=("SIGINT",), read_error="x"),
            "SIGINT sent; whether the command has ended is not known",
        ),
        (CommandResult("box", "s1", CommandStatus("timed_out")), "killed by its time limit"),
        (
            CommandResult(
                "box", "s1", CommandStatus("timed_out"), time_limit=600, seconds=600.2, started=True
            ),
            "killed by its time limit of 600 s, after 600.2 s",
        ),
        (CommandResult("box", "s1", CommandStatus("empty")), "no command has run in session 's1'"),
        (
            CommandResult("box", "s1", RUNNING, seconds=3),
            "still running in session 's1', waited for 3.0 s",
        ),
        (
            CommandResult("box", "s1", ENDED, was_over=True),
            "it had ended before (exit code 130): nothing was killed",
        ),
        (
            CommandResult("box", "s1", CommandStatus("empty"), was_over=True),
            "no command has run in session 's1': nothing was killed",
        ),
        (CommandResult("box", "s1", ENDED, signals=("SIGINT",)), "exit code 130, ended by SIGINT"),
        (
            CommandResult("box", "s1", CommandStatus("completed", 0), signals=("SIGINT",)),
            "exit code 0; SIGINT sent, but it may have ended for another reason",
        ),
        (
            CommandResult("box", "s1", KILLED, signals=("SIGINT",)),
            "killed by SIGKILL; SIGINT sent, but it may have ended for another reason",
        ),
        (
            CommandResult("box", "s1", CommandStatus("killed", 143), signals=SIGNALS),
            "killed by SIGTERM; SIGINT did not end it",
        ),
        (
            CommandResult(
                "box", "s1", CommandStatus("killed"), api="terminal", signals=("SIGINT",)
            ),
            "killed; Ctrl-C sent, but it may have ended for another reason",
        ),
        (
            CommandResult("box", "s1", ENDED, api="terminal", signals=("SIGINT",)),
            "exit code 130, ended by Ctrl-C",
        ),
        (CommandResult("box", "s1", KILLED, signals=("SIGKILL",)), "killed by SIGKILL"),
        (
            CommandResult("box", "s1", KILLED, signals=SIGNALS),
            "killed by SIGKILL; SIGINT and SIGTERM did not end it",
        ),
        (
            CommandResult("box", "s1", KILLED, api="terminal", signals=INT_AND_TERM),
            "killed by the runtime's kill; Ctrl-C did not end it",
        ),
        (
            CommandResult("box", "s1", RUNNING, api="terminal", signals=SIGNALS),
            f"{STILL}; Ctrl-C and the runtime's kill did not end it",
        ),
        (
            CommandResult("box", "s1", RUNNING, signals=INT_AND_TERM),
            f"{STILL}; SIGINT and SIGTERM did not end it",
        ),
    ],
)
def test_the_status_of_a_command_is_described(result: CommandResult, sentence: str) -> None:
    assert describe_ending(result) == sentence


def test_the_object_has_separate_members_for_standard_error() -> None:
    result = CommandResult("box", "s1", ENDED, signals=("SIGINT",))

    content = prompt_content(
        result, TruncatedText("a", 1), TruncatedText("b", 9, left_out=7, gone=3)
    )

    assert content == {
        "name": "box",
        "session": "s1",
        "status": "completed",
        "output": "a",
        "next_after": 1,
        "left_out": 0,
        "stderr": "b",
        "next_stderr_after": 9,
        "stderr_left_out": 7,
        "stderr_gone": 3,
        "signals": ["SIGINT"],
        "seconds": 0.0,
        "exit_code": 130,
    }
