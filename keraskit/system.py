"""What this machine is: its CPU and what it can do, free memory, versions, and the state of the source."""

import os
import platform
import subprocess
from contextlib import suppress
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
    free = None
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError):  # no limit, or no control groups
        group = Path("/sys/fs/cgroup")
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        free = limit - used if free is None else min(free, limit - used)
    return free


def _cpuinfo(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def keras_home() -> Path:
    """Where Keras keeps what it downloads."""
    return expanded(os.environ.get("KERAS_HOME") or "~/.keras")


def is_file(path: Path) -> bool:
    """Whether there is such a file; False in a folder that cannot be read, where Path's own raises."""
    return os.path.isfile(path)  # noqa: PTH113


def expanded(word: str | Path) -> Path:
    """A path with ~ and ~name filled in. Raises UserError where there is no such home."""
    try:
        return Path(word).expanduser()
    except RuntimeError as error:
        raise UserError(f"{word}: there is no such home folder.", "Write the path without ~.") from error


def versions() -> dict[str, str]:
    """Python's and each package's version; packages that are missing are left out."""
    from importlib import metadata  # takes 15 ms, which no help page needs

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found


def git_state() -> dict[str, Any] | None:
    """The commit of the checkout that keraskit runs from, and whether it was changed; None elsewhere."""
    checkout = Path(__file__).resolve().parents[1]
    if not (checkout / ".git").exists():
        return None
    line = ["git", "-C", str(checkout), "describe", "--always", "--exclude=*", "--abbrev=40", "--dirty"]
    try:
        said = subprocess.run(line, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": said.removesuffix("-dirty"), "changed": said.endswith("-dirty")}
