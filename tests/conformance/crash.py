"""kill -9 under load: all five clients send and consume, a process dies and comes back, and nothing is lost.

What is asked of the server: every acknowledged send is delivered to every group, and each client sends and receives
again by itself within RECOVERY_SECONDS of the port's opening, after a downtime of at most DOWNTIME_SECONDS.
"""

import threading
import time

from children import Failed, TimedOut, wait_until
from programs import CLIENTS, Program
from scenarios import shorten

DOWNTIME_SECONDS = 10  # 4 of them are meant; five clients wait for the same two cores.
# By turns: back at once, and away for so long that every client has noticed and waits longer between its tries.
CLOSED_SECONDS = (0, 4)
RECOVERY_SECONDS = 30
STEADY_SECONDS = 60  # From the start of five clients on two busy cores until all of them send and receive.
SENDS_BETWEEN_KILLS = 50
# A delivery whose answer the crash swallowed stays invisible for the 60 s of a push consumer's delivery.
DRAIN_SECONDS = 150

INVISIBLE_SECONDS = 10


class Traffic:
    """What one client sent and received, and when each was read."""

    def __init__(self, client, server, install, directory):
        self.client = client
        self.ways = ("simple",) if client == "rust" else ("push", "simple")
        self._lock = threading.Lock()
        self._sent = {}
        self._received = {way: {} for way in self.ways}
        topic = f"loop-{client}"
        options = {"topic": topic, "group": f"{topic}-push", "simple-group": f"{topic}-simple", "run": client, "receivers": 4,
                   "await": 3, "invisible": INVISIBLE_SECONDS}
        server.create_topic(topic)
        server.create_group(options["group"])
        server.create_group(options["simple-group"])
        self.reads_lite = client != "rust"
        if self.reads_lite:
            options.update({"lite-topic": f"{topic}-lite", "lite-group": f"{topic}-lite"})
            server.create_topic(options["lite-topic"], kind="lite")
            server.create_group(options["lite-group"])
        self._lite_sent = {}
        self._lite_received = set()
        self.program = Program(client, "loop", options, server, install, directory, self._on_event)

    def _on_event(self, event):
        with self._lock:
            if event["event"] == "sent" and "lite" in event:
                self._lite_sent[event["body"]] = event["at"]
            elif event["event"] == "received" and event["via"] == "lite":
                self._lite_received.add(event["body"])
            elif event["event"] == "sent":
                self._sent[event["body"]] = event["at"]
            elif event["event"] == "received":
                self._received[event["via"]].setdefault(event["body"], event["at"])

    def recoveries(self, since):
        """How long after `since` it sent, and received by each way what was sent after `since`; None if not yet."""
        with self._lock:
            fresh = [body for body, at in self._sent.items() if at > since]
            times = {"sends": [self._sent[body] for body in fresh]}
            for way in self.ways:
                received = [self._received[way].get(body, since) for body in fresh]
                # Earlier: a send that was delivered before the crash and acknowledged, when repeated, after it.
                times[way] = [at for at in received if at > since]
        return {what: min(at) - since if at else None for what, at in times.items()}

    def flows(self, since):
        return None not in self.recoveries(since).values()

    def sends(self):
        with self._lock:
            return len(self._sent)

    def missing(self):
        with self._lock:
            return {way: self._sent.keys() - self._received[way].keys() for way in self.ways}

    def missing_lite(self):
        with self._lock:
            return self._lite_sent.keys() - self._lite_received

    def lite_sent_since(self, since):
        with self._lock:
            return sum(at > since for at in self._lite_sent.values())

    def check_running(self):
        errors = self.program.events("error")
        if errors or not self.program.running():
            raise Failed(f"{self.client} ended: {errors or 'no reason printed'}; see {self.program.log}")


def run(server, rounds, install, directory, check):
    started = time.monotonic()
    traffics = [Traffic(client, server, install, directory) for client in CLIENTS]

    def all_of(condition):
        for traffic in traffics:
            traffic.check_running()
        return all(condition(traffic) for traffic in traffics)

    def who_lacks(condition):
        return ", ".join(traffic.client for traffic in traffics if not condition(traffic))

    try:
        wait_until(lambda: all_of(lambda traffic: traffic.flows(started)), started + STEADY_SECONDS,
                   "all five clients send and receive")
    except TimedOut as failure:
        raise Failed(f"{failure}; not yet: {who_lacks(lambda traffic: traffic.flows(started))}") from None

    for number in range(rounds):
        victim = server.victim(number)
        opened, downtime = victim.kill_and_restart(CLOSED_SECONDS[number % len(CLOSED_SECONDS)])
        check(downtime <= DOWNTIME_SECONDS, f"round {number + 1}: {victim.name} killed, back after {downtime:.2f} s")
        try:
            wait_until(lambda: all_of(lambda traffic: traffic.flows(opened)), opened + RECOVERY_SECONDS, "")
        except TimedOut:
            pass  # Judged below, client by client.
        for traffic in traffics:
            times = traffic.recoveries(opened)
            check(all(seconds is not None and seconds <= RECOVERY_SECONDS for seconds in times.values()),
                  f"round {number + 1}: {traffic.client} again: " + ", ".join(
                      f"{what} {'not at all' if seconds is None else f'after {seconds:.1f} s'}"
                      for what, seconds in times.items()) + f" (at most {RECOVERY_SECONDS} s)")
        before = {traffic.client: traffic.sends() for traffic in traffics}
        wait_until(lambda: all_of(lambda traffic: traffic.sends() >= before[traffic.client] + SENDS_BETWEEN_KILLS),
                   time.monotonic() + STEADY_SECONDS, f"every client has sent {SENDS_BETWEEN_KILLS} more messages")

    for traffic in traffics:
        traffic.program.stop_sending()
    wait_until(lambda: all_of(lambda traffic: traffic.program.events("stopped")), time.monotonic() + RECOVERY_SECONDS,
               "all five clients have stopped sending")
    try:
        wait_until(lambda: all_of(lambda traffic: not any(traffic.missing().values()) and not traffic.missing_lite()),
                   time.monotonic() + DRAIN_SECONDS, "")
    except TimedOut:
        pass  # Judged below, client by client.
    for traffic in traffics:
        for way, missing in traffic.missing().items():
            check(not missing, f"{traffic.client}: {traffic.sends()} sends acknowledged, {len(missing)} not received by "
                  f"the {way} consumer" + (f": {shorten(missing)}" if missing else ""))
        if traffic.reads_lite:
            missing, fresh = traffic.missing_lite(), traffic.lite_sent_since(opened)
            check(fresh and not missing, f"{traffic.client}: its lite subscription went on: {len(missing)} acknowledged messages of its lite topic not "
                  f"received, {fresh} of them all were sent after the last restart" + (f": {shorten(missing)}" if missing else ""))
    for traffic in traffics:
        traffic.program.kill()
