"""`keraskit launch`: start several workers of one run on this machine, each with a log file of its own."""

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

from keraskit import signals, system
from keraskit.errors import RunStopped, UserError, printable

PATIENCE = 60.0  # seconds that the others have to stop by themselves once one worker has failed


def launch(words: Sequence[str], workers: int, logs: Path) -> None:
    """Run `keraskit WORDS` so many times, joined by TF_CONFIG on the loopback. The chief's output is shown here.

    Each launch makes a folder in `logs`, with `worker-0.log` and so on.

    Raises:
        UserError: no command that trains was given, or fewer than two workers.
        RunStopped: a worker failed. The others were given time to say why they stop, and then ended.
        Stopped: a signal came, and was passed on.
    """
    if not words or words[0] != "run" or workers < 2:
        raise UserError("launch starts a training on several workers.", "Say `keraskit launch --workers 2 -- run cnn`.")
    if not any(word.split("=")[0] == "--threads" for word in words):  # else each takes every core
        words = [*words, "--threads", str(max(1, system.cores() // workers))]
    folder = logs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder.mkdir(parents=True)
    print(f"launch         {workers} workers; their output goes to {printable(folder)}", flush=True)
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
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keraskit", *words],  # -P: a numpy.py lying here is none of ours
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.DEVNULL,
                stdout=stack.enter_context((folder / f"worker-{index}.log").open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C comes here, and is passed on once
            )
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        shown = stack.enter_context((folder / "worker-0.log").open("rb"))
        failed, deadline = None, float("inf")
        while time.monotonic() < deadline:
            running = [process for process in started if process.poll() is None]
            print(shown.read().decode("utf-8", "replace"), end="", flush=True)
            if failed is None and (failed := next((each for each in started if each.returncode), None)):
                deadline = time.monotonic() + PATIENCE
            if not running:
                break
            time.sleep(0.1)
    code = failed.returncode if failed else 0
    if asked or code - 128 in signals.CAUGHT:  # a signal came here, or to a worker
        number = asked[0] if asked else code - 128
        raise signals.Stopped(number, "Interrupted. The same command with --resume goes on.")
    if failed:
        index = started.index(failed)
        kind = UserError if code == UserError.code else RunStopped  # what a worker refuses is refused here
        raise kind(f"Worker {index} ended with code {code}.", f"See {folder}/worker-{index}.log.")


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nobody listens on now."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]
