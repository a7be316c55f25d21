"""`keraskit launch`: start several workers of one run on this machine."""

import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType

from keraskit import files, signals, system
from keraskit.errors import RunStopped, UserError, printable

PATIENCE = 60.0  # seconds that the others have to stop by themselves once one worker has failed


def launch(words: Sequence[str], workers: int, logs: Path) -> None:
    """Run `keraskit WORDS` so many times, joined by TF_CONFIG on the loopback.

    The chief's output comes here; that of worker 1 goes to `worker-1.log` in a new folder in `logs`, and so on.

    Raises:
        UserError: no command that trains was given, or fewer than two workers.
        RunStopped: a worker failed. The others were given time to say why they stop, and then ended.
        Stopped: a signal came, and was passed on.
    """
    if not words or words[0] != "run" or workers < 2:
        raise UserError("launch starts a training on several workers.", "Say `keraskit launch --workers 2 -- run cnn`.")
    if not any(word.split("=")[0] == "--threads" for word in words):  # else each takes every core
        words = [*words, "--threads", str(max(1, system.cores() // workers))]
    files.check_folder(logs, "--logs")
    folder = logs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder.mkdir(parents=True)
    print(f"launch         {workers} workers; the others' output goes to {printable(folder)}", flush=True)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    started: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for process in started:
            process.send_signal(number)

    with ExitStack() as stack, signals.sent_to(pass_on):
        for index in range(workers):
            config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            log = stack.enter_context((folder / f"worker-{index}.log").open("wb")) if index else None
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keraskit", *words],  # -P: a numpy.py lying here is none of ours
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C comes here, and is passed on once
            )
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        deadline = float("inf")
        while None in (codes := [process.poll() for process in started]) and time.monotonic() < deadline:
            deadline = min(deadline, time.monotonic() + PATIENCE) if any(codes) else deadline
            time.sleep(0.1)
    failed = {index: code for index, code in enumerate(codes) if code}
    numbers = [*asked, *(code - 128 for code in failed.values() if code - 128 in signals.CAUGHT)]
    if numbers:
        raise signals.Stopped(numbers[0], "Interrupted. The same command with --resume goes on.")
    if failed:
        ended = ", ".join(f"worker {index} with code {code}" for index, code in failed.items())
        raise RunStopped(f"A training of {workers} workers has failed: {ended}.", f"See {folder}.")


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on now."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
