"""A process that has imported TensorFlow and forks a copy of itself for each command: each import takes four seconds.

What a test learns of a command here holds for one that was started from scratch but for what happens while TensorFlow
is imported: tests of that, and those that set variables which are read then, start a process of their own.
"""

import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path


def serve() -> None:
    """Answer requests, one line each, until there are no more. A copy leaves this function to be the command."""
    from keraskit import startup

    startup.start_tensorflow()
    print(flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        if child := os.fork():
            print(child, flush=True)
            print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        else:
            become(**asked)
            return


def become(module: str, words: list[str], cwd: str, env: dict[str, str], outputs: list[str]) -> None:
    """Be `python -m MODULE WORDS` in a folder, an environment, and with files in place of stdout and stderr."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, path, mode in zip((0, 1, 2), (os.devnull, *outputs), "rww", strict=True):
        with Path(path).open(mode) as file:
            os.dup2(file.fileno(), number)
    sys.stdin, sys.stdout, sys.stderr = (os.fdopen(number, mode) for number, mode in zip((0, 1, 2), "rww", strict=True))
    sys.path[0] = cwd
    sys.argv = ["", *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


class Prefork:
    """The process, from the first command on."""

    def __init__(self) -> None:
        self._server: subprocess.Popen | None = None

    def run(
        self, words: list[str], module: str, cwd: Path, env: dict[str, str], timeout: float
    ) -> subprocess.CompletedProcess:
        """As `subprocess.run` with captured text, without input."""
        if self._server is None:
            line = [sys.executable, "-m", "prefork"]
            self._server = subprocess.Popen(
                line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
            )
            self._server.stdout.readline()
        with tempfile.TemporaryDirectory() as place:
            outputs = [str(Path(place) / name) for name in ("out", "err")]
            asked = {"module": module, "words": words, "cwd": str(cwd), "env": env, "outputs": outputs}
            self._server.stdin.write(json.dumps(asked) + "\n")
            self._server.stdin.flush()
            child = int(self._server.stdout.readline())
            late = threading.Timer(timeout, os.kill, (child, signal.SIGKILL))
            late.start()
            code = int(self._server.stdout.readline())
            late.cancel()
            if code == -signal.SIGKILL:
                raise subprocess.TimeoutExpired(words, timeout)
            texts = [Path(path).read_text("utf-8", "surrogateescape") for path in outputs]
        return subprocess.CompletedProcess([module, *words], code, *texts)

    def end(self) -> None:
        """Nothing is left of it."""
        if self._server:
            self._server.stdin.close()
            self._server.wait()
            self._server.stdout.close()


if __name__ == "__main__":
    serve()
