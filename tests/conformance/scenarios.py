"""What each scenario needs, and what must have happened when it is over."""

import re
import time
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Callable

from children import TimedOut, wait_until
from server import Server

INVISIBLE_SECONDS = 10
CHANGED_SECONDS = 4
RUST_INVISIBLE_SECONDS = 10  # Without a push consumer, retries come from a lapsed invisible time.
RETRY_BACKOFF = (1, 2)
DELAY_SECONDS = 4
MESSAGE_GROUPS = 4  # As in the programs.
FIFO_BACKOFF = 2
# Push consumers of ordered groups retry by themselves, holding what they were given.
ONE_AFTER_THE_OTHER = ("java", "node")  # All message groups of a batch wait for one that is retried.
PUSH_RETRY_SECONDS = {"node": 0}        # At once, whatever the group's backoff says.
AWAIT_SECONDS = 3
# The connection stays open after the consumer's end, with the poll, which takes one message more.
POLLS_OUTLIVE_THEIR_CONSUMER = ("node", "go")

# How late a redelivery may be on a loaded machine. A simple consumer asks one broker after the other, so with several
# shards it finds a message only when its turn comes: shards / receivers * AWAIT_SECONDS later at worst.
LATE_SECONDS = 5
LATE_SECONDS_OF_A_SIMPLE_CONSUMER = {"standalone": 5, "separate": 20}
RECEIVERS = 4

# Exactly what the message of `props` carries.
PROPS = {
    "body": "مرحبا, 你好, 🐪 and \"quotes\" \\ too",
    "tag": "étiquette",
    "keys": ["clé-1", "键-2"],
    "properties": {"colour": "grün", "متن": "🐎 value", "dots.and-dashes_1": "a b"},
}

# What a user of each client sees. Where a code stands, the server said it; other errors are the client's own checks.
ILLEGAL, LONG, TAG = "illegal-topic", "long-topic", "illegal-tag"
OVERSIZE, EMPTY, UNKNOWN = "oversize-body", "empty-body", "unknown-topic"
REFUSALS = {
    "python": {ILLEGAL: "does not match the regex", LONG: "(?i)topic", TAG: "(?i)tag", OVERSIZE: "body size exceeds",
               EMPTY: "(?i)body", UNKNOWN: "failed to fetch topic"},
    "node": {ILLEGAL: "40002", LONG: "40002", TAG: "(?i)tag|40004", OVERSIZE: "(?i)body size|exceed|41301",
             EMPTY: "41302", UNKNOWN: "40402"},
    "java": {ILLEGAL: "does not match the regex", LONG: "(?i)topic|40002", TAG: "(?i)tag", OVERSIZE: "(?i)body size exceeds",
             EMPTY: "(?i)body", UNKNOWN: "40402"},
    "go": {ILLEGAL: "40002", LONG: "40002", TAG: "(?i)tag|40004", OVERSIZE: "(?i)body size exceeds",
           EMPTY: "41302", UNKNOWN: "40402"},
    # The code of an empty body is younger than this client: it is given one that it knows.
    "rust": {ILLEGAL: "ILLEGAL_TOPIC", LONG: "ILLEGAL_TOPIC", TAG: "(?i)tag", OVERSIZE: "MESSAGE_BODY_TOO_LARGE",
             EMPTY: "BAD_REQUEST", UNKNOWN: "TOPIC_NOT_FOUND"},
}
PROMISE_OF_REFUSAL = {ILLEGAL: "illegal-names", LONG: "illegal-names", TAG: "illegal-names", OVERSIZE: "oversize-body",
                      EMPTY: "empty-body", UNKNOWN: "unknown-topic"}

# What `tags` asks for by SQL of messages whose property `number` counts them.
SQL = "number >= 10 AND TAGS IN ('a', 'b')"
TAGS = ("c", "a", "b")  # As in the programs, in turn.
TAGGED = 30
BY_SQL = [index for index in range(10, TAGGED) if TAGS[index % len(TAGS)] in ("a", "b")]

# The bodies that `props` sends as bytes: all values of a byte, a zero, and as much as fits in an answer of 4 MiB.
BYTES = {256: "binary body", 1: "body of one zero byte", (4 << 20) - 4096: "large body"}


RECALL_REFUSALS = {
    "the recalled": "(?i)40400|not.?found",
    "the delivered": "(?i)40400|not.?found",
    "nonsense": "(?i)40000|bad.?request|recall handle",
}

# A FIFO message to a NORMAL topic, and the other way round. All but Rust compare with the route before they ask the server.
WRONG_TYPES = ("fifo-to-normal", "normal-to-fifo")
WRONG_TYPE = {
    "python": "current message type not match",
    "node": "Current message type not match",
    "java": "Current message type not match",
    "go": "current message type not match",
    "rust": "MESSAGE_PROPERTY_CONFLICT_WITH_TYPE",
}

PRIORITY_MESSAGES = 75  # Of four shards, each is asked sixteen times in a row (README.md): enough for its share, two at a time.
OLDEST_EVERY = 10  # The server's default: of so many answers one begins with the oldest instead.
NO_PRIORITY_ON_RECEIVE = ("go",)


