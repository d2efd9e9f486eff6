"""Give a program the default signals, with whatever signals the fake itself was started.

In the background (`nohup … &`), a process starts with Ctrl-C ignored, its children inherit that,
and no POSIX shell can undo it: commands would not heed a kill.
"""

import signal
import sys
from collections.abc import Sequence

# Python ignores these itself, and `subprocess` resets them in a child.
_RESET_BY_SUBPROCESS = {"SIGPIPE", "SIGXFSZ", "SIGXFZ"}
_RESET_AND_EXECUTE = """
import os, signal, sys
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_DFL)
signal.pthread_sigmask(signal.SIG_SETMASK, [])
os.execvp(sys.argv[1], sys.argv[1:])
"""


def with_default_signals(command: Sequence[str]) -> Sequence[str]:
    """Return a command that resets all signals first, if this process ignores or blocks any.

    The process keeps its id: the interpreter that resets them is replaced by the program. It costs
    its start, some 10 ms, and nothing where there is nothing to reset.
    """
    if not (_ignored() or signal.pthread_sigmask(signal.SIG_BLOCK, [])):
        return command
    return [sys.executable, "-I", "-S", "-c", _RESET_AND_EXECUTE, *command]


def _ignored() -> list[signal.Signals]:
    return [
        each
        for each in signal.Signals
        if each.name not in _RESET_BY_SUBPROCESS and signal.getsignal(each) is signal.SIG_IGN
    ]
