"""Names of Keras and TensorFlow that are not public, each with its reason. A test fails when one of them goes.

Nothing else in keraskit uses such a name. pyproject.toml bounds Keras and TensorFlow below their next releases.
"""

from typing import Any

import keras
import tensorflow as tf
from keras.src.backend.common import global_state
from keras.src.backend.tensorflow import trainer
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.data.ops import multi_device_iterator_ops
from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver
from tensorflow.python.eager import context
from tensorflow.python.ops import check_ops

# A model's layers, those within layers too: `layers` has the outermost alone.
flatten_layers = keras.Model._flatten_layers
# Create the variables of metrics and optimizer: TensorFlow traces a function that creates variables twice.
symbolic_build = trainer.TensorFlowTrainer._symbolic_build
# What a model is built with while nothing is allocated: seeds, and the numbers in names.
get_global_attribute, set_global_attribute = global_state.get_global_attribute, global_state.set_global_attribute
# SLURM's lists of nodes and of tasks on each: SlurmClusterResolver sorts nodes otherwise than SLURM.
expand_hostlist = slurm_cluster_resolver.expand_hostlist
expand_tasks_per_node = slurm_cluster_resolver.expand_tasks_per_node

# Names for `mock.patch.object`, while a model is trained. On several machines:
REDUCE_PER_REPLICA = trainer, "reduce_per_replica"  # asks for the mean along an axis of scalars
MAYBE_SYMBOLIC_BUILD = trainer.TensorFlowTrainer, "_maybe_symbolic_build"  # fails on values of several replicas
# On several devices:
DEVICE_DATASET = multi_device_iterator_ops, "_create_device_dataset"  # leaves autotuning on
# While a step is traced that XLA compiles:
ASSERT_EQUAL = check_ops, "assert_equal"  # XLA leaves it out, with a line for each to the user


def compile_loss(model: keras.Model) -> Any:
    """Return what a model's loss was compiled to, with a metric for each of several outputs; None without a loss."""
    return model._compile_loss


def loss_tracker(model: keras.Model) -> keras.metrics.Mean:
    """Return the metric called loss, which a training step of one's own has to update."""
    return model._loss_tracker


def metric_direction(metric: Any) -> str | None:
    """Return "up" or "down", as a metric gets better; None where Keras does not say."""
    return getattr(metric, "_direction", None)


def logits_below(outputs: Any) -> Any:
    """Return what went into the softmax or sigmoid that gave these outputs, as Keras's losses look for it, or None."""
    return getattr(outputs, "_keras_logits", None)


def is_allocated(variable: keras.Variable) -> bool:
    """Whether a variable has a value: one of a model that was built for its shapes alone has none."""
    return variable._value is not None


def nodes(operation: Any) -> list[Any]:
    """Return the calls of a layer in the graphs of models."""
    return list(operation._inbound_nodes)


def made_by(tensor: Any) -> tuple[Any, int, int]:
    """Return the layer that gives a symbolic tensor, the number of its call, and of the tensor among its outputs."""
    return tuple(tensor._keras_history)


def set_cardinality(dataset: tf.distribute.DistributedDataset, steps: int) -> None:
    """Say how many steps a distributed dataset has: it counts each device's batches, and Keras takes them for steps."""
    dataset._cardinality = steps


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
