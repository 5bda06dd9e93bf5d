"""A TCP proxy that makes a network misbehave: it cuts, stalls, delays and refuses."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

_PIECE = 65536


class Cut(Enum):
    """When a connection breaks, as seen from what a client sends."""

    BEFORE = auto()  # the server never gets it
    AFTER = auto()  # the server gets it; whether it still acts on it is open
    ANSWERED = auto()  # the server has acted on it, and the client does not learn it


class Proxy:
    """Forwards connections to `port` of this machine, from `Proxy.port`; each direction has its thread."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._flowing = threading.Event()
        self._flowing.set()
        self._pause = 0.0
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._ambush: tuple[bytes, Cut] | None = None
        self._unanswered: set[socket.socket] = set()
        self.accepted = 0
        self.port = 0
        self._listen()

    def cut(self) -> None:
        """Break all connections; new ones are taken."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for each in sockets:
            _close(each)

    def cut_at(self, sent: bytes, moment: Cut) -> None:
        """Break all connections, once, when a client sends a piece that holds `sent`."""
        self._ambush = (sent, moment)

    def stall(self) -> None:
        """Pass nothing on, and keep the connections open."""
        self._flowing.clear()

    def delay(self, seconds: float) -> None:
        """Hold every piece of data for so long before it is passed on."""
        self._pause = seconds

    def refuse(self) -> None:
        """Refuse new connections; those that are there go on."""
        _close(self._listener)
        self._acceptor.join()

    def heal(self) -> None:
        """Behave again, on the same port."""
        self._pause = 0.0
        self._flowing.set()
        if not self._acceptor.is_alive():
            self._listen()

    def close(self) -> None:
        """End; all threads return."""
        self.refuse()
        self.cut()
        self._flowing.set()

    def _listen(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self.port = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, args=(self._listener,), daemon=True)
        self._acceptor.start()

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                _close(client)
                continue
            with self._lock:
                self.accepted += 1
                self._sockets |= {client, server}
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink, source is client), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, is_from_client: bool) -> None:
        with suppress(OSError):  # the other thread, or cut(), has closed it
            while piece := source.recv(_PIECE):
                time.sleep(self._pause)
                self._flowing.wait()
                if is_from_client and self._ambush and self._ambush[0] in piece:
                    self._spring(self._ambush[1], piece, sink)
                elif source in self._unanswered:
                    self.cut()
                else:
                    sink.sendall(piece)
        with self._lock:
            self._sockets -= {source, sink}
        _close(source)
        _close(sink)

    def _spring(self, moment: Cut, piece: bytes, server: socket.socket) -> None:
        self._ambush = None
        if moment is Cut.ANSWERED:
            self._unanswered.add(server)
        if moment is not Cut.BEFORE:
            server.sendall(piece)
        if moment is not Cut.ANSWERED:
            self.cut()


@contextmanager
def proxy_to(port: int) -> Iterator[Proxy]:
    """A proxy for the time of the block."""
    proxy = Proxy(port)
    try:
        yield proxy
    finally:
        proxy.close()


def _close(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in recv or accept
    each.close()
