"""The client programs: how each is run, and what it printed so far."""

import json
import os
import subprocess
import threading
import time

from children import kill, start, tail

CLIENTS = ("python", "node", "java", "go", "rust")


def command(client, install, home):
    base = install / client
    if client == "python":
        return [base / "venv/bin/python", base / "conformance.py"]
    if client == "node":
        return ["node", base / "conformance.mjs"]
    if client == "java":
        # The JVM takes the home directory from the password file, not from HOME. The rest makes it start sooner.
        return ["java", f"-Duser.home={home}", f"-Drocketmq.log.root={home}/logs", "-Drocketmq.log.level=warn",
                "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                "-cp", f"{base}/target/classes:{base}/lib/*", "Conformance"]
    return [base / "conformance"] if client == "go" else [base / "target/debug/conformance"]


class Program:
    """One run of one scenario. Events are dictionaries as printed, and `at`: when they were read.

    `part` tells the programs of a scenario with several of them apart.
    """

    def __init__(self, client, scenario, options, server, install, directory, on_event=lambda event: None, part=""):
        self.client = client
        options = {"endpoint": server.endpoint, "consumer-endpoint": server.consumer_endpoint, **options}
        self._on_event = on_event
        self._events = []
        self._changed = threading.Condition()
        name = f"{client}-{scenario}{'-' * bool(part)}{part}"
        home = directory / "home" / name
        home.mkdir(parents=True, exist_ok=True)
        self.log = directory / f"{name}.log"
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        # The clients write log files under HOME; Java takes arguments for ASCII unless told otherwise.
        environment = {**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1",
                       "CONFORMANCE_TLS": "on" if server.tls else "off"}
        with open(self.log, "wb") as log:
            # An open stdin is what keeps the program running: it ends with its driver.
            self._child = start([*command(client, install, home), scenario, *arguments], stdin=subprocess.PIPE,
                                stdout=subprocess.PIPE, stderr=log, env=environment)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with open(self.log.with_suffix(".events"), "w", encoding="utf-8") as copy:
            for line in self._child.stdout:
                copy.write(line.decode(errors="replace"))
                try:
                    event = json.loads(line)
                except ValueError:
                    continue  # Something that the client prints by itself.
                event["at"] = time.monotonic()
                self._on_event(event)
                with self._changed:
                    self._events.append(event)
                    self._changed.notify_all()

    def events(self, *names):
        with self._changed:
            return [event for event in self._events if not names or event["event"] in names]

    def running(self):
        return self._child.poll() is None

    def wait(self, seconds):
        """Waits for its end and returns what went wrong, or None."""
        try:
            status = self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            kill(self._child)
            self._reader.join()
            return f"did not finish within {seconds} s"
        self._reader.join()
        errors = self.events("error")
        if errors:
            return f"{errors[0]['doing']}: {errors[0]['type']} {errors[0]['code'] or ''} {errors[0]['message']}"
        if status != 0:
            return f"ended with {status}; its log ends with\n{tail(self.log)}"
        return None

    def stop_sending(self):
        self._child.stdin.write(b"stop\n")
        self._child.stdin.flush()

    def kill(self):
        kill(self._child)
        self._reader.join()
