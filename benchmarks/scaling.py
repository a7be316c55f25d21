"""What a second worker brings, and what more data costs: images per second, seconds per epoch, memory.

    python benchmarks/scaling.py [--rounds 3] [--json docs/scaling.json]

One worker and two, each pinned to one core of its own, train cnn on the same global batches, in turn. Then one worker
on both cores reads 1, 10 and 100 times the data. The first epoch compiles, and is left out.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from keraskit.runs.folder import RunFolder
from keraskit.training.launch import free_ports

BATCH, EXAMPLES, EPOCHS = 256, 10_240, 3
BASE = 2_000  # pictures; times 1, 10 and 100


def start(words: list[str], folder: Path, core: int | None, config: dict | None) -> subprocess.Popen:
    """One training process, on one core if it is named."""
    environment = {**os.environ, "TF_CONFIG": json.dumps(config) if config else ""}
    pin = (lambda: os.sched_setaffinity(0, {core})) if core is not None else None
    command = [sys.executable, "-m", "keraskit", "run", *words, "--output-dir", str(folder)]
    return subprocess.Popen(
        command, env=environment, preexec_fn=pin, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )


def finished(processes: list[subprocess.Popen], folder: Path, name: str) -> tuple[float, int]:
    """Seconds of an epoch, the first left out, and the first process's peak memory in bytes."""
    memory = 0
    for process in processes:
        said = process.stderr.read() if process.stderr else ""
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"A worker failed: {said[-2000:]}")
        memory = memory or used.ru_maxrss * 1024
    (run,) = (folder / name).iterdir()
    return statistics.median(row["seconds"] for row in RunFolder(run).read_history()[1:]), memory


def together(workers: int, place: Path) -> float:
    """Seconds of an epoch of cnn on so many workers, a core each."""
    words = ["cnn", "--limit", str(EXAMPLES), "--epochs", str(EPOCHS), "--batch-size", str(BATCH), "--threads", "1"]
    addresses = [f"127.0.0.1:{port}" for port in free_ports(workers)]
    configs = [{"cluster": {"worker": addresses}, "task": {"type": "worker", "index": i}} for i in range(workers)]
    started = [start(words, place, i, configs[i] if workers > 1 else None) for i in range(workers)]
    return finished(started, place, "cnn")[0]


def more_data(times: int, place: Path) -> dict:
    """An epoch of mlp on made digits, so many times the base."""
    random = np.random.default_rng(0)
    count = BASE * times
    part = lambda n: (random.integers(0, 256, (n, 28, 28), np.uint8), random.integers(0, 10, n, np.uint8))  # noqa: E731
    (x, y), (x_test, y_test) = part(count * 6 // 5), part(1_000)  # a sixth is set apart for validation
    np.savez(place / "made.npz", x_train=x, y_train=y, x_test=x_test, y_test=y_test)
    words = ["mlp", "--dataset", str(place / "made.npz"), "--epochs", str(EPOCHS)]
    seconds, memory = finished([start(words, place / "runs", None, None)], place / "runs", "mlp")
    return {"examples": count, "seconds": seconds, "bytes": memory, "data_bytes": x.nbytes}


def main() -> None:
    """Measure, print, and record."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    seconds: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(asked.rounds):
        for workers, taken in seconds.items():
            with tempfile.TemporaryDirectory() as place:
                taken.append(together(workers, Path(place)))
                print(f"{workers} workers: {taken[-1]:.1f} s an epoch", flush=True)
    speedup = statistics.median(one / two for one, two in zip(seconds[1], seconds[2], strict=True))
    rates = {workers: EXAMPLES / statistics.median(taken) for workers, taken in seconds.items()}
    print(f"{rates[1]:,.0f} and {rates[2]:,.0f} images/s, {speedup:.2f} times, efficiency {speedup / 2:.0%}")
    data = {}
    for times in (1, 10, 100):
        with tempfile.TemporaryDirectory() as place:
            data[times] = row = more_data(times, Path(place))
            print(
                f"{row['examples']:,} examples: {row['seconds']:.2f} s an epoch, {row['bytes'] / 1e6:,.0f} MB",
                flush=True,
            )
            time.sleep(1)
    if asked.json:
        from keraskit.training.hardware import describe

        record = {"images_per_second": rates, "seconds": seconds, "speedup": speedup, "efficiency": speedup / 2}
        record |= {"batch": BATCH, "examples": EXAMPLES, "data": data, "hardware": describe()}
        asked.json.write_text(json.dumps(record, indent=2) + "\n")


if __name__ == "__main__":
    main()
