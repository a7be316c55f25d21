"""Names of Keras and TensorFlow that are not public. A test fails by name when one of them goes or changes."""

from typing import Any

import tensorflow as tf
from keras.src.backend.tensorflow import trainer
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.data.ops import multi_device_iterator_ops
from tensorflow.python.eager import context
from tensorflow.python.ops import check_ops

# What is patched while a model is trained, for `mock.patch.object`. On several machines:
REDUCE_PER_REPLICA = trainer, "reduce_per_replica"  # asks for the mean along an axis of scalars
MAYBE_SYMBOLIC_BUILD = trainer.TensorFlowTrainer, "_maybe_symbolic_build"  # fails on values of several replicas
# And on several devices:
DEVICE_DATASET = multi_device_iterator_ops, "_create_device_dataset"  # leaves autotuning on
# While a step is traced that XLA compiles:
ASSERT_EQUAL = check_ops, "assert_equal"


def coordination_service(workers: int, wait: int, heartbeat: int, shutdown: int) -> Any:
    """Configure TensorFlow's service that joins workers; there is no public door to its store and barriers.

    Args:
        workers: how many there are. The service runs in the first.
        wait: seconds that a strategy, made afterwards, waits for all of them.
        heartbeat: seconds until a silent worker is lost.
        shutdown: seconds that workers wait for each other at the end.
    """
    service = context.context()
    service.configure_coordination_service(
        service_type="standalone",
        service_leader="/job:worker/replica:0/task:0",
        coordinated_jobs=[CoordinatedJob(name="worker", num_tasks=workers)],
        cluster_register_timeout_in_ms=1_000 * wait,
        heartbeat_timeout_in_ms=1_000 * heartbeat,
        shutdown_barrier_timeout_in_ms=1_000 * shutdown,
    )
    service.coordination_service.cluster_register_with_barrier = True
    return service


def set_cardinality(dataset: tf.distribute.DistributedDataset, steps: int) -> None:
    """Say how many steps a distributed dataset has: it counts each device's batches, and Keras takes them for steps."""
    dataset._cardinality = steps
