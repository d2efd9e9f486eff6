"""Start one of the project's programs: `python -I -S start.py MODULE [ARGUMENT...]`.

`client/launch` writes the commands in `.venv/bin` that run this file. `-I` keeps the caller's
`PYTHON*` variables out, and `-S` defers the import of packages until Ctrl-C ends the process
without a traceback.
"""

TYPE_CHECKING = False  # importing `typing` would take as long as all the rest
if TYPE_CHECKING:
    import signal as _signal
else:
    import _signal  # `signal` would import `enum`, during which Ctrl-C printed a traceback

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)
# The command blocks SIGINT where `env` can do it, so that none arrives before this line.
_signal.pthread_sigmask(_signal.SIG_UNBLOCK, [_signal.SIGINT])

import site
import sys
from importlib import import_module

site.main()
sys.argv[:2] = [sys.argv[1]]
sys.exit(import_module(f"{sys.argv[0]}.__main__").main())
