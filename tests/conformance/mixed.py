"""kill -9 every few seconds while three clients send and consume messages of every kind, side by side in the same groups.

Ledger collects what the programs print; judge() says what of it breaks a promise. The programs decide by a message's number
what happens to it (`returns_mixed`, `commits_mixed` and the tags there), and so does this file.
"""

import random
import shutil
import threading
import time
from collections import Counter, defaultdict

from children import Failed, TimedOut, wait_until
from programs import Program
from scenarios import MESSAGE_GROUPS, shorten

CLIENTS = ("python", "java", "go")
# Its Ack answers no error when the server's answer says one: of what it "acknowledged" nothing is known but that it tried.
ACKNOWLEDGES_BLINDLY = ("go",)
KINDS = ("normal", "fifo", "delay", "transaction", "priority", "retry")
# Which kind a group is given; the three last have a look of their own at messages of that kind.
KIND_OF = {**{kind: kind for kind in KINDS}, "tag": "normal", "sql": "normal", "dead": "retry"}

TAGS = "a || b"
SQL = "number >= 20 AND TAGS IN ('c', 'b')"
MAX_ATTEMPTS = 3
INVISIBLE_SECONDS = 10
RETURN_SECONDS = 1
# How much sooner than the clock says the end of an invisible time may be seen: leaders' clocks are steered by 1 %.
CLOCK_SECONDS = 0.2
PAUSE_SECONDS = 0.1

START_SECONDS = 60
STOP_SECONDS = 60
# Without anything new. What a crash swallowed comes again after the invisible time; a transaction is asked about after 3 s and
# then each 5 s (server.py); a simple consumer asks one shard after the other, the empty ones too.
DRAIN_SECONDS = 45


def number_of(body):
    return int(body.rsplit("-", 1)[1])


def message_group_of(body):
    _, client, number = body.split("-")
    return f"{client}-{int(number) % MESSAGE_GROUPS}"


def kind_of(body):
    return body.split("-", 1)[0]


def is_given(via, body):
    """Whether the group's filter takes it."""
    tag, number = "cab"[number_of(body) % 3], number_of(body)
    return {"tag": tag in "ab", "sql": number >= 20 and tag in "cb"}.get(via, True)


def commits(body):
    return number_of(body) % 2 == 0


def must_die(body):
    return number_of(body) % 5 == 0


class Delivery:
    def __init__(self, event):
        self.body, self.via = event["body"], event["via"]
        self.attempt, self.place = event["attempt"], event["place"]
        self.asked, self.wall, self.answer = event["asked"], event["wall"], event["answer"]
        self.how = None  # acked, ack-failed, returned or return-failed
        self.begun = None
        self.refused = False  # By the server, by a code: so it certainly was not settled by this.

    def settled_by(self, event, client):
        self.how, self.begun = event["event"], event["begun"]
        if self.how == "acked" and client in ACKNOWLEDGES_BLINDLY:
            self.how = "ack-failed"
        # INVALID_RECEIPT_HANDLE. Some clients have no code for it, only a text.
        self.refused = "40013" in f"{event.get('code')} {event.get('message')}" or "receipt" in str(event.get("message")).lower()

    @property
    def may_have_settled(self):
        return self.how == "acked" or self.how == "ack-failed" and not self.refused


class Ledger:
    """What all programs printed. Events may come from several threads."""

    def __init__(self):
        self._lock = threading.Lock()
        self.sent = {}       # By body, the message id.
        self.due = {}        # By body, in seconds since 1970.
        self.recalled = set()
        self.recall_tried = set()
        self.counts = Counter()
        self.deliveries = defaultdict(list)  # By (group, body), as they were read.

    def add(self, event, client="java"):
        with self._lock:
            name, body = event["event"], event.get("body")
            self.counts[name] += 1
            if name == "sent":
                self.sent[body] = event["id"]
            elif name == "scheduled":
                self.due[body] = event["due"]
            elif name == "recalled":
                self.recalled.add(body)
            elif name == "recall-failed":
                self.recall_tried.add(body)
            elif name == "received":
                self.deliveries[event["via"], body].append(Delivery(event))
            elif name in ("acked", "ack-failed", "returned", "return-failed"):
                # The newest with that attempt that nothing was done with: repeated answers carry the same one.
                for delivery in reversed(self.deliveries[event["via"], body]):
                    if delivery.attempt == event["attempt"] and delivery.how is None:
                        delivery.settled_by(event, client)
                        break

    def wanted(self):
        """The acknowledged (group, body) that must be delivered."""
        for body in self.sent:
            kind = kind_of(body)
            if kind == "transaction" and not commits(body) or body in self.recalled or body in self.recall_tried:
                continue
            for via, of in KIND_OF.items():
                if of == kind and is_given(via, body) and (via != "dead" or must_die(body)):
                    yield via, body

    def missing(self):
        with self._lock:
            return [pair for pair in self.wanted() if not self.deliveries.get(pair)]

    def unfinished(self):
        """How much is missing, or could not be settled by anyone yet."""
        with self._lock:
            missing = [pair for pair in self.wanted() if not self.deliveries.get(pair)]
            open_ones = [pair for pair, deliveries in self.deliveries.items()
                         if deliveries and not any(delivery.may_have_settled for delivery in deliveries)
                         and not (pair[0] == "retry" and self.deliveries.get(("dead", pair[1])))]
            return len(missing) + len(open_ones)


