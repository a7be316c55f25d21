"""Who the workers of a run are: told by the flags, by TF_CONFIG, or by SLURM's step."""

import os
import re

import tensorflow as tf

from keraskit.config import RunConfig
from keraskit.errors import UserError, sentence

ADDRESS = re.compile(r"(?:[^\s,:/]+|\[[0-9a-fA-F:]+\]):\d{1,5}")
SLURM_PORTS = (12_000, 20_000)  # the first, and how many jobs have ports of their own
Found = tuple[tuple[str, ...], int, str]


def find_workers(config: RunConfig) -> Found:
    """Return host:port of all workers, which of them this is, and who says so; no workers where there is one process.

    Raises UserError where they are not described well.
    """
    if config.workers is not None or config.worker_index is not None:
        if config.workers is None or config.worker_index is None:
            raise UserError("--workers and --worker-index belong together.", "Name all workers, and which this is.")
        return _checked([address.strip() for address in config.workers.split(",")], config.worker_index, "--workers")
    try:
        if os.environ.get("TF_CONFIG"):
            told = tf.distribute.cluster_resolver.TFConfigClusterResolver()
            known = told.cluster_spec().as_dict()
            chief, workers = (known.get(kind, []) for kind in ("chief", "worker"))
            if told.task_type not in (None, "chief", "worker"):
                raise UserError(f"TF_CONFIG makes this a {told.task_type!r}; keraskit has chief and worker alone.")
            index = (told.task_id or 0) + len(chief) * (told.task_type == "worker")
            return _checked([*chief, *workers], index, "TF_CONFIG")
        if os.environ.get("SLURM_STEP_NUM_TASKS", "1") != "1":
            return _checked(*_slurm_tasks(), "SLURM")
    except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
        source = "TF_CONFIG" if os.environ.get("TF_CONFIG") else "SLURM's variables"
        raise UserError(f"{source} cannot be read: {sentence(error)}", "docs/distributed.md shows one.") from error
    return (), 0, ""


def _slurm_tasks() -> tuple[list[str], int]:
    """Return the addresses of this step's tasks in SLURM's order, and which this is; each job has ports of its own.

    TensorFlow's SlurmClusterResolver sorts nodes by name, n10 before n9, and SLURM counts its tasks otherwise.
    """
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    nodes = slurm.expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
    tasks = slurm.expand_tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
    first = SLURM_PORTS[0] + int(os.environ.get("SLURM_JOB_ID", "0")) % SLURM_PORTS[1]
    addresses = [f"{node}:{first + i}" for node, count in zip(nodes, tasks, strict=True) for i in range(count)]
    return addresses, int(os.environ["SLURM_PROCID"])


def _checked(workers: list[str], index: int, source: str) -> Found:
    if wrong := [address for address in workers if not ADDRESS.fullmatch(str(address))]:
        raise UserError(f"{source}: {wrong[0]!r} is no address.", "Expected host:port, as in 10.0.0.1:12345.")
    if len(set(workers)) < len(workers):
        raise UserError(f"{source} names an address twice.", "Each worker has its own.")
    if workers and not 0 <= index < len(workers):
        raise UserError(f"{source}: there is no worker {index} among {len(workers)}.", "They are counted from 0.")
    return (tuple(workers) if len(workers) > 1 else ()), index, source
