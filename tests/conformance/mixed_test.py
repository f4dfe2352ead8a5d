#!/usr/bin/env python3
"""Each check of mixed.py finds the breach that it is for: a short true story is told right, then with one thing wrong."""

import copy
import sys
import unittest

sys.dont_write_bytecode = True  # The source tree is only read.

from mixed import Ledger, judge


def sent(body):
    return {"event": "sent", "id": f"id of {body}", "body": body}


def received(via, body, at, attempt=1, answer=None, place=0):
    return {"event": "received", "via": via, "id": f"id of {body}", "body": body, "attempt": attempt, "asked": at - 0.1, "wall": at,
            "answer": answer or f"go {at}", "place": place}


def done(event, via, body, at, attempt=1, **more):
    return {"event": event, "via": via, "body": body, "attempt": attempt, "begun": at, **more}


def taken(via, body, at):
    return [received(via, body, at), done("acked", via, body, at + 0.1)]


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
    return events


def wrong(events):
    ledger = Ledger()
    for event in copy.deepcopy(events):
        ledger.add(event)
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
        for via, body in (("tag", "normal-go-20"), ("dead", "retry-go-0"), ("delay", "delay-go-0"), ("transaction", "transaction-go-0")):
            self.finds("acknowledged lost", [event for event in story() if not (event.get("via") == via and event["body"] == body)])

    def test_finds_an_order_break(self):
        self.finds("order breaks", story() + [sent("fifo-go-8"), sent("fifo-go-12"), *taken("fifo", "fifo-go-12", 3), *taken("fifo", "fifo-go-8", 4)])
        # Nor after an acknowledgement that the server refused.
        refused = [received("fifo", "fifo-go-8", 3), done("ack-failed", "fifo", "fifo-go-8", 3, code=40013)]
        self.finds("order breaks", story() + [sent("fifo-go-8"), sent("fifo-go-12"), *refused, *taken("fifo", "fifo-go-12", 4)])

    def test_takes_a_run_in_one_answer_for_order(self):
        run = [sent("fifo-go-8"), sent("fifo-go-12"), received("fifo", "fifo-go-8", 3, answer="one"),
               received("fifo", "fifo-go-12", 3, answer="one", place=1)]
        self.assertEqual(wrong(story() + run), [])
        self.finds("order breaks", story() + run[:2] + [received("fifo", "fifo-go-8", 3, answer="one", place=1),
                                                       received("fifo", "fifo-go-12", 3, answer="one")])

    def test_finds_a_double_commit(self):
        self.finds("double commits", story() + taken("transaction", "transaction-go-0", 20))

    def test_finds_duplicates_outside_the_rules(self):
        duplicates = "duplicates outside the retry rules"
        self.finds(duplicates, story() + [received("normal", "normal-go-20", 30, 2)])  # After its acknowledgement.
        pending = [sent("normal-go-23"), *taken("sql", "normal-go-23", 1)] + taken("tag", "normal-go-23", 1) + [received("normal", "normal-go-23", 1)]
        self.assertEqual(wrong(story() + pending + [received("normal", "normal-go-23", 11, 2)]), [])
        self.finds(duplicates, story() + pending + [received("normal", "normal-go-23", 6, 2)])   # While it was invisible.
        self.finds(duplicates, story() + pending + [received("normal", "normal-go-23", 11, 1)])  # Stored twice, or attempts forgotten.

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

    def test_notices_that_something_was_not_tried(self):
        self.finds("scheduled messages recalled", without(story(), "recalled", "delay-go-1") + taken("delay", "delay-go-1", 6))
        self.finds("transactions ended", without(story(), "ended", "transaction-go-0"))
        self.finds("sends acknowledged", without(story(), "sent", "priority-go-0"))


if __name__ == "__main__":
    unittest.main()