@dataclass
class Run:
    """One finished run, and the list of what was found."""

    client: str
    shape: str
    options: dict
    events: list
    server: Server
    findings: list = field(default_factory=list)  # (whether it is right, a sentence, the promise that it is about)
    about: str = ""  # The promise that findings are about from now on.

    def named(self, name):
        return [event for event in self.events if event["event"] == name]

    def check(self, right, sentence):
        self.findings.append((bool(right), sentence, self.about))

    def refusals(self):
        """By case, all that the client said."""
        return {event["case"]: f"{event['type']} {event['code'] or ''} {event['message']}" for event in self.named("refused")}

    @property
    def pushes(self):
        return self.client != "rust"

    @property
    def late_seconds(self):
        return LATE_SECONDS if self.pushes else LATE_SECONDS_OF_A_SIMPLE_CONSUMER[self.shape]


def shorten(items, most=5):
    items = sorted(items)
    return ", ".join(map(str, items[:most])) + (f" and {len(items) - most} more" if len(items) > most else "")


def by_body(events):
    found = defaultdict(list)
    for event in events:
        found[event["body"]].append(event)
    return found


def check_sent(run):
    sent = run.named("sent")
    ids = {event["id"] for event in sent}
    run.check(len(sent) == run.options["count"] and len(ids) == len(sent),
              f"{len(sent)} of {run.options['count']} sends acknowledged, {len(ids)} different ids")


def check_received(run, sent, received, what="received"):
    """Every sent message came, with the id that its producer was given, and nothing else came."""
    sent_pairs = {(event["id"], event["body"]) for event in sent}
    received_pairs = {(event["id"], event["body"]) for event in received}
    missing, foreign = sent_pairs - received_pairs, received_pairs - sent_pairs
    run.check(not missing, f"{len(sent_pairs & received_pairs)} of {len(sent_pairs)} {what}, {len(missing)} missing"
              + (f": {shorten(missing)}" if missing else ""))
    run.check(not foreign, f"{len(foreign)} {what} that nobody sent" + (f": {shorten(foreign)}" if foreign else ""))


def check_gaps(run, what, gaps, wanted, early, late):
    run.check(gaps and all(wanted - early <= gap <= wanted + late for gap in gaps),
              f"{what} after {' s, '.join(f'{gap:.2f}' for gap in gaps) or 'no'} s (wanted {wanted} s, at most {late} s late)")


def check_normal_push(run):
    check_sent(run)
    received = run.named("received")
    check_received(run, run.named("sent"), received)
    first_attempts = [event for event in received if event["attempt"] == 1]
    run.check(len(by_body(first_attempts)) == len(by_body(received)), "every message came with attempt 1")
    repeats = len(received) - len(by_body(received))
    run.check(repeats == 0, f"{repeats} delivered twice")


def check_simple(run):
    check_sent(run)
    received = by_body(run.named("received"))
    check_received(run, run.named("sent"), run.named("received"))
    acked = {event["body"] for event in run.named("acked")}
    run.check(len(acked) == run.options["count"], f"{len(acked)} of {run.options['count']} acknowledged")

    late = LATE_SECONDS_OF_A_SIMPLE_CONSUMER[run.shape]
    held, changed = f"{run.options['run']}-0", f"{run.options['run']}-1"
    expected_twice = {held}
    attempts = [event["attempt"] for event in received[held]]
    run.check(attempts == [1, 2], f"the message left alone came with attempts {attempts}")
    if len(attempts) > 1:
        # The time runs from the server's answer, which a loaded client may print a little later.
        check_gaps(run, "the message left alone came back", [received[held][1]["t"] - received[held][0]["t"]],
                   run.options["invisible"], early=1, late=late)
    if run.pushes:  # The same client that has no push consumer cannot change the invisible time.
        expected_twice.add(changed)
        run.about = "change-invisible"
        changes = run.named("changed")
        attempts = [event["attempt"] for event in received[changed]]
        run.check(changes and attempts == [1, 2], f"the message with a changed invisible time came with attempts {attempts}")
        if changes and len(attempts) > 1:
            check_gaps(run, "the message with a changed invisible time came back",
                       [received[changed][1]["t"] - changes[0]["t"]], run.options["change"], early=0.5, late=late)
    run.about = "simple"
    repeated = {body for body, events in received.items() if len(events) > 1} - expected_twice
    run.check(not repeated, f"{len(repeated)} acknowledged messages came again" + (f": {shorten(repeated)}" if repeated else ""))


def check_tags(run):
    check_sent(run)
    by_sql = [event for event in run.named("received") if event["via"] == "sql"]
    by_tag = [event for event in run.named("received") if event["via"] != "sql"]
    wanted = [event for event in run.named("sent") if event["tag"] in ("a", "b")]
    check_received(run, wanted, by_tag, "of tags a and b received")
    run.check(all(event["tag"] in ("a", "b") for event in by_tag), "no other tag was delivered")
    run.about = "sql-filter"
    bodies = {f"{run.options['run']}-{index}" for index in BY_SQL}
    check_received(run, [event for event in run.named("sent") if event["body"] in bodies], by_sql, "that the SQL filter takes received")


