"""`keraskit launch`: starts several workers of one run on this machine, each with a log file of its own."""

import ctypes
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

from keraskit import signals, system
from keraskit.errors import RunStopped, UserError

PR_SET_PDEATHSIG = 1  # of Linux's prctl
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
    folder = logs / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(3)}"
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"Cannot make {folder}: {error.strerror}.", "Name a folder with --logs.") from error
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    print(f"launch         {workers} workers; their output goes to {folder}", flush=True)
    patience = signals.Patience()
    with ExitStack() as files:
        started = [
            _start(words, addresses, index, files.enter_context((folder / f"worker-{index}.log").open("wb")))
            for index in range(workers)
        ]
        try:
            with signals.sent_to(patience):
                failed = _wait(started, folder, patience)
        finally:
            for process in started:
                process.kill()
                process.wait()
    code = started[failed or 0].returncode
    if patience.asked or code in INTERRUPTED:  # here, or the workers by somebody else
        raise signals.Stopped(patience.asked or code - 128, "Interrupted. The same command with --resume goes on.")
    if failed is not None:
        log = folder / f"worker-{failed}.log"
        raise RunStopped(f"Worker {failed} {_ended(code, log)}", f"See {log}.")


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    with ExitStack() as sockets:
        found = [sockets.enter_context(socket.socket()) for _ in range(count)]
        for each in found:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in found]


def _start(words: Sequence[str], addresses: list[str], index: int, log: object) -> subprocess.Popen[bytes]:
    config = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
    command = [sys.executable, "-P", "-m", "keraskit", *words]  # -P: a numpy.py lying here is none of ours
    return subprocess.Popen(  # type: ignore[call-overload]
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,  # a terminal's Ctrl-C comes here, and is passed on once
        preexec_fn=_end_with_launcher if sys.platform == "linux" else None,
    )


def _end_with_launcher() -> None:
    """Have the system send this worker SIGTERM when the launcher is gone, whatever ended it."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _wait(started: list[subprocess.Popen[bytes]], folder: Path, patience: signals.Patience) -> int | None:
    """Show the chief's log as it grows, until all have ended; when one fails, the others have PATIENCE to end too.

    Returns the first that failed. A signal is passed on, once, and they have the time that they need.
    """
    failed, deadline, told = None, float("inf"), False
    with (folder / "worker-0.log").open("rb") as shown:
        while True:
            codes = [process.poll() for process in started]
            sys.stdout.write(shown.read().decode("utf-8", "replace"))
            sys.stdout.flush()
            if patience.asked and not told:
                told = True
                for process in started:
                    process.send_signal(patience.asked)
            if failed is None and any(codes):
                failed = next(i for i, code in enumerate(codes) if code)
                deadline = time.monotonic() + PATIENCE
            if None not in codes or time.monotonic() > deadline:
                return failed
            time.sleep(0.1)


def _ended(code: int, log: Path) -> str:
    """How a worker ended: by a signal, or with the last line that keraskit said."""
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}."
    lines = [line for line in log.read_text("utf-8", "replace").splitlines() if line.startswith("keraskit: ")]
    return f"ended with code {code}{f': {lines[-1]}' if lines else '.'}"
