"""kill -9 every few seconds while three clients send and consume messages of every kind, side by side in the same groups.

A fourth, Rust's, sends what none of the three can: several messages in one call. Ledger collects what the programs print;
judge() says what of it breaks a promise. The programs decide by a message's number what happens to it (`returns_mixed`,
`commits_mixed` and the tags there), and so does this file.
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
BATCH_SENDER = "rust"  # It only sends.
# Its Ack answers no error when the server's answer says one: of what it "acknowledged" nothing is known but that it tried.
ACKNOWLEDGES_BLINDLY = ("go",)
KINDS = ("normal", "fifo", "delay", "transaction", "priority", "retry", "batch", "lite", "request", "reply")
TOPIC_TYPES = {kind: kind if kind in ("fifo", "delay", "transaction", "priority", "lite") else "normal" for kind in KINDS}
SENT_BY_ALL = tuple(kind for kind in KINDS if kind not in ("batch", "reply"))
# Which kind a group is given; the last ones have a look of their own at messages of that kind.
KIND_OF = {**{kind: kind for kind in KINDS}, "tag": "normal", "sql": "normal", "dead": "retry", "push": "normal", "push-fifo": "fifo"}
# Groups with push consumers. "reply" are three: each of the programs has one of its own, made by its use.
PUSHED = ("push", "push-fifo", "lite", "request", "reply")
# Groups in order, and of what: the message group, or the lite topic, of which each program has one.
ORDERED = {"fifo": lambda body: message_group_of(body), "push-fifo": lambda body: message_group_of(body), "lite": lambda body: body.split("-")[1]}

TAGS = "a || b"
SQL = "number >= 20 AND TAGS IN ('c', 'b')"
MAX_ATTEMPTS = 3
INVISIBLE_SECONDS = 10
# A push consumer's: how long what it was given is away if its answer fell into a crash. Its listener begins when those before it are
# done, which may wait for their acknowledgements while the server is away.
PUSH_INVISIBLE_SECONDS = 60
PUSH_QUEUED_SECONDS = 30
# If the proxy died after it had said that its answer left, and the broker lives, it is away for the cap, which is 3 h by default.
BROKER = ["--broker.auto-renew-cap=2m"]
RETURN_SECONDS = 1
# How much sooner than the clock says the end of an invisible time may be seen: leaders' clocks are steered by 1 %.
CLOCK_SECONDS = 0.2
PAUSE_SECONDS = 0.1

START_SECONDS = 60
STOP_SECONDS = 60
# Without anything new. What a crash swallowed comes again after the invisible time, or the cap; a transaction is asked about after
# 3 s and then each 5 s (server.py); a simple consumer asks one shard after the other, the empty ones too; clients say every 30 s
# which lite topics they read.
DRAIN_SECONDS = 150


def number_of(body):
    return int(body.rsplit("-", 1)[1])


def message_group_of(body):
    _, client, number = body.split("-")
    return f"{client}-{int(number) % MESSAGE_GROUPS}"


def kind_of(body):
    return body.split("-", 1)[0]


def requester_of(body):
    """Whose request a `reply` answers: its body says that, the request's attempt, and its number."""
    return body.split("-")[1].split(".")[0]


def is_given(via, body):
    """Whether the group's filter takes it."""
    tag, number = "cab"[number_of(body) % 3], number_of(body)
    return {"tag": tag in "ab", "sql": number >= 20 and tag in "cb"}.get(via, True)


def commits(body):
    return number_of(body) % 2 == 0


def must_die(body):
    return number_of(body) % 5 == 0


class Delivery:
    def __init__(self, event, client):
        self.body, self.via, self.client = event["body"], event["via"], client
        self.attempt, self.wall = event["attempt"], event["wall"]
        # A push consumer shows neither when it asked nor what came in one answer.
        self.asked, self.answer, self.place = event.get("asked"), event.get("answer"), event.get("place")
        self.how = None  # acked, ack-failed, returned or return-failed; of a listener consumed or returned
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
        return self.how in ("acked", "consumed") or self.how == "ack-failed" and not self.refused


