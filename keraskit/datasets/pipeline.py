"""tf.data pipelines: map in parallel, prefetch, and call Python functions."""

from __future__ import annotations

import atexit
import functools
import gc
from collections.abc import Callable
from typing import Any

from keraskit import system
from keraskit.start import tf

READY = 2  # batches to prefetch
MOST = 8  # parallel calls: each batch takes memory


def prefetched(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    """Map a function over a dataset in parallel and in order, and prefetch.

    AutoGraph is disabled: there is nothing to convert, and parsing the code takes half a second.
    """
    function = tf.autograph.experimental.do_not_convert(function)
    return untuned(dataset.map(function, num_parallel_calls=min(system.cores(), MOST)).prefetch(READY))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Disable tf.data's autotuning.

    Autotuning wakes up after 10, 30, 70, 150 ms and so on, doubling its interval, and an iterator that ends often waits
    for the next wake-up: an epoch of 6 s took up to 10 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def in_python(function: Callable[..., Any], given: list[Any], dtype: Any) -> Any:
    """Call a Python function of NumPy arrays inside a pipeline."""
    close_at_exit()
    return tf.numpy_function(function, given, dtype, stateful=False)


@functools.cache
def close_at_exit() -> None:
    """Close all iterators before Python exits: otherwise it may deadlock with their threads."""

    def close() -> None:
        for each in gc.get_objects():
            if type(each).__name__ == "OwnedIterator":
                vars(each).clear()

    atexit.register(close)