def check_attempts(run):
    """Each message came three times, with attempts 1, 2, 3. Returns when each did, in seconds."""
    received = by_body(run.named("received"))
    attempts = {event["body"]: [again["attempt"] for again in received[event["body"]]] for event in run.named("sent")}
    wrong = {body: found for body, found in attempts.items() if found != [1, 2, 3]}
    run.check(attempts and not wrong, f"{len(attempts) - len(wrong)} of {len(attempts)} messages came with attempts 1, 2, 3"
              + (f", not {wrong}" if wrong else ""))
    return [[event["t"] for event in events] for events in received.values()]


def check_retry(run):
    check_sent(run)
    check_received(run, run.named("sent"), run.named("received"))
    wanted = RETRY_BACKOFF if run.pushes else (run.options["invisible"],) * 2
    # A listener fails after it printed, so a push redelivery is never early; a lapse may seem so, see check_simple.
    early = 0.1 if run.pushes else 1
    times = check_attempts(run)
    for attempt, seconds in enumerate(wanted, start=2):
        gaps = [at[attempt - 1] - at[attempt - 2] for at in times if len(at) >= attempt]
        check_gaps(run, f"attempt {attempt} came", gaps, seconds, early, run.late_seconds)


def check_dlq(run):
    check_sent(run)
    check_attempts(run)
    check_received(run, run.named("sent"), run.named("dead"), "read from the dead-letter topic")


def check_props(run):
    received = run.named("received")
    sent = run.named("sent")
    run.check(len(received) == 1 and len(sent) == 1 and received[0]["id"] == sent[0]["id"], "the message came, with its id")
    for event in received[:1]:
        for name, wanted in (("body", PROPS["body"]), ("tag", PROPS["tag"]), ("keys", sorted(PROPS["keys"])),
                             ("properties", PROPS["properties"])):
            run.check(event[name] == wanted, f"{name} unchanged"
                      + ("" if event[name] == wanted else f"? sent {wanted!r}, received {event[name]!r}"))
    sent = {event["bytes"]: event for event in run.named("sent-bytes")}
    received = {event["bytes"]: event for event in run.named("received-bytes")}
    for size, name in BYTES.items():
        run.about = "large-body" if name == "large body" else "binary-body"
        of_sent, of_received = sent.get(size, {}), received.get(size, {})
        same = of_sent and all(of_sent[name] == of_received.get(name) for name in ("id", "bytes", "adler32"))
        run.check(same, f"{name} of {size} bytes came unchanged" + ("" if same else f"? sent {of_sent}, received {of_received}"))
    for how in ("async", "batch"):
        run.about = f"{how}-send"
        ids = [event["id"] for event in run.named("sent-bytes") if event["how"] == how]
        arrived = {event["id"] for event in run.named("received-bytes")}
        if how == "async" or run.client == "rust":  # The others send one by one.
            run.check(ids and len(set(ids)) == len(ids) and arrived.issuperset(ids),
                      f"{len(ids)} sent so have an id each, and came" + ("" if arrived.issuperset(ids) else f"? {ids}, {arrived}"))


def check_errors(run):
    refused = run.refusals()
    for case, pattern in REFUSALS[run.client].items():
        run.about = PROMISE_OF_REFUSAL[case]
        said = refused.get(case)
        run.check(said and re.search(pattern, said), f"{case}: {said or 'not refused'}" +
                  ("" if said and re.search(pattern, said) else f" (wanted: {pattern})"))
    run.about = "end-while-polling"
    closed = [event["seconds"] for event in run.named("closed")]
    # The client waits for its poll, not longer.
    run.check(closed and closed[0] <= run.options["await"] + LATE_SECONDS, f"a consumer that polled closed after {closed} s")
    received = run.named("received")
    check_received(run, run.named("sent"), received, "sent afterwards received")
    attempts = [event["attempt"] for event in received]
    allowed = ([1], [2]) if run.client in POLLS_OUTLIVE_THEIR_CONSUMER else ([1],)
    run.check(attempts in allowed, f"the poll that was over had not been given it before (attempts {attempts})")


def check_wrong_type(run):
    check_sent(run)
    refused = run.refusals()
    for case in WRONG_TYPES:
        said = refused.get(case)
        right = said and re.search(WRONG_TYPE[run.client], said)
        run.check(right, f"{case}: {said or 'not refused'}" + ("" if right else f" (wanted: {WRONG_TYPE[run.client]})"))
    sent = {event["body"]: event["id"] for event in run.named("sent")}
    for kind, topic in (("normal", run.options["topic"]), ("fifo", run.options["fifo-topic"])):
        stored = [message["id"] for message in run.server.stored(topic)]
        wanted = [sent.get(f"{run.options['run']}-{kind}")]
        run.check(stored == wanted, f"the {kind} topic holds the one message that is of its type"
                  + ("" if stored == wanted else f"? {stored}, not {wanted}"))


def next_of(left, most, oldest_first):
    """What a receive is given of messages (priority, when they were sent): queue after queue, of which there is one a priority."""
    first_of = {}
    for priority, sent in sorted(left):
        first_of.setdefault(priority, sent)
    return sorted(left, key=lambda message: (first_of[message[0]] if oldest_first else -message[0], message[1]))[:most]


