"""SIGINT and SIGTERM: training finishes its step and saves first, everything else stops where it is."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM)
Handler = Callable[[int, FrameType | None], None] | signal.Handlers


class Stopped(KeyboardInterrupt):
    """A signal has ended the command; the text says so to the user, and the code to the shell: 130 or 143."""

    def __init__(self, number: int, saying: str = "") -> None:
        super().__init__(saying)
        self.number, self.code = number, 128 + number


class Patience:
    """A handler that notes the first signal, so that training can finish its step. The second stops at once."""

    def __init__(self) -> None:
        self.asked: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Note it, and say so where somebody waits."""
        if self.asked is not None:
            raise Stopped(number)
        self.asked = number
        if sys.stderr and sys.stderr.isatty():
            os.write(2, b"\nfinishing this step and saving it; once more stops at once\n")


def stop(number: int, frame: FrameType | None) -> None:
    """A handler that stops at once."""
    raise Stopped(number)


@contextmanager
def sent_to(handler: Handler) -> Iterator[None]:
    """Handle SIGINT and SIGTERM inside the block; not in other threads, and not those that nohup has ignored."""
    before = {}
    for number in CAUGHT:
        with suppress(ValueError):  # raised in another thread
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
