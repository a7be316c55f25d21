"""Describe the machine: CPU and its features, free memory, and versions."""

import os
import platform
import shlex
import sys
from contextlib import suppress
from pathlib import Path


def cpu_name() -> str:
    """Return the CPU's model name."""
    return _entry("/proc/cpuinfo", "model name") or platform.processor() or platform.machine()


def cpu_features() -> set[str]:
    """Return the CPU's instruction sets, as Linux names them; empty if unknown."""
    return set((_entry("/proc/cpuinfo", "flags") or _entry("/proc/cpuinfo", "Features")).split())


def cores() -> int:
    """Number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def available_memory() -> int | None:
    """Return the available bytes of memory, at most those that a container may use; None if unknown."""
    free = None
    with suppress(ValueError):
        free = 1024 * int(_entry("/proc/meminfo", "MemAvailable:").removesuffix(" kB"))
    groups = Path("/sys/fs/cgroup")
    own = groups / _entry("/proc/self/cgroup", "0::").strip("/")
    files = [("memory.max", "anon ", each) for each in (own, *own.parents) if each.is_relative_to(groups)]
    for name, used, group in (*files, ("memory.limit_in_bytes", "total_rss ", groups / "memory")):  # version 2, and 1
        with suppress(OSError, ValueError):  # no limit, or no such group
            left = int((group / name).read_text()) - int(_entry(f"{group}/memory.stat", used))  # files' cache is free
            free = left if free is None else min(free, left)
    return free


def _entry(file: str, name: str) -> str:
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return ""
    return next((line.removeprefix(name).lstrip("\t :").rstrip() for line in lines if line.startswith(name)), "")


def keras_home() -> Path:
    """Keras's folder for downloads."""
    return expanded(os.environ.get("KERAS_HOME") or "~/.keras")


def is_file(path: Path) -> bool:
    """Whether a file exists; False in an unreadable folder, where `Path.is_file` raises."""
    return os.path.isfile(path)  # noqa: PTH113


def expanded(word: str | Path) -> Path:
    """Expand ~ and ~name in a path, if there is such a home."""
    return Path(os.path.expanduser(word))  # noqa: PTH111  (pathlib raises RuntimeError)


def extra(name: str) -> str:
    """Return the command that installs an extra of keraskit into this environment."""
    return f"{shlex.quote(sys.executable)} -m pip install 'keraskit[{name}]'"


def versions() -> dict[str, str]:
    """Return the versions of Python and packages; missing packages are left out."""
    from importlib import metadata  # takes 15 ms, which no help page needs

    found = {"python": platform.python_version()}
    for package in ("keraskit", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "h5py"):
        with suppress(metadata.PackageNotFoundError):
            found[package] = metadata.version(package)
    return found