def check_priority(run):
    """Within a shard each answer has the highest of what is left, but for one of ten, which begins with the oldest."""
    check_sent(run)
    sent, received = run.named("sent"), run.named("received")
    check_received(run, sent, received)
    run.check(len(received) == len(sent), f"{len(received)} deliveries of {len(sent)} messages")
    first = min((event["t"] for event in received), default=0)
    run.check(all(event["t"] < first for event in sent), "all were sent before the first was received")
    if run.client not in NO_PRIORITY_ON_RECEIVE:
        priorities = {event["body"]: event["priority"] for event in sent}
        wrong = [event["body"] for event in received if event["priority"] != priorities.get(event["body"])]
        run.check(not wrong, f"{len(wrong)} came with another priority" + (f": {shorten(wrong)}" if wrong else ""))

    messages = {event["id"]: (event["priority"], number) for number, event in enumerate(sent)}
    left, answers = defaultdict(list), defaultdict(lambda: defaultdict(list))
    shard_of = {stored["id"]: stored["shard"] for stored in run.server.stored(run.options["topic"])}
    for id, message in messages.items():
        left[shard_of.get(id)].append(message)
    for event in received:
        answers[shard_of.get(event["id"])][event["answer"]].append(messages.get(event["id"]))
    run.check(None not in left, f"the messages are in the shards {shorten(map(str, left))}")
    for shard in sorted(answers, key=str):
        check_priority_of_shard(run, shard, left[shard], list(answers[shard].values()))


def check_priority_of_shard(run, shard, left, answers):
    wrong, instead, row, longest = [], [], 0, 0
    for number, answer in enumerate(answers, start=1):
        highest, oldest = (answer == next_of(left, len(answer), oldest_first) for oldest_first in (False, True))
        if not highest and not oldest:
            wrong.append(f"answer {number} gave {answer}, not {next_of(left, len(answer), False)}")
        if oldest and not highest:
            instead.append(number)
        row = 0 if oldest else row + 1
        longest = max(longest, row)
        left = [message for message in left if message not in answer]
    run.check(not wrong, f"{shard}: {len(answers)} answers, each with the highest or beginning with the oldest"
              + (f"? (priority, when sent): {'; '.join(wrong)}" if wrong else ""))
    gaps = [later - earlier for earlier, later in zip(instead, instead[1:])]
    run.check(longest < OLDEST_EVERY and all(gap >= OLDEST_EVERY for gap in gaps),
              f"{shard}: one of {OLDEST_EVERY} began with the oldest: instead of the highest the answers {instead}, and at most {longest} in a row did not")


def check_due(run, received):
    """Each came when it was due: never early, and soon."""
    due = {event["body"]: event["due"] for event in run.named("scheduled")}
    late = [event["wall"] - due[event["body"]] for event in received]
    run.check(late and min(late) >= 0, f"none came before it was due ({min(late, default=0):+.3f} s at the earliest)")
    run.check(late and max(late) <= run.late_seconds, f"all came within {run.late_seconds} s ({max(late, default=0):+.3f} s at the latest)")


def check_delay(run):
    check_sent(run)
    received = run.named("received")
    check_received(run, run.named("sent"), received)
    run.check(len(received) == run.options["count"], f"{len(received)} deliveries of {run.options['count']} messages")
    check_due(run, received)


def check_recall(run):
    check_sent(run)
    recalled, delivered = (f"{run.options['run']}-{number}" for number in range(2))
    sent = {event["body"]: event for event in run.named("sent")}
    ids = [event["id"] for event in run.named("recalled")]
    run.check(ids == [sent[recalled]["id"]], f"the first was recalled, and the answer has its id ({ids})")
    received = run.named("received")
    run.check([event["body"] for event in received] == [delivered],
              f"only the second was delivered ({shorten(event['body'] for event in received)})")
    check_due(run, received)
    refused = run.refusals()
    for case, pattern in RECALL_REFUSALS.items():
        said = refused.get(case)
        run.check(said and re.search(pattern, said), f"recall of {case}: {said or 'not refused'}")


# What the programs do with message i of `transaction`: end it themselves, or leave it to the check-back.
ENDED_BY_THE_PROGRAM = {0: "commit", 1: "rollback"}
ENDED_BY_A_CHECK = {2: ["commit"], 3: ["rollback"], 4: ["unknown", "commit"], 5: ["commit"]}
COMMITTED = (0, 2, 4, 5)


def check_transaction(run):
    def body(index):
        return f"{run.options['run']}-{index}"

    prepared = {event["body"]: event["id"] for event in run.named("prepared")}
    run.check(sorted(prepared) == [body(index) for index in range(6)], f"6 messages were prepared, they are {sorted(prepared)}")
    received = [(event["body"], event["id"], event["attempt"]) for event in run.named("received")]
    expected = [(body(index), prepared.get(body(index)), 1) for index in COMMITTED]
    run.check(sorted(received) == expected, f"what was committed arrived once, and nothing else: {sorted(received)}")
    for index, how in ENDED_BY_THE_PROGRAM.items():
        ended = [event["how"] for event in run.named("ended") if event["body"] == body(index)]
        run.check(ended == [how], f"{body(index)} was ended by a {how}: {ended}")
    checks = defaultdict(list)
    for event in run.named("checked"):
        checks[event["body"]].append(event["answer"])
        run.check(event["id"] == prepared.get(event["body"]), f"the check of {event['body']} has its message's id")
    wanted = {body(index): answers for index, answers in ENDED_BY_A_CHECK.items()}
    run.check(dict(checks) == wanted, f"the producer that lived was asked about what was left open, and not more often: {dict(checks)}")


