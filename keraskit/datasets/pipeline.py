"""Makes batches before the model needs them, several at a time, and calls Python functions within that."""

from __future__ import annotations

import atexit
import functools
import gc
from collections.abc import Callable
from typing import Any

from keraskit import system
from keraskit.start import tf

READY = 2  # batches that wait for the model
MOST = 8  # batches in the making: each takes memory


def prefetched(dataset: tf.data.Dataset, function: Callable[..., Any]) -> tf.data.Dataset:
    """Map a function over a dataset in parallel and in order, and prefetch.

    AutoGraph is off: there is nothing to convert, and reading the code takes half a second.
    """
    function = tf.autograph.experimental.do_not_convert(function)
    return untuned(dataset.map(function, num_parallel_calls=min(system.cores(), MOST)).prefetch(READY))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Switch tf.data's autotuning off.

    It looks at a pipeline after 10, 30, 70, 150 ms and so on, twice as long each time, and often an iterator that ends
    waits for its next look: an epoch of 6 s took up to 10.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def in_python(function: Callable[..., Any], given: list[Any], dtype: Any) -> Any:
    """Call a Python function of NumPy arrays within a pipeline."""
    close_at_exit()
    return tf.numpy_function(function, given, dtype, stateful=False)


@functools.cache
def close_at_exit() -> None:
    """Close all iterators before Python ends: their threads may wait for it, and it for them."""

    def close() -> None:
        for each in gc.get_objects():
            if type(each).__name__ == "OwnedIterator":
                vars(each).clear()

    atexit.register(close)
