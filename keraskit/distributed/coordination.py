"""What workers say to each other, over TensorFlow's coordination service."""

import contextlib
import json
from typing import Any

import tensorflow as tf

from keraskit.errors import RunStopped
from keraskit.models import keras_internals

HEARTBEAT, SHUTDOWN = 10, 5  # seconds until a silent worker is lost, and for all to go
FOREVER = 10**9  # milliseconds at a barrier: a worker that is lost ends it
SEE_LOG = "See that worker's own log; then start the same command with --resume on every machine."


class Coordination:
    """One of `count` workers. Make it before the strategy, which then waits `wait` seconds for the others."""

    def __init__(self, count: int, index: int, wait: int) -> None:
        self._count, self._index, self._round = count, index, 0
        self._service = keras_internals.coordination_service(count, wait, HEARTBEAT, SHUTDOWN)

    def gather(self, mine: Any) -> list[Any]:
        """Return every worker's JSON value, in their order. Raise RunStopped where a worker is lost."""
        self._round += 1
        key = f"keraskit/{self._round}"
        try:
            self._service.set_config_key_value(f"{key}/{self._index}", json.dumps(mine))
            self._service.wait_at_barrier(key, FOREVER)
            return [json.loads(self._service.get_config_key_value(f"{key}/{i}")) for i in range(self._count)]
        except tf.errors.OpError as error:
            raise lost(self._index, self._count, error) from error

    def leave(self) -> None:
        """Wait for the chief, which would take a worker that has gone for one that crashed."""
        with contextlib.suppress(RunStopped):
            self.gather("done")


def lost(index: int, count: int, error: tf.errors.OpError) -> RunStopped:
    """Say that another worker was lost."""
    return RunStopped(f"A worker was lost, so worker {index} of {count} stopped: {type(error).__name__}.", SEE_LOG)
