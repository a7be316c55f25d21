"""Who the workers of a run are: told by the flags, by TF_CONFIG, or by SLURM's step."""

import json
import re
from collections.abc import Mapping

from keraskit.config import RunConfig
from keraskit.errors import UserError

ADDRESS = re.compile(r"(?:[^\s,:/]+|\[[0-9a-fA-F:]+\]):(\d{1,5})")
SLURM_PORTS = (12_000, 20_000)  # the first, and how many jobs have ports of their own
Found = tuple[tuple[str, ...], int, str]


def find_workers(config: RunConfig, environment: Mapping[str, str]) -> Found:
    """host:port of all workers, which of them this is, and who says so; no workers where this process trains alone.

    Raises UserError where they are not described well.
    """
    if config.workers is not None or config.worker_index is not None:
        if config.workers is None or config.worker_index is None:
            raise UserError("--workers and --worker-index belong together.", "Name all workers, and which this is.")
        return _checked([address.strip() for address in config.workers.split(",")], config.worker_index, "--workers")
    if environment.get("TF_CONFIG"):
        return _from_tf_config(environment["TF_CONFIG"])
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return _from_slurm(environment)
    return (), 0, ""


def _checked(workers: list[str], index: int, source: str) -> Found:
    for address in workers:
        matched = ADDRESS.fullmatch(address)
        if not matched or not 0 < int(matched[1]) < 65_536:
            raise UserError(f"{source}: {address!r} is no address.", "Expected host:port, as in 10.0.0.1:12345.")
    if len(set(workers)) < len(workers):
        raise UserError(f"{source} names an address twice.", "Each worker has its own.")
    if not 0 <= index < len(workers):
        raise UserError(f"{source}: there is no worker {index} among {len(workers)}.", "They are counted from 0.")
    return (tuple(workers) if len(workers) > 1 else ()), index, source


def _from_tf_config(text: str) -> Found:
    """`{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}`; a chief comes first."""
    try:
        given = json.loads(text)
        cluster, task = given.get("cluster", {}), given.get("task", {})
        chief, workers = list(cluster.get("chief", [])), list(cluster.get("worker", []))
        kind, index = task.get("type", "worker"), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG cannot be read: {error}.", "docs/distributed.md shows one.") from error
    if not chief + workers:
        return (), 0, ""
    if kind not in ("chief", "worker"):
        raise UserError(f"TF_CONFIG makes this a {kind!r}; keraskit trains with chief and worker alone.")
    return _checked([str(a) for a in chief + workers], index + len(chief) * (kind == "worker"), "TF_CONFIG")


def _from_slurm(environment: Mapping[str, str]) -> Found:
    """The tasks of this step in SLURM's order: node by node. Each job has ports of its own."""
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    try:
        nodes = slurm.expand_hostlist(environment["SLURM_STEP_NODELIST"])
        tasks = slurm.expand_tasks_per_node(environment["SLURM_STEP_TASKS_PER_NODE"])
        index = int(environment["SLURM_PROCID"])
        first = SLURM_PORTS[0] + int(environment.get("SLURM_JOB_ID", "0")) % SLURM_PORTS[1]
        workers = [f"{node}:{first + i}" for node, count in zip(nodes, tasks, strict=True) for i in range(count)]
    except (KeyError, ValueError) as error:
        raise UserError(f"SLURM's variables cannot be read: {error}.", "Start the step with srun.") from error
    return _checked(workers, index, "SLURM")