def check_order(run, via):
    """Of each message group one after the other, and nothing while an earlier one is not done with."""
    index_of = {f"{run.options['run']}-{index}": index for index in range(run.options["count"])}
    consumed = [index_of[event["body"]] for event in run.named("consumed") if event["via"] == via]
    for group in range(MESSAGE_GROUPS):
        found = [index for index in consumed if index % MESSAGE_GROUPS == group]
        wanted = list(range(group, run.options["count"], MESSAGE_GROUPS))
        run.check(found == wanted, f"{via}: message group g{group} was consumed in order" + ("" if found == wanted else f"? {found}"))
    early, done = [], set()
    for event in run.events:
        if event.get("via") != via:
            continue
        index = index_of[event["body"]]
        if event["event"] == "received" and any(before not in done for before in range(index % MESSAGE_GROUPS, index, MESSAGE_GROUPS)):
            early.append(event["body"])
        if event["event"] == "consumed":
            done.add(index)
    run.check(not early, f"{via}: {len(early)} came while an earlier one of its message group was not done with"
              + (f": {shorten(early)}" if early else ""))
    # The second message of the first group failed once; meanwhile the others went on, if the client lets them.
    if via == "push" and run.client == "go":
        return
    failing = f"{run.options['run']}-{MESSAGE_GROUPS}"
    marks = [place for place, event in enumerate(run.events)
             if event.get("via") == via and event["event"] == "received" and event["body"] == failing]
    run.check(len(marks) == 2, f"{via}: what failed once came {len(marks)} times")
    if len(marks) == 2:
        passed = [event for event in run.events[marks[0]:marks[1]] if event["event"] == "consumed" and event["via"] == via]
        # A simple consumer asks one shard after the other, and may wait at that of the stuck message group meanwhile.
        asks_all = run.shape == "standalone" if via == "simple" else run.client not in ONE_AFTER_THE_OTHER
        if asks_all:
            run.check(passed, f"{via}: {len(passed)} messages of other message groups were consumed while it was stuck")
        wanted = CHANGED_SECONDS if via == "simple" else PUSH_RETRY_SECONDS.get(run.client, FIFO_BACKOFF)
        if via == "simple" and not run.pushes:
            wanted = run.options["invisible"]
        gap = run.events[marks[1]]["t"] - run.events[marks[0]]["t"]
        late = LATE_SECONDS_OF_A_SIMPLE_CONSUMER[run.shape] if via == "simple" else run.late_seconds
        check_gaps(run, f"{via}: it came again", [gap], wanted, early=1, late=late)


def check_fifo(run):
    check_sent(run)
    for via in ("push", "simple") if run.pushes else ("simple",):
        received = [event for event in run.named("received") if event["via"] == via]
        check_received(run, run.named("sent"), received, f"received by {via}")
        check_order(run, via)


MEMBERS = ("a", "b")  # As in the programs.


def check_members(run):
    told = {event["body"]: event["id"] for event in run.named("sent") if event["tag"] == "news"}
    run.about = "broadcast"
    run.check(len(told) == run.options["count"], f"{len(told)} messages were told to all")
    for member in MEMBERS:
        heard = sorted((event["body"], event["id"]) for event in run.named("heard") if event["member"] == member)
        run.check(heard == sorted(told.items()), f"member {member} heard all of them, once" + ("" if heard == sorted(told.items()) else f"? {heard}"))
    run.about = "request-reply"
    for member in MEMBERS:
        wanted = sorted((f"{member}-{index}", f"re:{run.options['run']}-{member}-{index}") for index in range(run.options["count"]))
        replied = sorted((event["correlation"], event["body"]) for event in run.named("replied") if event["member"] == member)
        run.check(replied == wanted, f"member {member} got an answer to each of its {len(wanted)} requests, and no other"
                  + ("" if replied == wanted else f"? {replied}"))


LITE_TOPICS = ("a", "b", "c", "d")  # As in the programs.
LITE_REFUSALS = {
    "over-quota": {"python": "LiteSubscriptionQuotaExceeded", "node": "(?i)lite subscription quota exceeded", "java": "LiteSubscriptionQuotaExceeded",
                   "go": "42902"},
    "long-lite-topic": {"python": "exceeded max length", "node": "exceeded max length", "java": "exceeded max length", "go": "40020"},
}


