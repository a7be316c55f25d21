"""Start trainings in processes of their own: the workers of one run on this machine, or one run per seed."""

import ctypes
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

from keraskit import signals, system
from keraskit.config import RunConfig
from keraskit.errors import RunStopped, UserError, flags, printable, short
from keraskit.registry import Card
from keraskit.runs.metrics import mean_and_error
from keraskit.training.settings import alike


def launch(words: Sequence[str], workers: int, logs: Path) -> None:
    """Run `keraskit WORDS` by `run_all` in `workers` processes, connected by `--workers` on the loopback interface.

    Raises UserError if WORDS start no training or a worker refuses them, RunStopped if a worker fails.
    """
    if not words or words[0] != "run" or workers < 2:
        raise UserError("launch starts a training on several workers.", "Say `keraskit launch --workers 2 -- run cnn`.")
    if not any(word.split("=")[0] == "--threads" for word in words):  # otherwise each uses all cores
        words = [*words, "--threads", str(max(1, system.cores() // workers))]
    logs.mkdir(parents=True, exist_ok=True)
    print(f"launch         {workers} workers; output of all but the first goes to {printable(logs)}", flush=True)
    words = [*words, "--workers", ",".join(f"127.0.0.1:{port}" for port in free_ports(workers)), "--worker-index"]
    for index, code in enumerate(run_all([[*words, str(index)] for index in range(workers)], logs)):
        if code:
            raise ended(f"Worker {index}", code, f"See {logs}/worker-{index}.log." if index else "See above.")


def train_seeds(card: Card, config: RunConfig, options: dict[str, Any]) -> None:
    """Train once per seed, each in a separate process, which frees its memory; with `resume` not the finished ones."""
    named, runs = card.name if card.ours else str(card.source.resolve()), []
    for seed in range(config.seed, config.seed + config.seeds):
        print(f"seed           {seed}, {seed - config.seed + 1} of {config.seeds}", flush=True)
        one = config.replace(seed=seed, seeds=1)
        found = finished(card, one, options) if config.resume else None
        if not found:
            knobs = {n: getattr(one, n) for n in one.model_fields_set - {"seeds"}} | {"augment": one.augment.given()}
            words = shlex.split(f"{flags(knobs)} {flags(options)}")
            (code,) = run_all([["run", named, *words]], Path())
            if code:
                raise ended(f"The run of seed {seed}", code, "See above; --resume goes on.")
            if not (found := finished(card, one, options)):
                raise RunStopped(f"The run of seed {seed} left no result in {config.output_dir}.", "See above.")
        runs.append(found)
    if config.resume and len({facts["data"].get("sha256") for facts in runs}) > 1:
        raise UserError("The seeds were trained on different data.", "Leave --resume out.")
    for name in runs[0]["test"]:
        shown = mean_and_error([facts["test"][name] for facts in runs])
        print(f"mean {name.replace('_', ' '):16} {shown}, of {len(runs)} seeds", flush=True)


def finished(card: Card, config: RunConfig, options: dict[str, Any]) -> dict[str, Any] | None:
    """Return the manifest of the newest finished run with the same request and recipe code; None if there is none."""
    for folder, facts, same_code in alike(config, options, card.recipe.name, card.source):
        if same_code and facts.get("status") == "finished" and facts.get("test"):
            print(f"               finished in {printable(short(folder.path))}", flush=True)
            return facts
    return None


def run_all(lines: Sequence[Sequence[str]], logs: Path) -> list[int]:
    """Run `keraskit WORDS` for the words of each line, at once, and return the exit codes.

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
        for index, words in enumerate(lines):
            if asked:
                break
            log = stack.enter_context((logs / f"worker-{index}.log").open("ab")) if index else None
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "keraskit", *words],  # -P: ignore a numpy.py in this folder
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches this process only, which forwards it once
                preexec_fn=_end_with_parent,
            )
            started.append(process)
            if asked:  # a signal came while it was started
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
        found = [sockets.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in found]