def redeliveries(deliveries, ordered):
    """(explained: Counter by cause, wrong: sentences) of one message in one group."""
    explained, wrong = Counter(), []
    deliveries = sorted(deliveries, key=lambda delivery: delivery.wall)
    for earlier, later in zip(deliveries, deliveries[1:]):
        what = f"{later.via}: {later.body}, attempt {later.attempt} after {earlier.attempt}"
        if later.attempt == earlier.attempt and ordered and later.wall < earlier.wall + INVISIBLE_SECONDS:
            explained["its receive was repeated with the same attempt id"] += 1
        elif later.attempt <= earlier.attempt:
            wrong.append(f"{what}: not counted up")
        elif later.via == "dead" and earlier.how is None:
            explained["left alone"] += 1
        elif earlier.how in ("returned", "return-failed") and later.wall >= earlier.begun + RETURN_SECONDS - CLOCK_SECONDS:
            explained["given back on purpose"] += 1
        elif later.wall < earlier.asked + INVISIBLE_SECONDS - CLOCK_SECONDS:
            wrong.append(f"{what}: {later.wall - earlier.wall:.1f} s later, while it was invisible")
        elif earlier.how == "ack-failed":
            explained["its acknowledgement failed, and its time passed"] += 1
        else:
            explained["its time passed before it was settled"] += 1
    for acked in (delivery for delivery in deliveries if delivery.how == "acked"):
        wrong += [f"{later.via}: {later.body}, attempt {later.attempt} although attempt {acked.attempt} was acknowledged"
                  for later in deliveries if later.attempt > acked.attempt]
    return explained, wrong


def order_breaks(ledger):
    """Deliveries of an ordered group that came before all earlier acknowledged messages of their message group were settled.

    The producer sends one message of a message group after the other, so their order is that of their numbers.
    """
    wrong = []
    groups = defaultdict(list)
    for body in ledger.sent:
        if kind_of(body) == "fifo":
            groups[message_group_of(body)].append(body)
    for bodies in groups.values():
        bodies.sort(key=number_of)
        for position, body in enumerate(bodies):
            for delivery in ledger.deliveries.get(("fifo", body), ()):
                # Each before it was settled by then; those further ahead too, or that one would have broken the order.
                for earlier in bodies[max(0, position - 8):position]:
                    before = ledger.deliveries.get(("fifo", earlier), ())
                    together = any(other.answer == delivery.answer and other.place < delivery.place for other in before)
                    settled = any(other.may_have_settled and other.begun <= delivery.wall for other in before)
                    if not together and not settled:
                        wrong.append(f"{body} before {earlier} was settled")
            # And nothing earlier comes again once a later one was given in an answer without it.
            for earlier in bodies[max(0, position - 8):position]:
                for other in ledger.deliveries.get(("fifo", earlier), ()):
                    for delivery in ledger.deliveries.get(("fifo", body), ()):
                        has_both = any(each.answer == delivery.answer
                                       for each in ledger.deliveries.get(("fifo", earlier), ()))
                        if not has_both and other.wall > delivery.wall:
                            wrong.append(f"{earlier} again after {body}")
    return wrong


