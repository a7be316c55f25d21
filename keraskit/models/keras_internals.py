"""Private names of Keras and TensorFlow. A test fails by name when one is removed or changed."""

from collections import defaultdict
from typing import Any

from keras.src.backend.common import global_state
from keras.src.backend.tensorflow import trainer
from keras.src.ops.numpy import Take
from keras.src.random.seed_generator import global_seed_generator
from tensorflow.compiler.xla.tsl.protobuf.coordination_config_pb2 import CoordinatedJob
from tensorflow.python.data.ops import multi_device_iterator_ops
from tensorflow.python.eager import context
from tensorflow.python.framework import config
from tensorflow.python.ops import check_ops

# Arguments of `mock.patch.object` during training. On several machines:
REDUCE_PER_REPLICA = trainer, "reduce_per_replica"  # reduces scalars along an axis
# And on several devices:
MAYBE_SYMBOLIC_BUILD = trainer.TensorFlowTrainer, "_maybe_symbolic_build"  # fails on per-replica values of two shapes
DEVICE_DATASET = multi_device_iterator_ops, "_create_device_dataset"  # leaves autotuning on
ASSERT_EQUAL = check_ops, "assert_equal"  # while a step is traced for XLA
TAKE = Take  # the operation of `keras.ops.take` in a graph, which has no public class
deterministic = config.is_op_determinism_enabled  # which has no public name, nor a way back
SEEDS = global_seed_generator  # from which random operations without a seed draw; created when first asked for


def given_names() -> dict[str, int]:
    """Return how often each name was given, by which Keras numbers layers, metrics and so on that have none."""
    return global_state.get_global_attribute("object_name_uids", defaultdict(int), set_to_default=True)


def coordination_service(workers: int, wait: int, heartbeat: int, shutdown: int) -> Any:
    """Configure TensorFlow's coordination service; its key-value store and barriers have no public API.

    The first worker runs it. Seconds: `wait` for all, `heartbeat` until a silent one is lost, `shutdown` at the end.
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
