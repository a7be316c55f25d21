"""Find the workers of a run: in the flags, in TF_CONFIG, or in SLURM's variables."""

import os
import re
from collections.abc import Sequence

import tensorflow as tf

from keraskit.config import RunConfig
from keraskit.errors import UserError, printable, sentence
from keraskit.models.keras_internals import expand_hostlist, expand_tasks_per_node

SLURM_PORTS = (12_000, 20_000)  # the first, and how many jobs have ports of their own
Found = tuple[tuple[str, ...], int, str]


def find_workers(config: RunConfig) -> Found:
    """Return host:port of all workers, the index of this one, and their source; no workers for a single process.

    Raises:
        UserError: they are not described well.
    """
    if config.workers is not None or config.worker_index is not None:
        return _checked((config.workers or "").split(","), config.worker_index, "--workers")
    source = "TF_CONFIG" if os.environ.get("TF_CONFIG") else "SLURM"
    try:
        if source == "TF_CONFIG":
            return _checked(*_of_tf_config(), source)
        if os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
            return _checked(*_slurm_tasks(), source)
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        raise UserError(f"{source} cannot be read: {sentence(error)}", "docs/distributed.md shows one.") from error
    return (), 0, ""


def _of_tf_config() -> tuple[list[str], int | None]:
    """Return chief and workers in one list, and the index of this process in it."""
    resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    chief, workers = (resolver.cluster_spec().as_dict().get(name, []) for name in ("chief", "worker"))
    index = (resolver.task_id or 0) + len(chief) * (resolver.task_type == "worker")
    return [*chief, *workers], index if resolver.task_type in (None, "chief", "worker") else None


def _slurm_tasks() -> tuple[list[str], int]:
    """Return the addresses of this step's tasks in SLURM's order, and which this is; each job has ports of its own.

    TensorFlow's SlurmClusterResolver sorts nodes by name, n10 before n9, and SLURM counts its tasks otherwise.
    """
    nodes = expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
    tasks = expand_tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
    first = SLURM_PORTS[0] + int(os.environ.get("SLURM_JOB_ID", "0")) % SLURM_PORTS[1]
    addresses = [f"{node}:{first + i}" for node, count in zip(nodes, tasks, strict=True) for i in range(count)]
    return addresses, int(os.environ["SLURM_PROCID"])


def _checked(words: Sequence[str], index: int | None, source: str) -> Found:
    workers = tuple(word.strip() for word in words)
    known = len(set(workers)) == len(workers) and all(re.fullmatch(r"\S+:\d{1,5}", each) for each in workers)
    if index is None or not known or not 0 <= index < len(workers):
        problem = f"{source} makes this worker {index} of {printable(', '.join(workers))}."
        advice = "Name each worker once, as in 10.0.0.1:12345,10.0.0.2:12345, and which of them this is, from 0."
        raise UserError(problem, advice)
    return (workers if len(workers) > 1 else ()), index, source
