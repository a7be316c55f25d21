"""`keraskit launch`: starts several workers of one run on this machine, each with a log file of its own."""

import json
import os
import secrets
import signal
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

INTERRUPTED = [128 + number for number in signals.CAUGHT]  # exit codes
PATIENCE = 60.0  # seconds that the others have to stop by themselves once one worker has failed


def launch(words: Sequence[str], workers: int, logs: Path) -> None:
    """Run `keraskit WORDS` so many times, joined by TF_CONFIG on the loopback. The chief's output is shown here.

    Each launch makes a folder in `logs`, with `worker-0.log` and so on.

    Raises:
        UserError: no command that trains was given, or fewer than two workers.
        RunStopped: a worker failed. The others were given time to say why they stop, and then ended.
        Stopped: a signal came, and was passed on.
    """
    if not words or words[0] != "run":
        raise UserError("launch starts a training.", "Say `keraskit launch --workers 2 -- run cnn`.")
    if workers < 2:
        raise UserError(f"--workers {workers} is not several.", "Leave `keraskit launch --workers N --` out.")
    if not any(word.split("=")[0] == "--threads" for word in words):  # else each takes every core
        words = [*words, "--threads", str(max(1, system.cores() // workers))]
    files.check_folder(logs, "--logs")
    folder = logs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    folder.mkdir(parents=True)
    outputs = [folder / f"worker-{index}.log" for index in range(workers)]
    print(f"launch         {workers} workers; their output goes to {printable(folder)}", flush=True)
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(workers)]}
    started: list[subprocess.Popen[bytes]] = []
    asked: list[int] = []

    def pass_on(number: int, frame: FrameType | None) -> None:
        asked.append(number)
        for process in started:
            process.send_signal(number)

    with ExitStack() as stack, signals.sent_to(pass_on):
        for index, output in enumerate(outputs):
            config = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keraskit", *words],  # -P: a numpy.py lying here is none of ours
                env={**os.environ, "TF_CONFIG": json.dumps(config)},
                stdin=subprocess.DEVNULL,
                stdout=stack.enter_context(output.open("wb")),
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C comes here, and is passed on once
            )
            started.append(stack.enter_context(process))
            stack.callback(process.kill)
        failed, deadline = None, float("inf")
        shown = stack.enter_context(outputs[0].open("rb"))
        while True:
            codes = [process.poll() for process in started]
            print(shown.read().decode("utf-8", "replace"), end="", flush=True)
            if failed is None and any(codes):
                failed = next(i for i, code in enumerate(codes) if code)
                deadline = time.monotonic() + PATIENCE
            if None not in codes or time.monotonic() > deadline:
                break
            time.sleep(0.1)
    code = started[failed or 0].returncode
    if asked or code in INTERRUPTED:  # here, or the workers by somebody else
        raise signals.Stopped(asked[0] if asked else code - 128, "Interrupted. The same command with --resume goes on.")
    if failed is not None:
        raise RunStopped(f"Worker {failed} {_ended(code, outputs[failed])}", f"See {outputs[failed]}.")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


def _ended(code: int, log: Path) -> str:
    """How a worker ended: by a signal, or with the last line that keraskit said."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}."
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("keraskit: ")]
    return f"ended with code {code}{f': {lines[-1]}' if lines else '.'}"