def check_lite(run):
    sent = run.named("sent")
    count = run.options["count"]
    wanted = len(LITE_TOPICS) * count + 2
    run.check(len(sent) == wanted, f"{len(sent)} of {wanted} sends acknowledged")
    received = run.named("received")
    check_received(run, sent, received)
    run.check(len(received) == len(by_body(received)), f"{len(received) - len(by_body(received))} delivered twice")
    lite_of = {event["body"]: event["lite"] for event in sent}
    wrong = [event["body"] for event in received if event["lite"] != lite_of.get(event["body"])]
    run.check(not wrong, f"each came with the name of its lite topic{': not ' + shorten(wrong) if wrong else ''}")
    for lite in LITE_TOPICS:
        in_order = [event["body"] for event in sent if event["lite"] == lite]
        found = [event["body"] for event in received if event["lite"] == lite]
        run.check(found == in_order, f"lite topic {lite} came in order" + ("" if found == in_order else f"? {found}"))
    subscribed, foreign = set(), []
    for event in run.events:
        if event["event"] == "subscribing":
            subscribed.add(event["lite"])
        elif event["event"] == "unsubscribed":
            subscribed.remove(event["lite"])
        elif event["event"] == "received" and event["lite"] not in subscribed:
            foreign.append(event["body"])
    run.check(not foreign, f"{len(foreign)} of lite topics that were not subscribed to just then" + (f": {shorten(foreign)}" if foreign else ""))
    run.about = "lite-quota"
    refused = run.refusals()
    for case, patterns in LITE_REFUSALS.items():
        said = refused.get(case)
        run.check(said and re.search(patterns[run.client], said), f"{case}: {said or 'not refused'}")


def check_lite_offset(run):
    def body(lite, index):
        return f"{run.options['run']}-{lite}-{index}"

    count = run.options["count"]
    for phase, wanted, why in (("tail", [body("a", index) for index in (count - 2, count - 1)], "from two before the end"),
                               ("min", [body("a", index) for index in range(count)], "from the first"),
                               ("max", [body("b", count)], "from the end")):
        found = [event["body"] for event in run.named("received") if event["phase"] == phase]
        run.check(found == wanted, f"a subscription that asks to begin {why} was given {found}, wanted {wanted}")


def check_lite_suspend(run):
    received = [(event["body"], event["attempt"]) for event in run.named("received")]
    wanted = [(f"{run.options['run']}-a-0", 1)] * 4 + [(f"{run.options['run']}-a-{index}", 1) for index in range(1, run.options["count"])]
    run.check(received == wanted, "what was put off three times came again, in its first attempt and before what follows it"
              + ("" if received == wanted else f"? {received}"))


# A push consumer's message comes back after 60 s, unless the server renews it for a client that lives.
HOLD_SECONDS = 66
LINGER_SECONDS = 2
# By then the server has said once that it holds the message, and has no deadline for it any more.
HELD_AFTER_SECONDS = 3
# Without a word from its client for 35 s (server.py), a message comes back 30 s later. Clients are heard of every 10 s at least.
SILENCE_SECONDS, GRACE_SECONDS = 35, 30


def drive_one(start, options, _server, deadline):
    """One program that ends by itself. Returns what went wrong, or None, and its events."""
    program = start(options)
    return program.wait(deadline), program.events()


def second(options):
    """The same with another topic and group."""
    return {**options, "topic": options["topic"] + "-second", "group": options["group"] + "-second"}


def drive_auto_renew(start, options, _server, deadline):
    """One lives while its listener takes long. Another is killed meanwhile, and a third is a member of that one's group."""
    until = time.monotonic() + deadline
    lives = start(options, "lives")
    dies = start(second(options), "dies")
    try:
        wait_until(lambda: dies.events("received") or not dies.running(), until, "the one that is to die was given the message")
    except TimedOut as failure:
        return str(failure), []
    time.sleep(HELD_AFTER_SECONDS)  # How long it held the message, not a wait.
    dies.kill()
    killed = time.monotonic()
    takes = start({**second(options), "count": 0, "hold": 0}, "takes")
    problem = takes.wait(max(0, round(until - time.monotonic()))) or lives.wait(max(0, round(until - time.monotonic())))
    events = [{**event, "part": part} for part, program in (("lives", lives), ("dies", dies), ("takes", takes)) for event in program.events()]
    return problem, [*events, {"event": "killed", "at": killed}]


def check_auto_renew(run):
    def of(part, name):
        return [event for event in run.events if event.get("part") == part and event["event"] == name]

    run.check(len(of("lives", "sent")) == 1 and len(of("dies", "sent")) == 1, "a message was sent to each")
    attempts = [(event["id"], event["attempt"]) for event in of("lives", "received")]
    run.check(attempts == [(of("lives", "sent")[0]["id"], 1)], f"the one that lives was given its message once: {attempts}")
    held = [later["t"] - earlier["t"] for earlier, later in zip(of("lives", "received"), of("lives", "consumed"))]
    run.check(len(held) == 1 and held[0] >= HOLD_SECONDS - 0.1, f"it held it for {held} s (wanted {HOLD_SECONDS})")
    owed = run.server.owed(run.options["group"])
    run.check(owed == 0, f"then it was settled: the group is owed {owed}")
    attempts = [(event["id"], event["attempt"]) for event in of("dies", "received") + of("takes", "received")]
    id_of = of("dies", "sent")[0]["id"]
    run.check(attempts == [(id_of, 1), (id_of, 2)], f"the message of the one that was killed came again, to another: {attempts}")
    gaps = [event["at"] - run.named("killed")[0]["at"] for event in of("takes", "received")]
    check_gaps(run, "it came", gaps, SILENCE_SECONDS + GRACE_SECONDS, early=7, late=15)


# What its calls that fall into the change may fail by.
FAILS_WHEN_TOLD_TO_GO = {
    # It repeats nothing: neither sends nor acknowledgements. The second is GOAWAY's NO_ERROR.
    "rust": ("transport error", "connection error received: not a result of an error"),
}
AGE_SECONDS = 1


