"""What a run was made with: versions, and the state of the source it ran from."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from pathlib import Path
from typing import Any

PACKAGES = ("keraskit", "tensorflow", "keras", "numpy", "matplotlib", "pillow", "h5py")


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
