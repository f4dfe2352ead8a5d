"""A Barid under test: one process, or one process per role."""

import json
import os
import signal
import socket
import subprocess
import time

from children import Failed, kill, start, tail, wait_until

START_SECONDS = 20
DRAIN_SECONDS = 30
MOST_LISTED = 1000
# By default a producer is asked after 6 s, and again after 30 s; and who is not heard of for 120 s is gone.
BROKER = ["--broker.transaction-first-check=3s", "--broker.transaction-check-interval=5s", "--broker.client-silence=35s"]
# A client may read so few lite topics that the scenario `lite` wants one more.
LITE_QUOTA = ["--proxy.max-lite-subscriptions=3"]
# Groups for one member are made when they are first used: the default of standalone only.
PROXY = ["--auto-create.member-prefix=%MEMBER%", *LITE_QUOTA]

# The ports of each role, by the names they have in the ports file; the first is the one that others come for.
PORTS = {
    "standalone": ("public", "admin", "metrics"),
    "controller": ("controller", "admin", "metrics"),
    "broker": ("broker", "admin", "metrics"),
    "proxy": ("public", "admin", "metrics"),
}


class Process:
    """One role. It keeps its ports over a kill, as a real deployment would."""

    def __init__(self, barid, role, name, directory, arguments=()):
        self.role = role
        self.name = name
        self.ports = {}
        self._command = [barid, role, "--data-dir", directory / name, *arguments]
        self._data = directory / name
        self._log = directory / f"{name}.log"
        self._child = None

    def start(self):
        self._data.mkdir(parents=True, exist_ok=True)
        ports_file = self._data / "ports"
        ports_file.unlink(missing_ok=True)  # The one of the process before this one would say too much.
        listen = [word for port in PORTS[self.role]
                  for word in (f"--{port}.listen", self.ports.get(port, "127.0.0.1:0"))]
        # setpriv: not even a killed driver leaves a server behind.
        with open(self._log, "ab") as log:
            self._child = start(["setpriv", "--pdeathsig", "KILL", *self._command, *listen],
                                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.ports = wait_until(lambda: self._read_ports(ports_file), time.monotonic() + START_SECONDS,
                                f"{self.name} has written {ports_file}; its log ends with\n{tail(self._log)}")

    def _read_ports(self, ports_file):
        if self._child.poll() is not None:
            raise Failed(f"{self.name} ended with {self._child.returncode} at start; its log ends with\n{tail(self._log)}")
        if not ports_file.exists():
            return None
        ports = dict(line.split("=", 1) for line in ports_file.read_text().splitlines() if "=" in line)
        return ports if all(port in ports for port in PORTS[self.role]) else None

    @property
    def endpoint(self):
        return self.ports[PORTS[self.role][0]]

    def kill_and_restart(self, closed_seconds, while_down=lambda: None):
        """kill -9 and start again at the same ports. Returns when the port opened and how long it was closed."""
        kill(self._child)
        while_down()
        killed = time.monotonic()
        time.sleep(closed_seconds)  # The length of the outage, not a wait for anything.
        self.start()
        host, port = self.endpoint.rsplit(":", 1)
        wait_until(lambda: _accepts(host, int(port)), killed + START_SECONDS, f"{self.name} accepts at {self.endpoint}")
        opened = time.monotonic()
        return opened, opened - killed

    def ask_to_end(self):
        os.kill(self._child.pid, signal.SIGTERM)

    def wait_for_end(self):
        try:
            status = self._child.wait(DRAIN_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failed(f"{self.name} did not end within {DRAIN_SECONDS} s of SIGTERM") from None
        if status != 0:
            raise Failed(f"{self.name} ended with {status} after SIGTERM, not 0; its log ends with\n{tail(self._log)}")


def _accepts(host, port):
    try:
        socket.create_connection((host, port), timeout=1).close()
        return True
    except OSError:
        return False


class Server:
    """All processes of a shape, started. Producers use one proxy and consumers another where there are two."""

    def __init__(self, shape, barid, baridctl, directory, arguments=(), broker=(), door=()):
        """`broker` and `door` are more arguments for those that store and those that clients come to."""
        self._baridctl = baridctl
        if shape == "standalone":
            # Off, as in a cluster: what is not there is refused, and the scenarios check how.
            arguments = ["--auto-create.topics=false", *BROKER, *LITE_QUOTA, *broker, *door, *arguments]
            self.processes = [Process(barid, "standalone", "standalone", directory, arguments)]
        else:
            # Two shards a broker: enough to be several, few enough for a simple consumer to get round them in seconds.
            controller = Process(barid, "controller", "controller", directory,
                                 ["--controller.shards-per-broker=2", *arguments])
            controller.start()
            reach = ["--controller.endpoints", controller.endpoint, *arguments]
            self.processes = [controller] + [
                Process(barid, role, name, directory, [*reach, *more])
                for role, name, more in (("broker", "b1", ["--broker.id", "b1", *BROKER, *broker]),
                                         ("broker", "b2", ["--broker.id", "b2", *BROKER, *broker]),
                                         ("proxy", "p1", [*PROXY, *door]), ("proxy", "p2", [*PROXY, *door]))]
        for process in self.processes:
            if not process.ports:
                process.start()
        doors = [process for process in self.processes if process.role in ("standalone", "proxy")]
        self.endpoint = doors[0].endpoint
        self.consumer_endpoint = doors[-1].endpoint
        self._door_ports = {int(door.endpoint.rsplit(":", 1)[1]) for door in doors}
        # standalone makes itself a certificate; clients whose default is TLS use it.
        self.tls = shape == "standalone"
        # Which of them serves baridctl is the server's choice; the first that answers is kept.
        self._admin_endpoints = [process.ports[port] for port in ("public", "admin", "controller")
                                 for process in self.processes if port in process.ports]

    def connections(self):
        """The connections that clients have just now: pairs of the door's port and theirs."""
        with open("/proc/net/tcp", encoding="ascii") as table:
            rows = [line.split() for line in table][1:]
        pairs = ((int(local.split(":")[1], 16), int(remote.split(":")[1], 16)) for _, local, remote, state, *_ in rows if state == "01")
        return {pair for pair in pairs if pair[0] in self._door_ports}

    def victim(self, round_number):
        """Whom to kill: each process in turn."""
        brokers_and_proxies_first = self.processes[1:] + self.processes[:1]
        return brokers_and_proxies_first[round_number % len(self.processes)]

    def create_topic(self, name, kind="normal"):
        # A LITE topic has no queues of its own, and a PRIORITY topic one for each priority.
        queues = () if kind in ("lite", "priority") else ("--queues", 4)
        self._baridctl_until_it_works("topic", "create", name, "--type", kind, *queues)

    def create_group(self, name, max_attempts=16, backoff="1s,2s", order="none"):
        self._baridctl_until_it_works("group", "create", name, "--max-attempts", max_attempts, "--backoff", backoff,
                                      "--order", order)

    def stored(self, topic):
        """What the topic's queues hold, acknowledged or not, in the order in which it came there."""
        answer = self._baridctl_until_it_works("message", "list", topic, "--max", MOST_LISTED, "--output", "json")
        try:
            messages = json.loads(answer)
        except ValueError:  # It has more to say: a broker that did not answer, say.
            raise Failed(f"the messages of {topic} cannot be listed: {answer}") from None
        if len(messages) == MOST_LISTED:
            raise Failed(f"{topic} holds {MOST_LISTED} messages or more, fewer were expected")
        return messages

    def owed(self, group):
        """How many messages the group has not settled, of all its topics."""
        described = json.loads(self._baridctl_until_it_works("group", "describe", group, "--output", "json"))
        return sum(count["ready"] + count["in_flight"] + count["blocked"] for count in described["counts"])

    def _baridctl_until_it_works(self, *words):
        """Returns what it printed."""
        # Brokers may still be registering with the controller.
        deadline = time.monotonic() + START_SECONDS
        while True:
            answers = []
            for endpoint in self._admin_endpoints:
                command = [str(word) for word in (self._baridctl, "--endpoint", endpoint, *words)]
                try:
                    done = subprocess.run(command, capture_output=True, text=True, timeout=START_SECONDS)
                    answer = (done.stdout + done.stderr).strip()
                    status = done.returncode
                except subprocess.TimeoutExpired:
                    status, answer = "a timeout", ""
                # An earlier try may have worked although its answer got lost.
                if status == 0 or "already exists" in answer.lower():
                    self._admin_endpoints = [endpoint]
                    return answer
                answers.append(f"    {' '.join(command)}: {status}, {answer}")
            if time.monotonic() > deadline:
                raise Failed("baridctl did not work at any endpoint:\n" + "\n".join(answers))
            time.sleep(0.2)

    def stop(self):
        """Drains the doors first, so that nobody complains of a missing neighbour."""
        for process in reversed(self.processes):
            process.ask_to_end()
            process.wait_for_end()
