"""Describe the machine: CPU and its features, free memory, and versions."""

import os
import platform
from contextlib import suppress
from pathlib import Path

PACKAGES = ("keraskit", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "h5py")


def cpu_name() -> str:
    """Return the CPU's model name."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def cpu_features() -> set[str]:
    """Return the CPU's instruction sets, as Linux names them; empty if unknown."""
    return set((_cpuinfo("flags") or _cpuinfo("Features")).split())


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Return the available bytes of memory, at most those that a container may use; None if unknown."""
    free = None
    with suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = 1024 * int(next(line.split()[1] for line in lines if line.startswith("MemAvailable:")))
    with suppress(OSError, ValueError, StopIteration):  # no limit, or no control groups
        group = Path("/sys/fs/cgroup")
        lines = (group / "memory.stat").read_text().splitlines()
        used = int(next(line.split()[1] for line in lines if line.startswith("anon ")))  # without the cache of files
        limit = int((group / "memory.max").read_text()) - used
        free = limit if free is None else min(free, limit)
    return free


def _cpuinfo(name: str) -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(name)), "")


def keras_home() -> Path:
    """Keras's folder for downloads."""
    return expanded(os.environ.get("KERAS_HOME") or "~/.keras")


def is_file(path: Path) -> bool:
    """Whether a file exists; False in an unreadable folder, where `Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def expanded(word: str | Path) -> Path:
    """Expand ~ and ~name in a path, if there is such a home."""
    return Path(os.path.expanduser(word))  # noqa: PTH111  (pathlib raises RuntimeError)


def versions() -> dict[str, str]:
    """Return the versions of Python and packages; missing packages are left out."""
    from importlib import metadata  # takes 15 ms, which no help page needs

    found = {"python": platform.python_version()}
    for package in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
