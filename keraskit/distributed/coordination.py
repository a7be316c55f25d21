"""What workers say to each other, over TensorFlow's coordination service."""

from __future__ import annotations

import contextlib
import json
import re
from typing import Any

import tensorflow as tf

from keraskit.errors import RunStopped

HEARTBEAT, AT_THE_END, FOREVER = 10, 5, 10**6  # seconds: until a silent worker is lost, for all to go, at a barrier
SEE_LOG = "See that worker's own log; then start the same command with --resume on every machine."


class Coordination:
    """One of `count` workers. Make it before the strategy, which then waits `wait` seconds for the others.

    TensorFlow has no public names for this; `tests/models/test_keras_internals.py` tells when they change.
    """

    def __init__(self, count: int, index: int, wait: int) -> None:
        from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
        from tensorflow.python.eager import context

        self._count, self._index, self._round = count, index, 0
        self._context = context.context()
        self._context.configure_coordination_service(
            service_type="standalone",
            service_leader="/job:worker/replica:0/task:0",
            coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=count)],
            cluster_register_timeout_in_ms=1_000 * wait,
            heartbeat_timeout_in_ms=1_000 * HEARTBEAT,
            shutdown_barrier_timeout_in_ms=1_000 * AT_THE_END,
        )
        self._context.coordination_service.cluster_register_with_barrier = True

    def gather(self, mine: Any) -> list[Any]:
        """Return what every worker says here, in their order, as JSON has it. Raise RunStopped where one is lost."""
        self._round += 1
        key = f"keraskit/{self._round}"
        try:
            self._context.set_config_key_value(f"{key}/{self._index}", json.dumps(mine))
            self._context.wait_at_barrier(key, 1_000 * FOREVER)
            return [json.loads(self._context.get_config_key_value(f"{key}/{i}")) for i in range(self._count)]
        except tf.errors.OpError as error:
            raise lost(self._index, self._count, error) from error

    def leave(self) -> None:
        """Wait for the chief, however it ends: it would take a worker that has gone for one that crashed."""
        with contextlib.suppress(RunStopped):
            self.gather("done")


def lost(index: int, count: int, error: tf.errors.OpError) -> RunStopped:
    """Another worker was lost, in a line."""
    return RunStopped(f"A worker was lost, so worker {index} of {count} stopped: {type(error).__name__}.", SEE_LOG)


def missing(workers: tuple[str, ...], index: int, wait: int, error: tf.errors.OpError) -> RunStopped:
    """Workers did not come in time; those that TensorFlow names, or the chief."""
    late = re.search(r"timed out task names:\s+((?:/job:worker\S+/task:\d+\s)+)", error.message)
    numbers = sorted(int(number) for number in re.findall(r"task:(\d+)", late[1])) if late else [0]
    named = ", ".join(f"worker {i} ({workers[i]})" for i in numbers) + (
        "" if late else ", or for one that its log names"
    )
    problem = f"After {wait} s worker {index} of {len(workers)} still waits for {named}."
    return RunStopped(problem, "Start it, or see its own log; --wait SECONDS waits longer.")
