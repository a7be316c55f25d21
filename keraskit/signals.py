"""Handle SIGINT, SIGTERM and SIGHUP: training finishes its step and saves, everything else stops at once."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)  # SIGHUP comes as a terminal closes
Handler = Callable[[int, FrameType | None], None] | signal.Handlers


class Stopped(KeyboardInterrupt):
    """A signal ended the command: a message for the user, and the exit code, 128 and its number."""

    def __init__(self, number: int, saying: str = "") -> None:
        super().__init__(saying)
        self.number, self.code = number, 128 + number


class Patience:
    """Handler that records the first signal, so that training can finish its step; the second stops at once."""

    asked: int | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Record the signal, and print a message on a terminal."""
        if self.asked is not None:
            raise Stopped(number)
        self.asked = number
        if sys.stderr and sys.stderr.isatty():
            os.write(2, b"\nfinishing this step and saving it; once more stops at once\n")


def stop(number: int, frame: FrameType | None) -> None:
    """Handler that stops at once."""
    raise Stopped(number)


@contextmanager
def sent_to(handler: Handler) -> Iterator[None]:
    """Handle these signals inside the block; not in other threads, nor signals that nohup ignores."""
    with ExitStack() as stack:
        for number in CAUGHT:
            with suppress(ValueError):  # in another thread
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    stack.callback(signal.signal, number, signal.signal(number, handler))
        yield
