#!/usr/bin/env python3
"""Each check of mixed.py finds the breach that it is for: a short true story is told right, then with one thing wrong."""

import copy
import sys
import unittest

sys.dont_write_bytecode = True  # The source tree is only read.

from mixed import PUSHED, Ledger, judge, without_push


def sent(body):
    return {"event": "sent", "id": f"id of {body}", "body": body}


def received(via, body, at, attempt=1, answer=None, place=0):
    return {"event": "received", "via": via, "id": f"id of {body}", "body": body, "attempt": attempt, "asked": at - 0.1, "wall": at,
            "answer": answer or f"go {at}", "place": place}


def done(event, via, body, at, attempt=1, **more):
    return {"event": event, "via": via, "body": body, "attempt": attempt, "begun": at, **more}


def taken(via, body, at):
    return [received(via, body, at), done("acked", via, body, at + 0.1)]


def given(via, body, at, attempt=1, client="java"):
    """To a push consumer, which shows less."""
    return {"event": "received", "via": via, "id": f"id of {body}", "body": body, "attempt": attempt, "wall": at, "client": client}


def consumed(via, body, at, attempt=1, client="java"):
    return [given(via, body, at, attempt, client), done("consumed", via, body, at + 0.1, attempt, client=client)]


def story():
    """Everything once, as it should go: the numbers decide what a message does (mixed.py)."""
    events = []
    for body in ("normal-go-20", "normal-go-21", "fifo-go-0", "fifo-go-4", "transaction-go-0", "transaction-go-1", "priority-go-0",
                 "retry-go-0", "retry-go-1"):
        events.append(sent(body))
    events += taken("normal", "normal-go-20", 1) + taken("normal", "normal-go-21", 1)  # Tags b and c.
    events += taken("tag", "normal-go-20", 1)
    events += taken("sql", "normal-go-20", 1) + taken("sql", "normal-go-21", 1)
    events += taken("fifo", "fifo-go-0", 1) + taken("fifo", "fifo-go-4", 2)
    for body in ("delay-go-0", "delay-go-1"):
        events += [{"event": "scheduled", "body": body, "due": 5}, sent(body)]
    events += [{"event": "recalled", "body": "delay-go-1"}] + taken("delay", "delay-go-0", 5.01)
    events += [{"event": "ended", "body": "transaction-go-0", "how": "commit"}] + taken("transaction", "transaction-go-0", 1)
    events += taken("priority", "priority-go-0", 1)
    for attempt in (1, 2, 3):
        events += [received("retry", "retry-go-0", 10 * attempt, attempt), done("returned", "retry", "retry-go-0", 10 * attempt, attempt)]
    events += taken("dead", "retry-go-0", 40)
    events += [received("retry", "retry-go-1", 1), done("returned", "retry", "retry-go-1", 1),
               received("retry", "retry-go-1", 3, 2), done("acked", "retry", "retry-go-1", 3, 2)]
    events += consumed("push", "normal-go-20", 1) + consumed("push", "normal-go-21", 1)
    events += consumed("push-fifo", "fifo-go-0", 1) + consumed("push-fifo", "fifo-go-4", 2)
    for body in ("batch-rust-0", "lite-go-0", "lite-go-1", "request-java-0", "reply-java.1-0"):
        events.append(sent(body))
    events += taken("batch", "batch-rust-0", 1) + consumed("lite", "lite-go-0", 1) + consumed("lite", "lite-go-1", 2)
    events += consumed("request", "request-java-0", 1, client="go") + consumed("reply", "reply-java.1-0", 1.1)
    return events


def wrong(events):
    ledger = Ledger()
    for event in copy.deepcopy(events):
        ledger.add(event, event.get("client", "java"))
    return [sentence for right, sentence in judge(ledger) if not right]


def without(events, name, body):
    return [event for event in events if not (event["event"] == name and event.get("body") == body)]


