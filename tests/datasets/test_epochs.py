"""What an epoch sees depends on the seed and the epoch alone, and each example is seen once."""

import dataclasses
import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from keraskit.augment import Augmentation
from keraskit.datasets.epochs import ShuffledEpochs
from keraskit.datasets.splits import Split
from keraskit.errors import UserError
from keraskit.training.callbacks import SetEpoch


def numbers(size):
    """A split whose inputs are the indices themselves."""
    pictures = lambda i: np.zeros((len(i), 2, 2), np.uint8)  # noqa: E731
    return Split(size, lambda i: (i, i % 3), np.arange(size) % 3, pictures)


def epoch(shuffled, number):
    """The examples of one epoch, in order."""
    shuffled.begin(number)
    return np.concatenate([x.numpy() for x, _ in shuffled.dataset])


@pytest.mark.parametrize(("size", "batch"), [(100, 10), (103, 10), (7, 10), (1, 1)])
def test_an_epoch_is_a_permutation(size, batch):
    shuffled = ShuffledEpochs(numbers(size), batch, seed=3)
    assert sorted(epoch(shuffled, 5)) == list(range(size))
    assert shuffled.dataset.cardinality() == shuffled.steps == -(-size // batch)


def test_order_depends_on_seed_and_epoch_alone():
    first, again, other = (ShuffledEpochs(numbers(500), 32, seed) for seed in (1, 1, 2))
    zero, one = epoch(first, 0), epoch(first, 1)
    assert (epoch(again, 1) == one).all()  # without having seen epoch 0
    assert (epoch(first, 0) == zero).all()
    assert (zero != one).mean() > 0.9
    assert (epoch(other, 0) != zero).mean() > 0.9


def test_orders_of_two_epochs_are_independent():
    shuffled = ShuffledEpochs(numbers(5_000), 500, seed=0)
    correlation = np.corrcoef(np.argsort(epoch(shuffled, 0)), np.argsort(epoch(shuffled, 1)))[0, 1]
    assert abs(correlation) < 0.06  # 4 standard deviations of 1/sqrt(5000)


def test_steps_bound_the_epoch():
    shuffled = ShuffledEpochs(numbers(100), 10, seed=0, steps=3)
    assert len(epoch(shuffled, 0)) == 30


def test_more_steps_than_a_pass_has_see_every_example_as_often_and_in_another_order():
    seen = epoch(ShuffledEpochs(numbers(60), 20, seed=0, steps=9), 0)  # three passes
    first, second, third = seen.reshape(3, 60)
    assert sorted(first) == sorted(second) == sorted(third) == list(range(60))
    assert (first == epoch(ShuffledEpochs(numbers(60), 20, seed=0), 0)).all()
    assert (first != second).any() and (second != third).any()
    assert len(epoch(ShuffledEpochs(numbers(7), 4, seed=0, steps=3), 1)) == 12


def test_inputs_and_targets_stay_together():
    for x, y in ShuffledEpochs(numbers(50), 8, seed=0).dataset:
        assert (y.numpy() == x.numpy() % 3).all()


def test_in_order_keeps_the_stored_order_and_take_picks():
    split = numbers(20)
    assert [int(i) for x, _ in split.in_order(8) for i in x] == list(range(20))
    assert split.take(np.array([3, 1]))[0].tolist() == [3, 1]
    assert len(split.labels) == 20


def test_an_empty_split_is_refused():
    with pytest.raises(UserError, match="empty"):
        ShuffledEpochs(numbers(0), 4, seed=0)


class Recorder(keras.Model):
    """Trains nothing; remembers every batch that it is given."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def train_step(self, data):
        self.seen += data[0].numpy().tolist()
        return {"loss": tf.constant(0.0)}


@pytest.mark.parametrize("steps", [None, 3, 9])
def test_fit_sees_the_order_of_each_epoch_and_opens_it_once(steps, monkeypatch):
    shuffled = ShuffledEpochs(numbers(61), 20, seed=0, steps=steps)
    expected = [ShuffledEpochs(numbers(61), 20, seed=0, steps=steps).examples(e, 0, 99).tolist() for e in range(5)]
    opened, plain = [], type(shuffled._batches).__iter__
    monkeypatch.setattr(type(shuffled._batches), "__iter__", lambda self: opened.append(self) or plain(self))
    model = Recorder()
    model.compile(run_eagerly=True)
    for first, last in ((2, 5), (0, 2), (1, 2)):  # each `fit` begins where it is told
        model.seen.clear()
        opened.clear()
        model.fit(shuffled.dataset, initial_epoch=first, epochs=last, callbacks=[SetEpoch(shuffled)], verbose=0)
        assert model.seen == list(itertools.chain(*expected[first:last]))
        assert len(opened) == last - first


def test_it_trains_with_steps_per_execution_that_do_not_divide_the_epoch():
    seen = []
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse", steps_per_execution=4)
    load = lambda i: (tf.cast(i[:, None], tf.float32), tf.cast(i % 3, tf.float32))  # noqa: E731
    split = dataclasses.replace(numbers(100), load=load)
    shuffled = ShuffledEpochs(split, 10, seed=0)
    count = keras.callbacks.LambdaCallback(on_epoch_end=lambda e, logs: seen.append(int(model.optimizer.iterations)))
    model.fit(shuffled.dataset, epochs=2, verbose=0, shuffle=False, callbacks=[count])
    assert seen == [10, 20]


def test_nothing_is_tuned_by_tf_data_whose_thread_an_ending_iterator_waits_for():
    split, pictures = numbers(40), np.zeros((8, 4, 4, 1), np.uint8)
    datasets = [ShuffledEpochs(split, 8, seed=0).dataset, split.in_order(8), Augmentation().flow(pictures)]
    assert [dataset.options().autotune.enabled for dataset in datasets] == [False] * 3