def drive_goaway(start, options, server, deadline):
    """One program; and every connection that its clients ever had."""
    began = time.monotonic()
    program, connections = start(options), set()
    while program.running() and time.monotonic() < began + deadline:
        connections |= server.connections()
        time.sleep(AGE_SECONDS / 10)
    problem = f"did not finish within {deadline} s" if program.running() else program.wait(1)
    program.kill()
    return problem, [*program.events(), {"event": "connections", "number": len(connections)}]


def check_goaway(run):
    sent, received = run.named("sent"), run.named("received")
    seconds = sent[-1]["t"] - sent[0]["t"]
    number = run.named("connections")[0]["number"]
    # Node.js has one for all its clients, and on a busy machine they end later.
    run.check(number > 4 and seconds > 5 * AGE_SECONDS, f"{number} connections while it sent for {seconds:.1f} s")
    failed = {name: run.named(name) for name in ("send-failed", "receive-failed", "ack-failed")}
    told = FAILS_WHEN_TOLD_TO_GO.get(run.client, ())
    for name, failures in failed.items():
        wrong = [event["message"] for event in failures if not any(text in event["message"] for text in told)]
        run.check(not wrong, f"{len(failures)} {name}" + (" because the connection ended" if told else "") + (f": {shorten(wrong)}" if wrong else ""))
    unknown = {event["body"] for event in failed["send-failed"]}
    run.check(len(sent) + len(unknown) == run.options["count"], f"{len(sent)} of {run.options['count']} sends acknowledged")
    for via in ("push", "simple") if run.pushes else ("simple",):
        found = [event for event in received if event["via"] == via]
        check_received(run, sent, [event for event in found if event["body"] not in unknown], f"received by {via}")
        again = {body: [event["attempt"] for event in events] for body, events in by_body(found).items() if len(events) > 1}
        # Behind an acknowledgement that failed, and what it left of the answer.
        right = via == "simple" and (failed["ack-failed"] or failed["receive-failed"]) and all(
            attempts == list(range(1, len(attempts) + 1)) for attempts in again.values())
        run.check(right or not again, f"{via}: {len(again)} delivered again" + (f": {shorten(again)}" if again else ""))


# What users are promised, and the scenario that shows it. docs/compatibility.md has one row for each.
PROMISES = {
    "normal-push": ("normal-push", "push consumer: 1,000 messages, each once, by its id"),
    "simple": ("simple", "simple consumer: receive, acknowledge, come back after the invisible time"),
    "change-invisible": ("simple", "the invisible time is changed"),
    "fifo": ("fifo", "order within a message group, also after a failure; other groups go on"),
    "priority": ("priority", "within a shard the higher priority first, but one receive of ten begins with the oldest"),
    "delay": ("delay", "scheduled messages: never early, soon after they are due"),
    "recall": ("recall", "a scheduled message is recalled, or delivered, never both"),
    "transaction": ("transaction", "commit, rollback, check-back, also when the producer is gone"),
    "tags": ("tags", "tag filter"),
    "sql-filter": ("tags", "SQL filter over properties and tag"),
    "retry": ("retry", "attempts and their back-off"),
    "dlq": ("dlq", "after the last attempt a dead letter, with id and body"),
    "request-reply": ("members", "requests are answered; each requester gets the answers to its own, and no other"),
    "broadcast": ("members", "every member, with a group of its own, gets every message"),
    "props": ("props", "Unicode in body, tag, keys and properties"),
    "binary-body": ("props", "bodies that are no text"),
    "large-body": ("props", "a body of 4 MiB less 4 KiB"),
    "async-send": ("props", "asynchronous send"),
    "batch-send": ("props", "several messages in one call"),
    "empty-body": ("errors", "an empty body is refused"),
    "oversize-body": ("errors", "a body of 4 MiB and a byte is refused"),
    "illegal-names": ("errors", "illegal topics and tags are refused"),
    "unknown-topic": ("errors", "an unknown topic is refused"),
    "wrong-type": ("wrong-type", "a message that is not of its topic's type is refused, and not stored"),
    "end-while-polling": ("errors", "a consumer ends while it polls; nothing is lost to its poll"),
    "auto-renew": ("auto-renew", "a listener keeps its message for as long as its client lives; after kill -9 of the client another gets it"),
    "goaway": ("goaway", "connections that the server ends every second: the client goes on, nothing is lost"),
    "lite": ("lite", "lite topics: a consumer gets what is sent to those that it subscribes to, in order, and nothing else"),
    "lite-quota": ("lite", "a subscription to too many lite topics, or to an illegal name, is refused"),
    "lite-offset": ("lite-offset", "a subscription says where in a lite topic it begins"),
    "lite-suspend": ("lite-suspend", "what a listener of lite topics puts off has not been tried: its attempts are not counted"),
    "lite-restart": ("crash", "kill -9 of the server: subscriptions to lite topics go on, nothing acknowledged is lost"),
    "restart": ("crash", "kill -9 of the server under load: the client goes on, nothing acknowledged is lost"),
}