def without_push():
    """The groups with simple consumers only."""
    return {via: kind for via, kind in KIND_OF.items() if via not in PUSHED}


class Ledger:
    """What all programs printed, who are members of the groups in kind_of. Events may come from several threads."""

    def __init__(self, kind_of=KIND_OF):
        self.kind_of = kind_of
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
                self.deliveries[event["via"], body].append(Delivery(event, client))
            elif name in ("acked", "ack-failed", "returned", "return-failed", "consumed"):
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
            for via, of in self.kind_of.items():
                if of == kind and is_given(via, body) and (via != "dead" or must_die(body)):
                    yield via, body

    def missing(self):
        with self._lock:
            return [pair for pair in self.wanted() if not self.deliveries.get(pair)]

    def unanswered(self):
        """The acknowledged requests of which nobody was given an answer."""
        answered = {(requester_of(body), number_of(body)) for via, body in self.deliveries if via == "reply" and self.deliveries[via, body]}
        return [body for body in self.sent if kind_of(body) == "request" and (requester_of(body), number_of(body)) not in answered]

    def unfinished(self):
        """How much is missing, or could not be settled by anyone yet."""
        with self._lock:
            missing = [pair for pair in self.wanted() if not self.deliveries.get(pair)]
            open_ones = [pair for pair, deliveries in self.deliveries.items()
                         if deliveries and not any(delivery.may_have_settled for delivery in deliveries)
                         and not (pair[0] == "retry" and self.deliveries.get(("dead", pair[1])))]
            return len(missing) + len(open_ones) + len(self.unanswered())


def redeliveries(deliveries, ordered):
    """(explained: Counter by cause, wrong: sentences) of one message in one group."""
    explained, wrong = Counter(), []
    deliveries = sorted(deliveries, key=lambda delivery: delivery.wall)
    for earlier, later in zip(deliveries, deliveries[1:]):
        what = f"{later.via}: {later.body}, attempt {later.attempt} after {earlier.attempt}"
        pushed = later.via in PUSHED
        invisible_until = earlier.wall + PUSH_INVISIBLE_SECONDS - PUSH_QUEUED_SECONDS if pushed else earlier.asked + INVISIBLE_SECONDS
        if later.attempt == earlier.attempt and ordered and later.wall < earlier.wall + (PUSH_INVISIBLE_SECONDS if pushed else INVISIBLE_SECONDS):
            explained["its receive was repeated with the same attempt id"] += 1
        elif later.attempt <= earlier.attempt:
            wrong.append(f"{what}: not counted up")
        elif later.via == "dead" and earlier.how is None:
            explained["left alone"] += 1
        elif earlier.how in ("returned", "return-failed") and later.wall >= earlier.begun + RETURN_SECONDS - CLOCK_SECONDS:
            explained["given back on purpose"] += 1
        elif later.wall < invisible_until - CLOCK_SECONDS:
            wrong.append(f"{what}: {later.wall - earlier.wall:.1f} s later, while it was invisible")
        elif earlier.how == "consumed":
            explained["a listener took it, and its acknowledgement was lost"] += 1
        elif earlier.how == "ack-failed":
            explained["its acknowledgement failed, and its time passed"] += 1
        else:
            explained["its time passed before it was settled"] += 1
    for acked in (delivery for delivery in deliveries if delivery.how == "acked"):
        wrong += [f"{later.via}: {later.body}, attempt {later.attempt} although attempt {acked.attempt} was acknowledged"
                  for later in deliveries if later.attempt > acked.attempt]
    return explained, wrong


