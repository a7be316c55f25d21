"""Meeting: where the workers of a run find each other and compare notes, over plain sockets.

TensorFlow's own wait for its peers can be neither interrupted nor bounded, and does not say who is missing. So workers
meet here first; their connections stay for what they must agree on later.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from typing import Any

from keraskit.errors import RunStopped, UserError

HELLO = 5.0  # seconds that whoever connects has to say who it is
PAUSE = 0.2  # seconds between attempts to reach the chief
MOST = 1_000_000  # bytes of one message
KEEPALIVE = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}  # seconds, as far as the system has them
STRANGE = (OSError, ValueError, TypeError, KeyError, RecursionError)  # what reading another program's words may raise
SEE_LOG = "See that worker's own log; then start the same command with --resume on every machine."


class Meeting:
    """The connections between the chief, worker 0, which listens at its own address, and every other worker.

    Raises:
        UserError: the port is in use, or another worker has other addresses.
        RunStopped: somebody is missing after `wait` seconds; it says who.
    """

    def __init__(self, workers: tuple[str, ...], index: int, wait: float) -> None:
        self._workers, self._index = workers, index
        self._links: dict[int, _Link] = {}
        self._wait, self._until = wait, time.monotonic() + wait
        with _held(workers[index]) as server:  # which TensorFlow needs next
            if index:
                self._links[0] = self._reach_chief()
            else:
                self._receive(server)

    def gather(self, mine: Any) -> list[Any]:
        """What every worker says here, in their order, as JSON has it. Raises RunStopped where one has gone."""
        if self._index:
            with self._noticing(0) as chief:
                chief.send(mine)
                said = chief.receive()
            if isinstance(said, str):  # why all must stop
                raise RunStopped(said)
            return said
        said = [json.loads(json.dumps(mine))]
        for i in range(1, len(self._workers)):
            with self._noticing(i) as link:
                said.append(link.receive())
        for i in range(1, len(self._workers)):
            with self._noticing(i) as link:
                link.send(said)
        return said

    def leave(self) -> None:
        """End the meeting. The others stay until the chief goes: it would take their silence for a loss."""
        if self._index:
            with contextlib.suppress(OSError, ValueError):
                self._links[0].receive()
        for link in self._links.values():
            link.close()

    def _receive(self, server: socket.socket) -> None:
        """Wait for all others. Who does not say what a worker says is a stranger, and is left alone."""
        while missing := [i for i in range(1, len(self._workers)) if i not in self._links]:
            server.settimeout(max(0.001, self._until - time.monotonic()))
            try:
                link = _Link(server.accept()[0])
            except TimeoutError:
                raise self._stopped(*self._missing(missing)) from None
            try:
                hello = link.receive(HELLO)
                index, workers = int(hello["worker"]), list(hello["workers"])
                link.send({"workers": self._workers})
            except STRANGE:
                link.close()
                continue
            self._check(index, workers)
            self._links[index] = link  # perhaps for one that was started anew

    def _reach_chief(self) -> _Link:
        host, _, port = self._workers[0].rpartition(":")
        while (left := self._until - time.monotonic()) > 0:
            try:
                link = _Link(socket.create_connection((host.strip("[]"), int(port)), min(left, HELLO)))
                link.send({"worker": self._index, "workers": self._workers})
                workers = list(link.receive(max(left, HELLO))["workers"])
            except STRANGE:  # not there yet, no name yet, or another program
                time.sleep(min(left, PAUSE))
                continue
            self._check(0, workers)
            return link
        raise RunStopped(*self._missing([0]))

    def _check(self, index: int, workers: list[Any]) -> None:
        if workers != list(self._workers):
            theirs, ours = (",".join(map(str, each)) for each in (workers, self._workers))
            raise UserError(f"Worker {index} knows the workers as {theirs}, this one as {ours}.", "Name the same.")

    def _missing(self, indices: list[int]) -> tuple[str, str]:
        named = ", ".join(f"worker {i} ({self._workers[i]})" for i in indices)
        problem = f"After {self._wait:g} s worker {self._index} of {len(self._workers)} still waits for {named}."
        return problem, "Start it, or see its own log; --wait SECONDS waits longer."

    @contextlib.contextmanager
    def _noticing(self, index: int) -> Iterator[_Link]:
        try:
            yield self._links[index]
        except (OSError, ValueError) as error:
            problem = f"Worker {index} was lost, so worker {self._index} of {len(self._workers)} stopped."
            raise self._stopped(problem, SEE_LOG) from error

    def _stopped(self, problem: str, advice: str) -> RunStopped:
        """Tell the others why all must stop."""
        stopped = RunStopped(problem, advice)
        if not self._index:
            for link in self._links.values():
                with contextlib.suppress(OSError):
                    link.send(str(stopped))
        return stopped


class _Link:
    """One connection: JSON, a line each."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in KEEPALIVE.items():
            if hasattr(socket, name):
                connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
        self._socket, self._lines = connected, connected.makefile("rb")

    def send(self, message: Any) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def receive(self, timeout: float | None = None) -> Any:
        self._socket.settimeout(timeout)
        line = self._lines.readline(MOST)
        if not line.endswith(b"\n"):
            raise ConnectionError("the connection was closed")
        self._socket.settimeout(None)
        return json.loads(line)

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


@contextlib.contextmanager
def _held(address: str) -> Iterator[socket.socket]:
    """This worker's own port, so that nobody else takes it."""
    port = int(address.rpartition(":")[2])
    six = socket.has_dualstack_ipv6()
    try:
        server = socket.create_server(("", port), family=socket.AF_INET6 if six else socket.AF_INET, dualstack_ipv6=six)
    except OSError as error:
        problem = f"This worker's port {port} cannot be used: {os.strerror(error.errno or 0)}."
        raise UserError(problem, "Name another one, for all workers alike.") from error
    with server:
        yield server