class MixedTest(unittest.TestCase):
    def finds(self, what, events):
        found = wrong(events)
        self.assertTrue(any(what in sentence for sentence in found), f"not found: {what}; found {found}")

    def test_finds_nothing_in_a_right_story(self):
        self.assertEqual(wrong(story()), [])

    def test_finds_what_was_lost(self):
        self.finds("acknowledged lost", story() + [sent("normal-go-22")])
        for via, body in (("tag", "normal-go-20"), ("dead", "retry-go-0"), ("delay", "delay-go-0"), ("transaction", "transaction-go-0"),
                          ("push", "normal-go-20"), ("push-fifo", "fifo-go-4"), ("batch", "batch-rust-0"), ("lite", "lite-go-1"),
                          ("request", "request-java-0"), ("reply", "reply-java.1-0")):
            self.finds("acknowledged lost", [event for event in story() if not (event.get("via") == via and event["body"] == body)])

    def test_finds_an_order_break(self):
        self.finds("order breaks", story() + [sent("fifo-go-8"), sent("fifo-go-12"), *taken("fifo", "fifo-go-12", 3), *taken("fifo", "fifo-go-8", 4)])
        # Nor after an acknowledgement that the server refused.
        refused = [received("fifo", "fifo-go-8", 3), done("ack-failed", "fifo", "fifo-go-8", 3, code=40013)]
        self.finds("order breaks", story() + [sent("fifo-go-8"), sent("fifo-go-12"), *refused, *taken("fifo", "fifo-go-12", 4)])

    def test_takes_a_run_in_one_answer_for_order(self):
        pushed = consumed("push-fifo", "fifo-go-8", 3) + consumed("push-fifo", "fifo-go-12", 4)
        run = [sent("fifo-go-8"), sent("fifo-go-12"), *pushed, received("fifo", "fifo-go-8", 3, answer="one"),
               received("fifo", "fifo-go-12", 3, answer="one", place=1)]
        self.assertEqual(wrong(story() + run), [])
        turned = [received("fifo", "fifo-go-8", 3, answer="one", place=1), received("fifo", "fifo-go-12", 3, answer="one")]
        self.finds("fifo: fifo-go-12 before fifo-go-8", story() + run[:2] + pushed + turned)

    def test_finds_an_order_break_of_push_consumers(self):
        for via, bodies in (("push-fifo", ("fifo-go-8", "fifo-go-12")), ("lite", ("lite-go-2", "lite-go-3"))):
            first, second = bodies
            right = story() + [sent(body) for body in bodies]
            if via == "push-fifo":  # The other group is given them, too.
                right += taken("fifo", first, 3) + taken("fifo", second, 4)
            self.assertEqual(wrong(right + consumed(via, first, 3) + consumed(via, second, 4)), [])
            self.finds(f"{via}: {second} before {first}", right + consumed(via, second, 3) + consumed(via, first, 4))
            # The listener of the first still runs.
            running = [given(via, first, 3), given(via, second, 4), done("consumed", via, first, 5), done("consumed", via, second, 5)]
            self.finds(f"{via}: {second} before {first}", right + running)
            # Both may have been in one answer, of which no acknowledgement was heard; not if another was given the second.
            again = consumed(via, first, 64, 2) + consumed(via, second, 65, 2)
            self.assertEqual(wrong(right + consumed(via, first, 3) + consumed(via, second, 4) + again), [])
            self.finds(f"{via}: {first} again after {second}", right + consumed(via, first, 3) + consumed(via, second, 4, client="go") + again[:2])

    def test_orders_each_lite_topic_alone(self):
        other = [sent("lite-java-1"), sent("lite-java-0")] + consumed("lite", "lite-java-0", 5) + consumed("lite", "lite-java-1", 6)
        self.assertEqual(wrong(story() + other), [])

    def test_finds_a_double_commit(self):
        self.finds("double commits", story() + taken("transaction", "transaction-go-0", 20))

    def test_finds_duplicates_outside_the_rules(self):
        duplicates = "duplicates outside the retry rules"
        self.finds(duplicates, story() + [received("normal", "normal-go-20", 30, 2)])  # After its acknowledgement.
        others = taken("sql", "normal-go-23", 1) + taken("tag", "normal-go-23", 1) + consumed("push", "normal-go-23", 1)
        pending = [sent("normal-go-23"), *others] + [received("normal", "normal-go-23", 1)]
        self.assertEqual(wrong(story() + pending + [received("normal", "normal-go-23", 11, 2)]), [])
        self.finds(duplicates, story() + pending + [received("normal", "normal-go-23", 6, 2)])   # While it was invisible.
        self.finds(duplicates, story() + pending + [received("normal", "normal-go-23", 11, 1)])  # Stored twice, or attempts forgotten.

    def test_finds_duplicates_of_push_consumers(self):
        duplicates = "duplicates outside the retry rules"
        for via, body in (("push", "normal-go-20"), ("lite", "lite-go-1"), ("request", "request-java-0"), ("reply", "reply-java.1-0")):
            self.assertEqual(wrong(story() + consumed(via, body, 64, 2)), [])  # An acknowledgement may have been lost.
            self.finds(duplicates, story() + consumed(via, body, 20, 2))   # While it was invisible.
            self.finds(duplicates, story() + consumed(via, body, 64, 1))   # Stored twice, or attempts forgotten.
        back = [sent("normal-go-3"), *taken("normal", "normal-go-3", 1), given("push", "normal-go-3", 1), done("returned", "push", "normal-go-3", 1)]
        self.assertEqual(wrong(story() + back + consumed("push", "normal-go-3", 2, 2)), [])
        self.finds(duplicates, story() + back + consumed("push", "normal-go-3", 1.5, 2))  # Before its back-off was over.

    def test_finds_requests_without_an_answer(self):
        # Nobody knows of an answer, and no acknowledged one is missing.
        self.finds("requests without an answer", [event for event in story() if not event["body"].startswith("reply-")])
        self.finds("requests without an answer", story() + [sent("request-java-1"), *consumed("request", "request-java-1", 2)])

    def test_finds_an_answer_to_another(self):
        self.finds("answers given to another", without(story(), "received", "reply-java.1-0") + consumed("reply", "reply-java.1-0", 2, client="go"))

    def test_finds_an_early_timer(self):
        self.finds("early timers", without(story(), "received", "delay-go-0") + taken("delay", "delay-go-0", 4.99))

    def test_finds_the_recalled_and_the_rolled_back(self):
        self.finds("recalled and delivered", story() + taken("delay", "delay-go-1", 6))
        self.finds("rolled back and delivered", story() + taken("transaction", "transaction-go-1", 6))

    def test_finds_what_a_filter_should_have_kept(self):
        self.finds("given to the tag filter", story() + taken("tag", "normal-go-21", 1))
        self.finds("given to the sql filter", story() + taken("sql", "normal-go-1", 1))

    def test_finds_attempts_without_end_and_two_fates(self):
        self.finds("attempts beyond", story() + [received("retry", "retry-go-0", 50, 4)])
        self.finds("acknowledged and a dead letter", story() + taken("dead", "retry-go-1", 20))

    def test_asks_nothing_of_groups_that_are_not_there(self):
        ledger = Ledger(without_push())
        for event in story():
            if event.get("via") not in PUSHED and event["body"].split("-")[0] not in ("lite", "request", "reply"):
                ledger.add(event)
        self.assertEqual([sentence for right, sentence in judge(ledger) if not right], [])

    def test_notices_that_something_was_not_tried(self):
        self.finds("scheduled messages recalled", without(story(), "recalled", "delay-go-1") + taken("delay", "delay-go-1", 6))
        self.finds("transactions ended", without(story(), "ended", "transaction-go-0"))
        for body in ("priority-go-0", "batch-rust-0", "request-java-0", "reply-java.1-0"):
            self.finds("sends acknowledged", without(story(), "sent", body))


if __name__ == "__main__":
    unittest.main()