def order_breaks(ledger, via):
    """Deliveries of an ordered group that came before all earlier acknowledged messages of their message group were settled.

    The producer sends one message of a message group after the other, so their order is that of their numbers.
    """
    wrong = []
    pushed = via in PUSHED
    groups = defaultdict(list)
    for body in ledger.sent:
        if kind_of(body) == KIND_OF[via]:
            groups[ORDERED[via](body)].append(body)

    def in_one_answer(other, delivery):
        # A push consumer does not show its answers: whatever the same program was given may have come together.
        return other.client == delivery.client if pushed else other.answer == delivery.answer

    for bodies in groups.values():
        bodies.sort(key=number_of)
        for position, body in enumerate(bodies):
            for delivery in ledger.deliveries.get((via, body), ()):
                # Each before it was settled by then; those further ahead too, or that one would have broken the order.
                for earlier in bodies[max(0, position - 8):position]:
                    before = ledger.deliveries.get((via, earlier), ())
                    # Push consumers call their listener for one after the other, also for those of one answer.
                    together = not pushed and any(other.answer == delivery.answer and other.place < delivery.place for other in before)
                    settled = any(other.may_have_settled and other.begun <= delivery.wall for other in before)
                    if not together and not settled:
                        wrong.append(f"{via}: {body} before {earlier} was settled")
            # And nothing earlier comes again once a later one was given in an answer without it.
            for earlier in bodies[max(0, position - 8):position]:
                before = ledger.deliveries.get((via, earlier), ())
                for other in before:
                    for delivery in ledger.deliveries.get((via, body), ()):
                        has_both = any(in_one_answer(each, delivery) for each in before)
                        if not has_both and other.wall > delivery.wall:
                            wrong.append(f"{via}: {earlier} again after {body}")
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
    kinds = [kind for kind in KINDS if kind in ledger.kind_of.values()]
    findings.append((all(by_kind[kind] for kind in kinds), f"{len(ledger.sent)} sends acknowledged ("
                     + ", ".join(f"{kind} {by_kind[kind]}" for kind in kinds) + f"), {ledger.counts['send-failed']} failed"))
    none((f"{via} {body}" for via, body in ledger.missing()), "acknowledged lost")
    none((sentence for via in ORDERED if via in ledger.kind_of for sentence in order_breaks(ledger, via)), "order breaks")

    explained, wrong = Counter(), defaultdict(list)
    for (via, body), deliveries in ledger.deliveries.items():
        causes, outside = redeliveries(deliveries, via in ORDERED)
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
    if "reply" in ledger.kind_of:
        none(ledger.unanswered(), "requests without an answer")
        none((f"{body} to {delivery.client}" for body, deliveries in delivered("reply").items() for delivery in deliveries
              if delivery.client != requester_of(body)), "answers given to another")
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
    for kind, topic_type in TOPIC_TYPES.items():
        server.create_topic(f"{topic}-{kind}", kind=topic_type)
    for via in KIND_OF:
        if via != "reply":
            server.create_group(f"{group}-{via}", max_attempts=MAX_ATTEMPTS if via == "retry" else 1000, backoff="1s",
                                order="fifo" if via in ORDERED else "none")


def run(server, seconds, every, seed, install, directory, check, amnesia=False, push=True):
    """`seconds` of load with a kill about each `every` seconds, then until all has arrived."""
    create(server, "mixed", "mixed")
    ledger = Ledger(KIND_OF if push else without_push())
    options = {"topic": "mixed", "group": "mixed", "receivers": 2, "await": 1, "invisible": INVISIBLE_SECONDS,
               "change": RETURN_SECONDS, "pause": PAUSE_SECONDS, "expression": TAGS, "sql": SQL, "lite-names": ",".join(CLIENTS),
               "kinds": ",".join(kind for kind in SENT_BY_ALL if kind in ledger.kind_of.values()), "groups": ",".join(ledger.kind_of)}
    programs = [Program(client, "mixed", {**options, "run": client}, server, install, directory,
                        lambda event, client=client: ledger.add(event, client)) for client in (*CLIENTS, BATCH_SENDER)]

    def all_run():
        for program in programs:
            errors = program.events("error")
            if errors or not program.running():
                raise Failed(f"{program.client} ended: {errors or 'no reason printed'}; see {program.log}")
        return True

    def flows(program):
        consumes = program.events("acked") and (program.events("consumed") or not push)
        return program.events("sent") and (consumes or program.client == BATCH_SENDER)

    wait_until(lambda: all_run() and all(map(flows, programs)), time.monotonic() + START_SECONDS, "all clients send and consume")
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
