"""What an epoch sees depends on the seed and the epoch alone, and each example is seen once."""

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from keraskit.datasets.splits import ShuffledEpochs, Split
from keraskit.training.fit import train_function


def numbers(size):
    return Split(size, lambda i: (i, i % 3), np.arange(size) % 3)


def epoch(shuffled, number):
    return np.concatenate([x.numpy() for x, _ in shuffled.batches(number, end=number + 1)])


@pytest.mark.parametrize(("size", "batch"), [(100, 10), (103, 10), (7, 10), (1, 1)])
def test_an_epoch_is_a_permutation(size, batch):
    shuffled = ShuffledEpochs(numbers(size), batch, seed=3)
    assert sorted(epoch(shuffled, 5)) == list(range(size))
    assert shuffled.steps == -(-size // batch) == len(list(shuffled.batches(5, end=6)))


@pytest.mark.parametrize("steps", [None, 3, 9])
def test_batches_from_any_step_on_are_those_of_an_unbroken_training(steps):
    shuffled = ShuffledEpochs(numbers(61), 20, seed=0, steps=steps)
    whole = [x.numpy().tolist() for x, _ in shuffled.batches(end=3)]
    assert len(whole) == 3 * shuffled.steps
    for number, step in ((0, 1), (1, 0), (1, 2), (2, shuffled.steps - 1)):
        rest = [x.numpy().tolist() for x, _ in shuffled.batches(number, step, end=3)]
        assert rest == whole[number * shuffled.steps + step :]


def test_more_steps_than_a_pass_has_see_every_example_as_often_and_in_another_order():
    assert len(epoch(ShuffledEpochs(numbers(100), 10, seed=0, steps=3), 0)) == 30
    seen = epoch(ShuffledEpochs(numbers(60), 20, seed=0, steps=9), 0)  # three passes
    first, second, third = seen.reshape(3, 60)
    assert sorted(first) == sorted(second) == sorted(third) == list(range(60))
    assert (first == epoch(ShuffledEpochs(numbers(60), 20, seed=0), 0)).all()
    assert (first != second).any() and (second != third).any()


class Recorder(keras.Model):
    def __init__(self):
        super().__init__()
        self.seen = tf.Variable(tf.zeros((0,), tf.int64), shape=(None,), trainable=False)

    def train_step(self, data):
        self.seen.assign(tf.concat([self.seen, data[0]], 0))
        return {"loss": tf.constant(0.0)}


@pytest.mark.parametrize("at_once", [1, 2, 4, 7])
def test_fit_sees_each_epoch_whole_whatever_is_executed_at_once_and_skips_what_was_done(at_once):
    shuffled = ShuffledEpochs(numbers(61), 10, seed=0)  # 7 steps
    model = Recorder()
    model.compile(steps_per_execution=at_once)
    with mock.patch.object(model, "train_function", train_function(model, shuffled.steps, 4)):
        batches = shuffled.batches(1, 4, end=4)
        model.fit(batches, steps_per_epoch=shuffled.steps, initial_epoch=1, epochs=4, verbose=0)
    expected = [epoch(shuffled, 1)[40:], epoch(shuffled, 2), epoch(shuffled, 3)]
    assert model.seen.numpy().tolist() == np.concatenate(expected).tolist()
