"""`keraskit launch`: start several workers of one run on this machine."""

import json
import os
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
    """Run `keraskit WORDS` so many times, joined by TF_CONFIG on the loopback. The chief's output is shown here.

    The others' is added to `worker-1.log` and so on in `logs`. Raises UserError where that starts no training,
    RunStopped where a worker failed, and the others, which lose it, have ended too, and Stopped where a signal came.
    """
    if not words or words[0] != "run" or workers < 2:
        raise UserError("launch starts a training on several workers.", "Say `keraskit launch --workers 2 -- run cnn`.")
    if not any(word.split("=")[0] == "--threads" for word in words):  # else each takes every core
        words = [*words, "--threads", str(max(1, system.cores() // workers))]
    logs.mkdir(parents=True, exist_ok=True)
    print(f"launch         {workers} workers; output of all but the first goes to {printable(logs)}", flush=True)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    started: list[subprocess.Popen[bytes]] = []

    asked = 0

    def pass_on(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        asked = number
        for process in started:
            process.send_signal(number)

    with ExitStack() as stack, signals.sent_to(pass_on):
        for index in range(workers):
            config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            log = stack.enter_context((logs / f"worker-{index}.log").open("ab")) if index else None
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keraskit", *words],  # -P: a numpy.py lying here is none of ours
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C comes here, and is passed on once
            )
            started.append(process)
            stack.callback(process.kill)
        codes = [process.wait() for process in started]
    if number := asked or next((code - 128 for code in codes if code - 128 in signals.CAUGHT), 0):
        raise signals.Stopped(number, "Interrupted. The same command with --resume goes on.")
    for index, code in enumerate(codes):
        if code:
            where = f"See {logs}/worker-{index}.log." if index else "See above."
            kind = UserError if code == UserError.code else RunStopped  # what a worker refuses is refused here
            raise kind(f"Worker {index} ended with code {code}.", where)


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on now."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
