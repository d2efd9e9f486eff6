"""What the fake says on stdout, where somebody may have stopped reading."""

import os
import sys


def say(text: str) -> None:
    """Print something; to nobody, as in `serve | head -1`, it is lost without ado."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        # Whatever is printed later, or left in Python's own buffer, is lost as well.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
