"""Find the workers of a run in the flags or in TF_CONFIG."""

import os
import re

import tensorflow as tf

from keraskit.config import RunConfig
from keraskit.errors import UserError, printable, sentence


def find_workers(config: RunConfig) -> tuple[tuple[str, ...], int, str]:
    """Return host:port of all workers, the index of this one, and their source; no workers for a single process.

    Raises UserError if they are not described correctly.
    """
    index: int | None
    if config.workers is not None or config.worker_index is not None:
        workers, index, source = (config.workers or "").split(","), config.worker_index, "--workers"
    elif source := "TF_CONFIG" if os.environ.get("TF_CONFIG") else "":
        try:
            resolver = tf.distribute.cluster_resolver.TFConfigClusterResolver()
            chief, workers = (resolver.cluster_spec().as_dict().get(name, []) for name in ("chief", "worker"))
        except (ValueError, TypeError, AttributeError, LookupError, RuntimeError) as error:
            raise UserError(f"TF_CONFIG cannot be read: {sentence(error)}", "docs/distributed.md shows one.") from error
        workers, index = [*chief, *workers], (resolver.task_id or 0) + len(chief) * (resolver.task_type == "worker")
        index = index if resolver.task_type in (None, "chief", "worker") else None
    else:
        return (), 0, ""
    known = len(set(workers)) == len(workers) and all(re.fullmatch(r"\S+:\d{1,5}", each) for each in workers)
    if index is None or not known or not 0 <= index < len(workers):
        problem = f"{source} makes this worker {index} of {printable(', '.join(workers))}."
        advice = "Name each worker once, as in 10.0.0.1:12345,10.0.0.2:12345, and which of them this is, from 0."
        raise UserError(problem, advice)
    return (tuple(workers) if len(workers) > 1 else ()), index, source
