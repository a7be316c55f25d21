"""`keraskit launch`: start several workers of a run on this machine."""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType

from keraskit import signals, system
from keraskit.errors import RunStopped, UserError, printable


def launch(words: Sequence[str], workers: int, logs: Path) -> None:
    """Run `keraskit WORDS` in `workers` processes, connected through TF_CONFIG on the loopback interface.

    The chief's output is shown; that of the others is appended to `worker-1.log` and so on in `logs`. Raises UserError
    if WORDS start no training or a worker refuses them, RunStopped if a worker fails, Stopped after a signal.
    """
    if not words or words[0] != "run" or workers < 2:
        raise UserError("launch starts a training on several workers.", "Say `keraskit launch --workers 2 -- run cnn`.")
    if not any(word.split("=")[0] == "--threads" for word in words):  # otherwise each uses all cores
        words = [*words, "--threads", str(max(1, system.cores() // workers))]
    logs.mkdir(parents=True, exist_ok=True)
    print(f"launch         {workers} workers; output of all but the first goes to {printable(logs)}", flush=True)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    configs = [{"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(workers)]
    codes = run_all(words, [{"TF_CONFIG": json.dumps(each)} for each in configs], logs)
    for index, code in enumerate(codes):
        if code:
            where = f"See {logs}/worker-{index}.log." if index else "See above."
            raise ended(f"Worker {index}", code, where)


def run_all(words: Sequence[str], environments: Sequence[dict[str, str]], logs: Path) -> list[int]:
    """Run `keraskit WORDS` in one process per environment, at once, and return their exit codes.

    The output of all but the first is appended to `worker-1.log` and so on in `logs`. Signals are forwarded; raises
    Stopped after one.
    """
    started: list[subprocess.Popen[bytes]] = []
    asked = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = number
        for process in started:
            process.send_signal(number)

    with ExitStack() as stack, signals.sent_to(pass_on):
        for index, environment in enumerate(environments):
            if asked:
                break
            log = stack.enter_context((logs / f"worker-{index}.log").open("ab")) if index else None
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keraskit", *words],  # -P: ignore a numpy.py in this folder
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which forwards it once
                preexec_fn=_end_with_parent,
            )
            started.append(process)
            if asked:  # while it was started
                process.send_signal(asked)
            stack.callback(process.kill)
        codes = [process.wait() for process in started]
    if number := asked or next((code - 128 for code in codes if code - 128 in signals.CAUGHT), 0):
        raise signals.Stopped(number, "Interrupted. The same command with --resume goes on.")
    return codes


def _end_with_parent() -> None:
    """Make Linux send SIGTERM to this process when its parent ends, killed too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def ended(what: str, code: int, advice: str) -> UserError:
    """Return the error for a process that failed; bad input stays bad input."""
    return (UserError if code == UserError.code else RunStopped)(f"{what} ended with code {code}.", advice)


def free_ports(count: int) -> list[int]:
    """Return `count` free ports of the loopback interface."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