def judge(ledger):
    """[(right, sentence)]: one for each promise, whatever it found."""
    findings = []

    def none(wrong, what):
        wrong = sorted(set(wrong))
        findings.append((not wrong, f"{len(wrong)} {what}" + (f": {shorten(wrong)}" if wrong else "")))

    def some(number, what):
        findings.append((number > 0, f"{number} {what}"))

    by_kind = Counter(kind_of(body) for body in ledger.sent)
    findings.append((all(by_kind[kind] for kind in KINDS), f"{len(ledger.sent)} sends acknowledged ("
                     + ", ".join(f"{kind} {by_kind[kind]}" for kind in KINDS) + f"), {ledger.counts['send-failed']} failed"))
    none((f"{via} {body}" for via, body in ledger.missing()), "acknowledged lost")
    none(order_breaks(ledger), "order breaks")

    explained, wrong = Counter(), defaultdict(list)
    for (via, body), deliveries in ledger.deliveries.items():
        causes, outside = redeliveries(deliveries, via == "fifo")
        explained += causes
        wrong["double commits" if via == "transaction" else "duplicates outside the retry rules"] += outside
    none(wrong["double commits"], "double commits")
    none(wrong["duplicates outside the retry rules"], "duplicates outside the retry rules")
    findings.append((True, f"{sum(explained.values())} duplicates that the retry rules explain ("
                     + "; ".join(f"{count} {cause}" for cause, count in explained.most_common()) + ")"))

    def delivered(via):
        return {body: deliveries for (of, body), deliveries in ledger.deliveries.items() if of == via and deliveries}

    timers = delivered("delay")
    none((f"{body} by {ledger.due[body] - min(delivery.wall for delivery in deliveries):.3f} s" for body, deliveries in timers.items()
          if min(delivery.wall for delivery in deliveries) < ledger.due[body]), "early timers")
    some(len(ledger.recalled), "scheduled messages recalled")
    none(ledger.recalled & timers.keys(), "recalled and delivered")
    transactions = delivered("transaction")
    some(ledger.counts["ended"], f"transactions ended by their producers, {ledger.counts['checked']} answered when asked")
    none((body for body in transactions if not commits(body)), "rolled back and delivered")
    for via in ("tag", "sql"):
        none((body for body in delivered(via) if not is_given(via, body)), f"given to the {via} filter against it")
    retried, dead = delivered("retry"), delivered("dead")
    none((f"{body} {delivery.attempt}" for body, deliveries in retried.items() for delivery in deliveries
          if delivery.attempt > MAX_ATTEMPTS), f"attempts beyond {MAX_ATTEMPTS}")
    none((body for body in dead if any(delivery.how == "acked" for delivery in retried.get(body, ()))),
         "acknowledged and a dead letter")
    swallowed = sum(1 for body in dead if not must_die(body))
    some(len(dead), f"dead letters ({swallowed} because crashes swallowed attempts)")
    return findings


class Amnesia:
    """A server that is wrong on purpose: after every second kill it comes back with what was on its disk at the kill before."""

    def __init__(self, process):
        self._data = process._data
        self._copy = process._data.with_suffix(".before")
        self._kills = 0

    def __call__(self):
        self._kills += 1
        if self._kills % 2 == 1:
            shutil.rmtree(self._copy, ignore_errors=True)
            shutil.copytree(self._data, self._copy)
        else:
            shutil.rmtree(self._data)
            self._copy.rename(self._data)


def create(server, topic, group):
    for kind in KINDS:
        server.create_topic(f"{topic}-{kind}", kind="normal" if kind == "retry" else kind)
    for via in KIND_OF:
        server.create_group(f"{group}-{via}", max_attempts=MAX_ATTEMPTS if via == "retry" else 1000, backoff="1s",
                            order="fifo" if via == "fifo" else "none")


def run(server, seconds, every, seed, install, directory, check, amnesia=False):
    """`seconds` of load with a kill about each `every` seconds, then until all has arrived."""
    create(server, "mixed", "mixed")
    ledger = Ledger()
    options = {"topic": "mixed", "group": "mixed", "receivers": 2, "await": 1, "invisible": INVISIBLE_SECONDS,
               "change": RETURN_SECONDS, "pause": PAUSE_SECONDS, "expression": TAGS, "sql": SQL}
    programs = [Program(client, "mixed", {**options, "run": client}, server, install, directory,
                        lambda event, client=client: ledger.add(event, client)) for client in CLIENTS]

    def all_run():
        for program in programs:
            errors = program.events("error")
            if errors or not program.running():
                raise Failed(f"{program.client} ended: {errors or 'no reason printed'}; see {program.log}")
        return True

    wait_until(lambda: all_run() and all(program.events("sent") and program.events("acked") for program in programs),
               time.monotonic() + START_SECONDS, "all clients send and consume")
    chance = random.Random(seed)
    forget = Amnesia(server.processes[0]) if amnesia else None
    until, kills, longest = time.monotonic() + seconds, Counter(), 0.0
    while True:
        time.sleep(max(0.0, min(every * chance.uniform(0.5, 1.5), until - time.monotonic())))  # The load, not a wait.
        if time.monotonic() >= until:
            break
        victim = server.victim(sum(kills.values()))
        _, downtime = victim.kill_and_restart(chance.choice((0, 0, 1)), *([forget] if forget else []))
        kills[victim.name] += 1
        longest = max(longest, downtime)
        all_run()
    check(sum(kills.values()) > 0, f"{sum(kills.values())} kills in {seconds} s ("
          + ", ".join(f"{name} {count}" for name, count in sorted(kills.items())) + f"), back after {longest:.2f} s at most")

    for program in programs:
        program.stop_sending()
    wait_until(lambda: all_run() and all(program.events("stopped") for program in programs), time.monotonic() + STOP_SECONDS,
               "all clients have stopped sending")
    stopped = time.monotonic()
    least, since = ledger.unfinished(), stopped
    while least and time.monotonic() < since + DRAIN_SECONDS:
        try:
            wait_until(lambda: all_run() and ledger.unfinished() < least, since + DRAIN_SECONDS, "")
        except TimedOut:
            break  # Judged below.
        least, since = ledger.unfinished(), time.monotonic()
    check(True, f"drained {time.monotonic() - stopped:.0f} s after the last send")
    for program in programs:
        program.kill()
    for right, sentence in judge(ledger):
        check(right, sentence)
    return ledger
