"""Turns signals into a request to stop."""

from __future__ import annotations

import os
import signal
import socket
import threading

from cdc_merge.stopping import Stop

_KILL_AFTER_SECONDS = 9  # told to stop, we are gone before the ten seconds that orchestrators allow are over


def stop_on_signals(stop: Stop, *, exit_code: int = 0) -> None:
    """On SIGTERM or SIGINT, request the stop; when that does not end the process in time, end it with that code.

    Python runs handlers in the main thread and between its steps only: never while a driver waits for the server.
    So they do nothing, and the byte that each signal writes at once wakes a thread.
    https://docs.python.org/3/library/signal.html#signal.set_wakeup_fd
    """
    bell, button = socket.socketpair()
    button.setblocking(False)
    signal.set_wakeup_fd(button.fileno(), warn_on_full_buffer=False)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)

    def listen() -> None:
        with bell, button:
            bell.recv(1)
            # Whatever hangs by then is cut off; an open transaction rolls back with its connection.
            killer = threading.Timer(_KILL_AFTER_SECONDS, os._exit, (exit_code,))
            killer.daemon = True
            killer.start()
            stop.request()
            while bell.recv(64):  # the first signal was enough
                pass

    threading.Thread(target=listen, name="signals", daemon=True).start()
