"""Where the data lies that tests may read and the repository may not hold; a test without it skips and says why."""

import os
from pathlib import Path

import pytest

ROOT = Path(os.environ.get("KERASKIT_SHARED_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


def shared(name):
    if not (ROOT / name).exists():
        pytest.skip(f"no {name} in {ROOT}; KERASKIT_SHARED_DATA names another folder")
    return ROOT / name
