"""Workers that meet: all are heard, who is missing or leaves is named on all, strangers are left alone."""

import contextlib
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from keraskit import signals
from keraskit.distributed import meeting
from keraskit.distributed.launch import free_ports
from keraskit.distributed.meeting import Meeting
from keraskit.errors import RunStopped, UserError

PATIENT = 60  # seconds


def addresses(count):
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


def each(call, indices):
    """What a call gives for each worker, or the error that it raises, side by side in threads."""

    def caught(index):
        try:
            return call(index)
        except Exception as error:
            return error

    with ThreadPoolExecutor(len(indices)) as pool:
        return list(pool.map(caught, indices, timeout=PATIENT))


def test_all_are_heard_in_order_and_strangers_are_left_alone(monkeypatch):
    monkeypatch.setattr(meeting, "HELLO", 0.3)
    workers = addresses(3)
    port = int(workers[0].rpartition(":")[2])
    ended = []

    def worker(index):
        if index == 3:  # no worker: one says nothing, the others no sense
            for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"[" * 99_999 + b"\n", b'{"worker": 2}\n'):
                while True:
                    with contextlib.suppress(OSError):
                        stranger = socket.create_connection(("127.0.0.1", port))
                        break
                with stranger:
                    stranger.sendall(said)
                    time.sleep(0.4 if not said else 0)
            return None
        if index:  # the strangers were here first
            time.sleep(1)
        met = Meeting(workers, index, PATIENT)
        heard = [met.gather({"mine": (index, round_)}) for round_ in range(2)]
        if not index:
            time.sleep(0.3)  # it evaluates
            ended.append(index)
        met.leave()
        ended.append(index)
        return heard

    first, *others, _ = each(worker, range(4))
    assert first == [[{"mine": [index, round_]} for index in range(3)] for round_ in range(2)]
    assert others == [first, first]
    assert ended[0] == 0  # nobody went before the chief had done its work
    with socket.create_server(("", port)):  # TensorFlow listens there next
        pass


def test_who_is_missing_is_named_on_every_worker_that_came():
    workers = addresses(3)
    errors = each(lambda index: Meeting(workers, index, 1).gather(0), [0, 1])
    for error in errors:
        assert isinstance(error, RunStopped) and "\n" not in str(error)
        assert f"After 1 s worker 0 of 3 still waits for worker 2 ({workers[2]}). Start it" in str(error)
    (error,) = each(lambda index: Meeting(workers, index, 1), [2])
    assert f"still waits for worker 0 ({workers[0]})" in str(error) and "--wait SECONDS" in str(error)


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_worker_that_waits_can_be_interrupted(index, number, code):
    threading.Timer(0.5, lambda: os.kill(os.getpid(), number)).start()
    with signals.sent_to(signals.stop), pytest.raises(signals.Stopped) as stopped:
        Meeting(addresses(2), index, PATIENT)
    assert stopped.value.code == code


def test_a_port_in_use_is_one_line():
    workers = addresses(2)
    for index in (0, 1):
        port = int(workers[index].rpartition(":")[2])
        with (
            socket.create_server(("", port)),
            pytest.raises(UserError, match=rf"port {port} cannot be used: Address") as e,
        ):
            Meeting(workers, index, PATIENT)
        assert e.value.code == 2


def test_workers_with_other_addresses_say_so_on_both():
    workers = addresses(3)
    errors = each(lambda index: Meeting(workers if index else workers[:2], index, PATIENT), [0, 1])
    for error, theirs in zip(errors, (1, 0), strict=True):
        assert isinstance(error, UserError) and f"Worker {theirs} knows the workers as" in str(error)


def test_a_worker_that_goes_is_named_on_the_others():
    workers = addresses(3)

    def worker(index):
        met = Meeting(workers, index, PATIENT)
        met.gather(0)
        if index == 2:
            met._links[0].close()  # as the system does when a process ends
            return None
        return met.gather(1)

    errors = each(worker, range(3))
    for error in errors[:2]:
        assert isinstance(error, RunStopped) and "Worker 2 was lost, so worker 0 of 3 stopped" in str(error)
