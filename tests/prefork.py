"""A process that has imported what runs need, and MNIST, and forks a copy of itself for each command: six seconds less.

What a test learns of a command here holds for one that was started from scratch but for what happens while modules
are imported: tests of that, and those that set variables which are read then, start a process of their own.
"""

import functools
import gc
import importlib
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

OURS = Path(__file__).resolve().parents[1] / "data" / "mnist.npz"
BEFORE = (  # no recipe: that is the program, and Python would say that it was there before
    *("keraskit.cli.app", "keraskit.cli.run_commands", "keraskit.training.runner", "keraskit.runs.report"),
    *("matplotlib.pyplot", "matplotlib.backends.backend_agg", "matplotlib.backends.backend_svg", "PIL.JpegImagePlugin"),
    *("tensorflow.python.autograph.impl.api", "keras.src.backend.tensorflow.trainer", "h5py", "scipy.ndimage"),
)


def keep_mnist(replace: Callable = setattr) -> None:
    """MNIST's arrays stay in memory, read and checked once: to unpack, check and copy them is a third of a tiny run."""
    from keraskit.datasets import digits

    read, digest, kept = digits.read_npz, digits.digest, {}
    known = functools.cache(lambda: digest(kept[name] for name in digits.NAMES))

    def read_npz(path: Path) -> dict:
        if path != OURS:
            return read(path)
        if not kept:
            kept.update(read(path))
            for array in kept.values():
                array.flags.writeable = False  # they stay what was checked
        return dict(kept)

    def digest_once(given: Iterable) -> str:
        given = list(given)
        return known() if all(any(a is b for b in kept.values()) for a in given) else digest(given)

    replace(digits, "read_npz", read_npz)
    replace(digits, "digest", digest_once)


def serve() -> None:
    """Answer requests, one line each, until there are no more. A copy leaves this function to be the command."""
    from keraskit import start
    from keraskit.datasets import digits

    start.start_tensorflow()
    for module in BEFORE:
        importlib.import_module(module)
    keep_mnist()
    digits.read_npz(OURS)
    gc.collect()
    gc.freeze()  # no copy looks through all that again, nor needs pages of its own for it
    print(flush=True)
    running = set()
    for line in sys.stdin:
        asked = json.loads(line)
        if isinstance(asked, int):
            ended, status = os.waitpid(asked, os.WNOHANG)
            running -= {ended}
            print(json.dumps(os.waitstatus_to_exitcode(status) if ended else None), flush=True)
        elif child := os.fork():
            running.add(child)
            os.setpgid(child, child)  # before anybody can ask whose group it is in
            print(child, flush=True)
        else:
            become(**asked)
            return
    for child in running:
        os.kill(child, signal.SIGKILL)


def become(program: str, words: list[str], cwd: str, env: dict[str, str], outputs: list[str]) -> None:
    """Be `python -m PROGRAM WORDS`, or `python PROGRAM WORDS` where that is a path, in a folder and an environment.

    The outputs are files for stdout and stderr, or one for both.
    """
    os.setpgid(0, 0)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path in enumerate([os.devnull, *outputs]):
        with Path(path).open("w" if number else "r") as file:
            os.dup2(file.fileno(), number)
    if len(outputs) == 1:
        os.dup2(1, 2)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in zip((0, 1, 2), "rww", strict=True))
    path = "/" in program
    sys.path[0] = str(Path(program).parent) if path else cwd
    sys.argv = [program, *words]
    if path:
        runpy.run_path(program, run_name="__main__")
    else:
        runpy.run_module(program, run_name="__main__", alter_sys=True)


class Forked:
    """A command that runs, as `subprocess.Popen` has it."""

    stdin = stdout = stderr = None

    def __init__(self, ask, pid: int) -> None:
        self._ask, self.pid, self.returncode = ask, pid, None

    def poll(self) -> int | None:
        """Its exit code, or minus the signal; None as long as it runs."""
        if self.returncode is None:
            self.returncode = self._ask(self.pid)
        return self.returncode

    def wait(self, timeout: float = 240) -> int:
        patience = time.monotonic() + timeout
        while self.poll() is None:
            if time.monotonic() > patience:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.01)
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nobody else has its number before `poll` has asked for it."""
        if self.returncode is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Prefork:
    def __init__(self) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self._server = subprocess.Popen([sys.executable, "-m", "prefork"], cwd=Path(__file__).parent, **pipes)
        self._server.stdout.readline()

    def _ask(self, request: object) -> object:
        self._server.stdin.write(json.dumps(request, default=str) + "\n")
        self._server.stdin.flush()
        return json.loads(self._server.stdout.readline())

    def start(self, program: str | Path, words: Sequence, cwd: Path, env: dict, outputs: Sequence[Path]) -> Forked:
        """A command without input, whose stdout and stderr go to files, or both to one."""
        asked = {"program": program, "words": [*map(str, words)], "cwd": cwd, "env": env, "outputs": outputs}
        return Forked(self._ask, self._ask(asked))

    def run(
        self, program: str | Path, words: Sequence, cwd: Path, env: dict | None = None, timeout: float = 240
    ) -> subprocess.CompletedProcess:
        with tempfile.TemporaryDirectory() as place:
            outputs = [Path(place) / name for name in ("out", "err")]
            started = self.start(program, words, cwd, dict(os.environ) if env is None else env, outputs)
            try:
                code = started.wait(timeout)
            finally:
                started.kill()
            texts = [path.read_text("utf-8", "surrogateescape") for path in outputs]
        return subprocess.CompletedProcess([program, *words], code, *texts)

    def end(self) -> None:
        self._server.stdin.close()
        self._server.wait()
        self._server.stdout.close()


if __name__ == "__main__":
    serve()