# Why there is nothing to see.
NOT_OFFERED = {
    ("rust", "change-invisible"): "no such call",
    ("rust", "recall"): "no such call",
    ("rust", "priority"): "its messages have none",
    ("rust", "auto-renew"): "no push consumer; nothing renews what a simple one holds",
    **{("rust", promise): "no lite topics" for promise in ("lite", "lite-quota", "lite-offset", "lite-suspend", "lite-restart")},
    **{(client, "lite-offset"): "no such argument" for client in ("python", "go")},
    **{(client, "lite-suspend"): "no such result of a listener" for client in ("python", "java")},
    **{(client, "batch-send"): "sends one message a call" for client in ("python", "node", "java", "go")},
}


@dataclass
class Scenario:
    check: Callable[[Run], None]
    deadline: int
    options: dict = field(default_factory=dict)
    group: dict = field(default_factory=dict)  # Arguments of Server.create_group.
    dead_letters: bool = False
    topic_kind: str = "normal"
    replies: bool = False  # Needs a topic for them.
    fifo_topic: bool = False  # Needs one besides.
    without: tuple = ()  # Clients that cannot do it.
    drive: Callable = drive_one
    takes_long: bool = False  # Not with --quick.
    twice: bool = False  # Needs second() of its topic and group, too.
    door: tuple = ()  # Arguments for doors of its own: it gets its own server.

    def options_for(self, client, name, messages):
        options = {"topic": f"{name}-{client}", "group": f"{name}-{client}", "run": f"{client}-{name}", "count": 1,
                   "receivers": RECEIVERS, "await": AWAIT_SECONDS, "invisible": INVISIBLE_SECONDS, **self.options}
        if options["count"] == MESSAGES:
            options["count"] = messages
        if name in ("retry", "dlq") and client == "rust":
            options["invisible"] = RUST_INVISIBLE_SECONDS
        if self.topic_kind == "fifo" or "sql" in options or name == "goaway":
            options["simple-group"] = f"{name}-{client}-simple"
        if self.replies:
            options["reply-topic"] = f"{name}-{client}-replies"
        if self.fifo_topic:
            options["fifo-topic"] = f"{name}-{client}-fifo"
        if self.dead_letters:
            options["dead-group"] = f"{name}-{client}-dead"
        return options


MESSAGES = "messages"  # Stands for the driver's --messages.

# The longest come first, so that they run beside the others.
SCENARIOS = {
    "auto-renew": Scenario(check_auto_renew, 150, {"hold": HOLD_SECONDS, "linger": LINGER_SECONDS}, without=("rust",), drive=drive_auto_renew,
                           twice=True, takes_long=True),
    "goaway": Scenario(check_goaway, 120, {"count": 200, "pause": 0.03}, drive=drive_goaway, door=(f"--public.max-age={AGE_SECONDS}s",)),
    "simple": Scenario(check_simple, 90, {"count": MESSAGES, "change": CHANGED_SECONDS}),
    "dlq": Scenario(check_dlq, 90, {"count": 3}, {"max_attempts": 3, "backoff": "1s,1s"}, dead_letters=True),
    "retry": Scenario(check_retry, 60, {"count": 3}, {"backoff": ",".join(f"{seconds}s" for seconds in RETRY_BACKOFF)}),
    "normal-push": Scenario(check_normal_push, 90, {"count": MESSAGES}),
    "errors": Scenario(check_errors, 60),
    "tags": Scenario(check_tags, 60, {"count": TAGGED, "expression": "a || b", "sql": SQL, "sql-count": len(BY_SQL)}),
    "delay": Scenario(check_delay, 60, {"count": 20, "delay": DELAY_SECONDS}, topic_kind="delay"),
    "recall": Scenario(check_recall, 60, {"count": 2, "delay": DELAY_SECONDS}, topic_kind="delay", without=("rust",)),
    "transaction": Scenario(check_transaction, 90, {"count": 6}, topic_kind="transaction"),
    "fifo": Scenario(check_fifo, 180, {"count": 24, "change": CHANGED_SECONDS}, {"backoff": f"{FIFO_BACKOFF}s", "order": "fifo"},
                     topic_kind="fifo"),
    "priority": Scenario(check_priority, 120, {"count": PRIORITY_MESSAGES, "await": 1}, topic_kind="priority", without=("rust",)),
    "wrong-type": Scenario(check_wrong_type, 60, {"count": 2}, fifo_topic=True),
    # Rust's simple consumers ask one shard after the other, so they do not ask long.
    "members": Scenario(check_members, 60, {"count": 5, "await": 2}, replies=True),
    "lite": Scenario(check_lite, 60, {"count": 10}, {"order": "fifo"}, topic_kind="lite", without=("rust",)),
    "lite-offset": Scenario(check_lite_offset, 60, {"count": 5}, {"order": "fifo"}, topic_kind="lite", without=("rust", "python", "go")),
    "lite-suspend": Scenario(check_lite_suspend, 60, {"count": 3}, {"order": "fifo", "max_attempts": 2}, topic_kind="lite",
                             without=("rust", "python", "java")),
    "props": Scenario(check_props, 45, {
        "body": PROPS["body"], "tag": PROPS["tag"], "keys": ",".join(PROPS["keys"]),
        "properties": ",".join(f"{name}={value}" for name, value in PROPS["properties"].items())}),
}
