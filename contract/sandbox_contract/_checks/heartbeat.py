"""Something that runs in a sandbox until it is ended, and shows whether it still does."""

from sandbox_contract._run.people import Box, in_volume
from sandbox_contract._run.run import Run

_BEATS = 1_800  # and then it ends by itself, after some minutes


class Heartbeat:
    """A loop that adds to a file ten times a second."""

    def __init__(self, run: Run, box: Box) -> None:
        self._box = box
        self._file = run.name("beat")

    @property
    def loop(self) -> str:
        """Return the command."""
        beat = f"echo x >> {self._file}; i=$((i+1)); sleep 0.1"
        return in_volume(f"i=0; while [ $i -lt {_BEATS} ]; do {beat}; done")

    async def begin(self) -> None:
        """Let it beat in the background, and return when it does."""
        beginning = f"until [ -s {self._file} ]; do sleep 0.02; done"
        await self._box.run(f"({self.loop}) > /dev/null 2>&1 & {in_volume(beginning)}")

    async def beats(self) -> bool:
        """Tell whether it beats within a second or less."""
        size = f"$(wc -c < {self._file})"
        look = f"a={size}; for n in 1 2 3 4; do sleep 0.2; [ $a = {size} ] || exit 0; done; exit 1"
        return bool((await self._box.run(f"({in_volume(look)})"))["exit_code"] == 0)
