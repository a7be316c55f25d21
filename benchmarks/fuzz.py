"""Fuzzes for minutes what tests/fuzz fuzzes for seconds: 10,000 cases of every kind of input a stranger may have made.

    python benchmarks/fuzz.py --json docs/fuzz.json

A case fails when it ends in a traceback, takes more than 10 s or 2 GB, is refused without a reason, prints what a
terminal would obey, or writes, removes or starts anything outside its own folder.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "fuzz"))

from keraskit import startup  # noqa: E402

startup.start_tensorflow()

import cases  # noqa: E402
import laws  # noqa: E402
import pytest  # noqa: E402
from hypothesis import HealthCheck, Phase, given, seed, settings  # noqa: E402
from made import TINY, Box  # noqa: E402

import keraskit  # noqa: E402
from keraskit.training import hardware  # noqa: E402

MOST_MEMORY = 2_000_000_000  # bytes that one case may add
SHARES = {  # of all cases
    "command lines": 0.3,
    "config values": 0.15,
    "pictures": 0.2,
    "npz files": 0.08,
    "IDX files": 0.07,
    "zip archives": 0.1,
    "weight files": 0.05,
    "run folders": 0.05,
}


def peak() -> int:
    """The most memory that this process has had, in bytes."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def fuzz(kind: str, count: int, number: int, box: Box) -> tuple[dict, list[str]]:
    """So many cases of a kind. Returns counts and seconds, and the failures in words."""
    tried, slowest, largest, failures = 0, 0.0, 0, []

    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(cases.KINDS[kind][0])
    def attempt(case: object) -> None:
        nonlocal tried, slowest, largest
        tried += 1
        before, memory = time.monotonic(), peak()
        try:
            cases.attempt(kind, case, box)
        except (Exception, laws.Hang) as error:
            failures.append(f"{case!r:.300} -> {type(error).__name__}: {error!s:.600}")
        slowest, largest = max(slowest, time.monotonic() - before), max(largest, peak() - memory)
        if peak() - memory > MOST_MEMORY:
            failures.append(f"{case!r:.300} -> {(peak() - memory) / 1e9:.1f} GB")

    before = time.monotonic()
    attempt()
    seconds = round(time.monotonic() - before, 1)
    return {
        "cases": tried,
        "failures": len(failures),
        "seconds": seconds,
        "slowest": round(slowest, 2),
        "largest_mb": round(largest / 1e6),
    }, failures


def main() -> None:
    """Fuzz every kind, print what failed, and record the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--kinds", nargs="*", default=list(cases.KINDS), choices=list(cases.KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="a file for the counts")
    asked = parser.parse_args()
    record = {"hardware": hardware.describe(), "seed": asked.seed, "kinds": {}}
    here = Path.cwd()
    with tempfile.TemporaryDirectory() as place, pytest.MonkeyPatch.context() as patch:
        root = Path(place).resolve() / "work"
        finished = keraskit.run("mlp", **TINY, output_dir=root / "runs").folder
        box = Box.make(root, root.parent / "cache", finished)
        cases.without_training(patch)
        patch.setenv("XDG_CACHE_HOME", str(box.cache))
        patch.setenv("HOME", str(root))
        patch.chdir(root)
        laws.watch()
        for kind in asked.kinds:
            count = round(asked.cases * SHARES[kind])
            record["kinds"][kind], failures = fuzz(kind, count, asked.seed, box)
            print(f"{kind:14} {record['kinds'][kind]}", flush=True)
            for failure in failures[:20]:
                print(f"  {failure}", flush=True)
        os.chdir(here)
    if asked.json:
        asked.json.write_text(json.dumps(record, indent=2) + "\n")
    sys.exit(any(row["failures"] for row in record["kinds"].values()))


if __name__ == "__main__":
    main()
