"""What this machine is: its CPU and what it can do, free memory, versions, and the state of the source."""

import importlib.metadata
import os
import platform
import subprocess
import time
from pathlib import Path
from typing import Any

from keraskit.errors import UserError

PACKAGES = ("keraskit", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "h5py")


def cpu_name() -> str:
    """The CPU's own name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_features() -> set[str]:
    """The CPU's instruction sets, as Linux names them; empty where that is not told."""
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Bytes that new allocations may take, where Linux tells: of the machine, and of the container if it has less."""
    try:
        lines = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        free = int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return None
    try:
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        return min(free, limit - used)
    except (OSError, ValueError):  # no limit, or no control groups
        return free


def process_age() -> float:
    """Seconds since this process began, before Python did, where Linux tells; else 0.

    What a shell did before it became this process, by `exec`, counts too.
    """
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        return max(0.0, time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK"))
    except (OSError, AttributeError, IndexError, ValueError):
        return 0.0


def _cpuinfo(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def home() -> Path | None:
    """The user's home; None for a user without name and HOME, as in a container."""
    try:
        return Path.home()
    except RuntimeError:
        return None


def cache_folder() -> Path | None:
    """Where small things that can be made again are kept between runs; None without a home."""
    if given := os.environ.get("XDG_CACHE_HOME"):
        return Path(given) / "keraskit"
    return place / ".cache" / "keraskit" if (place := home()) else None


def keras_home() -> Path:
    """Where Keras keeps what it downloads; as Keras does it, below /tmp without a home."""
    given = os.environ.get("KERAS_HOME")
    return expanded(given) if given else (home() or Path("/tmp")) / ".keras"


def name_of(path: Path) -> str:
    """The last name of a path, of `.` and `..` too."""
    return (path if path.name.strip(".") else path.resolve()).name or str(path)


def is_file(path: Path) -> bool:
    """Whether there is such a file; no where nobody may look, as in a home that cannot be read."""
    return os.path.isfile(path)  # noqa: PTH113  (Path's own raises there)


def expanded(word: str | Path) -> Path:
    """A path with ~ and ~name filled in. Raises UserError where there is no such home."""
    try:
        return Path(word).expanduser()
    except RuntimeError as error:
        raise UserError(f"{word}: there is no such home folder.", "Write the path without ~.") from error


def versions() -> dict[str, str]:
    """Python's and each package's version; packages that are missing are left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def git_state() -> dict[str, Any] | None:
    """The commit of the checkout that keraskit runs from, and whether it was changed; None elsewhere."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(checkout), *words], capture_output=True, text=True, timeout=10, check=True
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
