"""Child processes that never outlive the driver, and waiting with a deadline."""

import os
import signal
import subprocess
import threading
import time

_started = []
_lock = threading.RLock()  # Signals are handled on a thread that may hold it.


class Failed(Exception):
    """What was found, what was expected; printed without a traceback."""


class TimedOut(Failed):
    """A wait_until() whose deadline passed."""


def start(argv, **popen_options):
    """Starts a process in a group of its own."""
    child = subprocess.Popen([str(word) for word in argv], start_new_session=True, **popen_options)
    with _lock:
        _started.append(child)
    return child


def kill(child):
    """Kills the whole group, with whatever the child started itself."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def kill_all():
    with _lock:
        children = list(_started)
    for child in children:
        kill(child)


def wait_until(condition, deadline, what):
    """Waits until condition() gives something true and returns it. deadline is on time.monotonic()."""
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise TimedOut(f"timed out waiting until {what}")
        time.sleep(0.02)


def tail(path, lines=15):
    try:
        text = path.read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return f"({path} does not exist)"
    return "\n".join(f"    | {line}" for line in text[-lines:])
