"""Makes batches ahead of the model that takes them, several at a time, and ends that well where something fails."""

from __future__ import annotations

import copy
import os
import re
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from traceback import clear_frames
from typing import Any

from keraskit import system
from keraskit.errors import RunStopped
from keraskit.start import tf

READY = 2  # batches that wait for the model
MOST = 8  # batches in the making: each takes memory
_stopping: list[bool] = []  # the blocks of `stopping` that are open
_opened: list[weakref.ref[Any]] = []  # the iterators that were opened in them
_stderr: list[int] = []  # the real one, while it is held back
_holding = threading.Lock()


def ahead(dataset: tf.data.Dataset, make: Callable[..., Any]) -> tf.data.Dataset:
    """What `make` makes of each element, in the dataset's order, several at a time.

    AutoGraph is off: there is nothing to convert, and reading the code takes half a second.
    """
    made = dataset.map(tf.autograph.experimental.do_not_convert(make), num_parallel_calls=min(system.cores(), MOST))
    made = untuned(made.prefetch(READY))
    return opened_by(made, lambda: _noted(iter(made)))


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The dataset with tf.data's autotuning off: its numbers are ours.

    It looks at a pipeline after 10, 30, 70, 150 ms and so on, twice as long each time, and often an iterator that ends
    waits for its next look: an epoch of 6 s took up to 10.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def opened_by(dataset: tf.data.Dataset, opened: Callable[[], Iterator[Any]], **methods: Any) -> tf.data.Dataset:
    """The dataset, but Python's `iter` of it is what `opened` returns; other methods may be replaced as well."""
    made = copy.copy(dataset)
    made.__class__ = type("Opened", (type(dataset),), {"__iter__": lambda _: opened(), **methods})
    return made


def in_python(function: Callable[..., Any], given: list[Any], kind: Any) -> Any:
    """What a function of Python's makes of tensors, as a part of a pipeline; it may raise RunStopped.

    TensorFlow prints the traceback of every exception but StopIteration, once for each thread that meets one.
    """

    def call(*arrays: Any) -> Any:
        try:
            return function(*arrays)
        except RunStopped as stopped:
            _hold_stderr()
            raise StopIteration(f"{RunStopped.__name__}: {stopped}") from None

    return tf.numpy_function(call, given, kind, stateful=False)


def close(iterator: weakref.ref[Any]) -> None:
    """Have an iterator, if it is still there, let go of its threads."""
    if (found := iterator()) is not None:
        vars(found).clear()


def _noted(iterator: Any) -> Any:
    if _stopping:
        _opened[:] = [each for each in _opened if each() is not None]
        _opened.append(weakref.ref(iterator))
    return iterator


@contextmanager
def stopping() -> Iterator[None]:
    """Raise the RunStopped that Python's part of a pipeline has raised: TensorFlow hands on no more than its text.

    And a traceback to stderr, which is held back from the exception to here, and with KERASKIT_DEBUG is not. Whatever
    went wrong, batches in the making are waited for: they may need Python, which may end now.
    """
    _stopping.append(True)
    try:
        yield
    except BaseException as error:
        said = str(error) if isinstance(error, tf.errors.OpError) else ""
        found = re.search(rf"{RunStopped.__name__}: (.+)", said)
        if found:
            clear_frames(error.__traceback__)  # which hold what iterators hold
        for each in _opened:
            close(each)
        if found:
            raise RunStopped(found[1]) from error
        raise
    finally:
        _stopping.pop()
        if not _stopping:
            _opened.clear()
        if _stderr:
            os.dup2(_stderr[0], 2)
            os.close(_stderr.pop())


def _hold_stderr() -> None:
    with _holding:
        if _stopping and not _stderr and not os.environ.get("KERASKIT_DEBUG"):
            with suppress(OSError), Path(os.devnull).open("w") as nowhere:
                _stderr.append(os.dup(2))
                os.dup2(nowhere.fileno(), 2)
