"""What must hold whatever is given: it ends, soon, in a result or one clear line, and writes where it may."""

import contextlib
import io
import os
import signal
import sys
import tempfile
import threading
from pathlib import Path

from keraskit.cli import app
from keraskit.errors import UserError

SECONDS = 10
CODES = (0, 2, 130, 143)  # 1 is an error in keraskit
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
_STARTS = {"subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"}
_watch: dict[str, list] = {}  # "allowed" folders and what was "seen" besides, while somebody watches


class Hang(BaseException):
    """It took too long. No `except Exception` catches this."""


@contextlib.contextmanager
def within(seconds=SECONDS):
    """Raise Hang after so many seconds, where this thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_):
        raise Hang(f"it took more than {seconds} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _audit(event, given):
    if not _watch:
        return
    if event == "open":
        path, mode, flags = given
        paths = [path] if flags & _WRITES or set(mode or "") & set("wax+") else []
    elif event in _CHANGES:
        paths = given[1:2] if event in ("os.symlink", "os.link") else given[:2]  # the first is what is linked to
        paths = [each for each in paths if isinstance(each, str | bytes | os.PathLike)]
    elif event in _STARTS:
        _watch["seen"].append(f"{event} {given[:2]}")
        return
    else:
        return
    for path in paths:
        if not isinstance(path, int) and not _allowed(os.path.realpath(os.fsdecode(path))):
            _watch["seen"].append(f"{event} {path!r}")


def _allowed(path):
    place, temporary = Path(path), Path(tempfile.gettempdir())
    if temporary in (place, place.parent) or path == os.devnull:
        return True
    return any(place.is_relative_to(each) for each in _watch["allowed"])


def watch():
    """Install the hook, once; Python has no way to take it out again."""
    sys.addaudithook(_audit)


@contextlib.contextmanager
def writing_only(*folders):
    """Assert that nothing is written, removed or renamed elsewhere, and that no process is started."""
    before = dict(_watch)
    _watch.update(allowed=[os.path.realpath(folder) for folder in folders], seen=[])
    try:
        yield
        seen = list(_watch["seen"])
    finally:
        _watch.clear()
        _watch.update(before)
    assert not seen, seen


def clean(text):
    """Whether a terminal can be shown this."""
    return all(c.isprintable() or c == "\n" for c in text)


def reads(call, *refusals):
    """What a reader returns, or None where it refuses with a reason that can be read."""
    try:
        with within():
            return call()
    except (UserError, *refusals) as error:
        assert len(str(error)) > 5, "a refusal without a reason"
        return None


def command(words):
    """Run a command line in this process. Returns its exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), within():
        try:
            app.command_line(words)
        except SystemExit as end:
            code = end.code
    said = err.getvalue()
    assert code in CODES, (code, said)
    assert clean(out.getvalue() + said), (out.getvalue(), said)
    if code == 0:
        assert not said, said
    else:
        assert said.startswith("keraskit: ") and said.count("\n") == 1 and len(said) > 25, said
    return code, out.getvalue() + said
