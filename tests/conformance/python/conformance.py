"""The official Python client of RocketMQ 5, one scenario per run.

The command line and the events on stdout are the same in every language:
../README.md describes them. Nothing here judges; driver.py does.
"""

import argparse
import json
import math
import os
import sys
import threading
import time
import zlib
from concurrent.futures import ThreadPoolExecutor

from rocketmq import (ClientConfiguration, ConsumeResult, Credentials, FilterExpression, LitePushConsumer, Message,
                      MessageListener, Producer, PushConsumer, SimpleConsumer, TransactionChecker,
                      TransactionResolution)

from rocketmq.grpc_protocol import FilterType

STARTED = time.monotonic()
PRINTING = threading.Lock()
STOP_SENDING = threading.Event()

SENDS_IN_FLIGHT = 16
BATCH = 32
MAX_BODY_BYTES = 4 * 1024 * 1024
LARGE_BODY_BYTES = MAX_BODY_BYTES - 4096  # What is left when an answer with it may have 4 MiB.
BYTES = "bytes"  # The tag of messages whose body is no text.
MESSAGE_GROUPS = 4
PRIORITY_BATCH = 2
MEMBERS = ("a", "b")
LITE_TOPICS = ("a", "b", "c", "d")
LITE_EVERY = 10  # Sends of `loop`.


def emit(event, **fields):
    line = json.dumps({"event": event, "t": round(time.monotonic() - STARTED, 3), **fields}, ensure_ascii=False)
    with PRINTING:
        print(line, flush=True)


def describe(error):
    code = getattr(error, "code", None)
    if callable(code):  # gRPC's own errors.
        code = code().name
    return {"type": type(error).__name__, "code": code, "message": str(error)}


def fail(doing, error):
    emit("error", doing=doing, **describe(error))
    leave(1)


def leave(status):
    # The client's pool threads would keep the process alive, and closing waits for the long polls.
    os._exit(status)


class Tally:
    """How often each body was seen; wakes whoever waits for the last one."""

    def __init__(self):
        self._times = {}
        self._changed = threading.Condition()

    def add(self, body):
        with self._changed:
            self._times[body] = self._times.get(body, 0) + 1
            self._changed.notify_all()
            return self._times[body]

    def complete(self, bodies, times=1):
        with self._changed:
            return sum(1 for seen in self._times.values() if seen >= times) >= bodies

    def wait(self, bodies, times=1):
        with self._changed:
            self._changed.wait_for(lambda: sum(1 for seen in self._times.values() if seen >= times) >= bodies)


class Listener(MessageListener):
    def __init__(self, consume):
        self._consume = consume

    def consume(self, message):
        return ConsumeResult.SUCCESS if self._consume(message) else ConsumeResult.FAILURE


def configuration(endpoint):
    return ClientConfiguration(endpoint, Credentials())


def start_producer(options):
    producer = Producer(configuration(options.endpoint), (options.topic,))
    producer.startup()
    return producer


def start_push(options, group, consume, expression=None):
    """consume(message) returns whether the message is done with."""
    consumer = PushConsumer(configuration(options.consumer_endpoint), group, Listener(consume),
                            {options.topic: expression or FilterExpression(options.expression)})
    consumer.startup()
    return consumer


def start_simple(options, topic, group):
    consumer = SimpleConsumer(configuration(options.consumer_endpoint), group,
                              {topic: FilterExpression(options.expression)}, await_duration=options.await_s)
    consumer.startup()
    return consumer


def body_of(message):
    return message.body.decode()


def emit_received(message, via):
    emit("received", via=via, id=message.message_id, body=body_of(message), attempt=message.delivery_attempt)


def outline(body):
    return {"bytes": len(body), "adler32": zlib.adler32(body)}


def message_for(options, body, tag=None):
    message = Message()
    message.topic = options.topic
    message.body = body.encode()
    if tag:
        message.tag = tag
    return message


def send(producer, message):
    receipt = producer.send(message)
    emit("sent", id=receipt.message_id, body=message.body.decode(), tag=message.tag)


def send_all(options, producer, tags=(None,)):
    def send_one(index):
        message = message_for(options, f"{options.run}-{index}", tags[index % len(tags)])
        if message.tag:
            message.add_property("number", str(index))
        send(producer, message)

    try:
        with ThreadPoolExecutor(SENDS_IN_FLIGHT) as pool:
            list(pool.map(send_one, range(options.count)))
    except Exception as error:
        fail("send", error)


def receive_until(options, consumer, finished, settle, batch=BATCH):
    """Several receives side by side, because each one asks only one broker of the route."""

    def receive_and_settle():
        while not finished():
            try:
                messages = consumer.receive(batch, options.invisible)
                for message in messages:
                    emit_received(message, "simple")
                for message in messages:
                    settle(message)
            except Exception as error:
                fail("receive or settle", error)

    receivers = [threading.Thread(target=receive_and_settle, daemon=True) for _ in range(options.receivers)]
    for receiver in receivers:
        receiver.start()
    return receivers


def normal_push(options):
    received = Tally()

    def consume(message):
        emit_received(message, "push")
        received.add(body_of(message))
        return True

    start_push(options, options.group, consume)
    send_all(options, start_producer(options))
    received.wait(options.count)


def simple(options):
    send_all(options, start_producer(options))
    consumer = start_simple(options, options.topic, options.group)
    seen, acked = Tally(), Tally()

    def settle(message):
        body = body_of(message)
        first_time = seen.add(body) == 1
        if first_time and body == f"{options.run}-0":
            return  # Left alone: it must come back after its invisible time.
        if first_time and body == f"{options.run}-1":
            consumer.change_invisible_duration(message, options.change)
            emit("changed", body=body)
            return
        consumer.ack(message)
        emit("acked", body=body)
        acked.add(body)

    receive_until(options, consumer, lambda: acked.complete(options.count), settle)
    acked.wait(options.count)


def tags(options):
    send_all(options, start_producer(options), tags=("c", "a", "b"))

    def start(via, group, expression):
        received = Tally()

        def consume(message):
            emit("received", via=via, id=message.message_id, body=body_of(message), attempt=message.delivery_attempt,
                 tag=message.tag)
            received.add(body_of(message))
            return True

        start_push(options, group, consume, expression)
        return received

    by_tag = start("push", options.group, FilterExpression(options.expression))
    by_sql = start("sql", options.simple_group, FilterExpression(options.sql, FilterType.SQL))
    by_tag.wait(options.count * 2 // 3)
    by_sql.wait(options.sql_count)


def retry(options):
    received = Tally()

    def consume(message):
        emit_received(message, "push")
        return received.add(body_of(message)) >= 3

    start_push(options, options.group, consume)
    send_all(options, start_producer(options))
    received.wait(options.count, times=3)


def dlq(options):
    received, dead = Tally(), Tally()

    def consume(message):
        emit_received(message, "push")
        received.add(body_of(message))
        return False

    start_push(options, options.group, consume)
    send_all(options, start_producer(options))
    received.wait(options.count, times=3)

    consumer = start_simple(options, f"%DLQ%{options.group}", options.dead_group)
    while not dead.complete(options.count):
        try:
            messages = consumer.receive(BATCH, options.invisible)
        except Exception as error:  # The topic appears with its first message.
            emit("waiting", **describe(error))
            time.sleep(0.5)
            continue
        for message in messages:
            emit("dead", id=message.message_id, body=body_of(message))
            consumer.ack(message)
            dead.add(body_of(message))


def delayed_message(options, index):
    message = message_for(options, f"{options.run}-{index}")
    message.delivery_timestamp = math.ceil(time.time()) + options.delay  # In whole seconds.
    emit("scheduled", body=message.body.decode(), due=message.delivery_timestamp)
    return message


def start_push_with_times(options):
    received = Tally()

    def consume(message):
        emit("received", via="push", id=message.message_id, body=body_of(message), attempt=message.delivery_attempt,
             wall=time.time())
        received.add(body_of(message))
        return True

    start_push(options, options.group, consume)
    return received


def delay(options):
    received = start_push_with_times(options)
    producer = start_producer(options)
    for index in range(options.count):
        try:
            send(producer, delayed_message(options, index))
        except Exception as error:
            fail("send", error)
    received.wait(options.count)


def recall(options):
    received = start_push_with_times(options)
    producer = start_producer(options)
    handles = []
    for index in range(2):
        message = delayed_message(options, index)
        receipt = producer.send(message)
        emit("sent", id=receipt.message_id, body=message.body.decode(), tag=None)
        handles.append(receipt.recall_handle)
    emit("recalled", id=producer.recall_message(options.topic, handles[0]))

    def attempt(case, handle):
        try:
            producer.recall_message(options.topic, handle)
            emit("accepted", case=case)
        except Exception as error:
            emit("refused", case=case, **describe(error))

    attempt("the recalled", handles[0])
    attempt("nonsense", "nonsense")
    received.wait(1)
    time.sleep(1)  # The other would come now.
    attempt("the delivered", handles[1])


class Checker(TransactionChecker):
    """Answers by the message's number; knows nothing of message 4 when it is asked first."""

    def __init__(self, options):
        self._run = options.run
        self._asked = Tally()

    def check(self, message):
        index = int(body_of(message).removeprefix(f"{self._run}-"))
        knows = index != 4 or self._asked.add(body_of(message)) > 1
        answer = ("rollback" if index == 3 else "commit") if knows else "unknown"
        emit("checked", id=message.message_id, body=body_of(message), answer=answer)
        return {"commit": TransactionResolution.COMMIT, "rollback": TransactionResolution.ROLLBACK,
                "unknown": TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED}[answer]


def transaction(options):
    received = Tally()

    def consume(message):
        emit_received(message, "push")
        received.add(body_of(message))
        return True

    start_push(options, options.group, consume)

    def start():
        producer = Producer(configuration(options.endpoint), (options.topic,), checker=Checker(options))
        producer.startup()
        return producer

    def prepare(producer, index):
        opened = producer.begin_transaction()
        message = message_for(options, f"{options.run}-{index}")
        receipt = producer.send(message, opened)
        emit("prepared", id=receipt.message_id, body=message.body.decode())
        return opened

    goes = start()
    prepare(goes, 5)
    goes.shutdown()
    stays = start()
    prepare(stays, 0).commit()
    emit("ended", body=f"{options.run}-0", how="commit")
    prepare(stays, 1).rollback()
    emit("ended", body=f"{options.run}-1", how="rollback")
    for index in (2, 3, 4):
        prepare(stays, index)
    received.wait(4)
    time.sleep(1)  # What must not arrive would be here by now.


def fifo(options):
    producer = start_producer(options)
    for index in range(options.count):
        message = message_for(options, f"{options.run}-{index}")
        message.message_group = f"g{index % MESSAGE_GROUPS}"
        try:
            send(producer, message)
        except Exception as error:
            fail("send", error)
    # The second message of the first message group fails once.
    failing = f"{options.run}-{MESSAGE_GROUPS}"

    pushed, pushed_attempts = Tally(), Tally()

    def consume(message):
        emit_received(message, "push")
        body = body_of(message)
        if pushed_attempts.add(body) == 1 and body == failing:
            emit("failed", via="push", body=body)
            return False
        emit("consumed", via="push", body=body)
        pushed.add(body)
        return True

    start_push(options, options.group, consume)
    pushed.wait(options.count)

    consumer = start_simple(options, options.topic, options.simple_group)
    seen, acked = Tally(), Tally()

    def settle(message):
        body = body_of(message)
        if seen.add(body) == 1 and body == failing:
            emit("failed", via="simple", body=body)
            consumer.change_invisible_duration(message, options.change)
            return
        emit("consumed", via="simple", body=body)
        consumer.ack(message)
        acked.add(body)

    receive_until(options, consumer, lambda: acked.complete(options.count), settle, batch=1)
    acked.wait(options.count)


def priority(options):
    producer = start_producer(options)
    for index in range(options.count):
        message = message_for(options, f"{options.run}-{index}")
        message.priority = 1 + index * 7 % 15  # Each of 1 to 15, in no order.
        receipt = producer.send(message)
        emit("sent", id=receipt.message_id, body=message.body.decode(), tag=None, priority=message.priority)

    consumer = start_simple(options, options.topic, options.group)
    acked, answers = Tally(), 0
    while not acked.complete(options.count):
        messages = consumer.receive(PRIORITY_BATCH, options.invisible)
        answers += 1
        for message in messages:
            emit("received", via="simple", id=message.message_id, body=body_of(message), attempt=message.delivery_attempt,
                 answer=answers, priority=message.priority)
        for message in messages:
            consumer.ack(message)
            acked.add(body_of(message))


def wrong_type(options):
    producer = start_producer(options)

    def message_to(topic, body, message_group):
        message = Message()
        message.topic = topic
        message.body = f"{options.run}-{body}".encode()
        if message_group:
            message.message_group = message_group
        return message

    for case, topic, message_group in (("fifo-to-normal", options.topic, "g0"), ("normal-to-fifo", options.fifo_topic, None)):
        try:
            producer.send(message_to(topic, case, message_group))
            emit("accepted", case=case)
        except Exception as error:
            emit("refused", case=case, **describe(error))
    send(producer, message_to(options.topic, "normal", None))
    send(producer, message_to(options.fifo_topic, "fifo", "g0"))


def members(options):
    """Two members, each with a group of its own: they hear what is told to all, and each asks and is answered."""
    heard, replied = Tally(), Tally()
    for name in MEMBERS:
        def consume(message, name=name):
            body = body_of(message)
            if message.topic == options.topic:
                emit("heard", member=name, id=message.message_id, body=body)
                heard.add(name + body)
            else:
                emit("replied", member=name, id=message.message_id, body=body, correlation=message.properties["correlation_id"])
                replied.add(name + body)
            return True

        # A consumer each: one alone polls at six shards at a time on two cores, and these may be eight (README.md).
        for topic, tag in ((options.topic, "news"), (options.reply_topic, name)):
            PushConsumer(configuration(options.consumer_endpoint), f"%MEMBER%{options.run}-{name}", Listener(consume),
                         {topic: FilterExpression(tag)}).startup()
    producer = start_producer(options)

    def answer(message):
        reply = Message()
        reply.topic = message.properties["reply_topic"]
        reply.tag = message.properties["reply_tag"]
        reply.add_property("correlation_id", message.properties["correlation_id"])
        reply.body = b"re:" + message.body
        producer.send(reply)
        return True

    start_push(options, options.group, answer, FilterExpression("ask"))
    try:
        for index in range(options.count):
            send(producer, message_for(options, f"{options.run}-{index}", "news"))
            for name in MEMBERS:
                request = message_for(options, f"{options.run}-{name}-{index}", "ask")
                request.add_property("correlation_id", f"{name}-{index}")
                request.add_property("reply_topic", options.reply_topic)
                request.add_property("reply_tag", name)
                send(producer, request)
    except Exception as error:
        fail("send", error)
    heard.wait(len(MEMBERS) * options.count)
    replied.wait(len(MEMBERS) * options.count)


def props(options):
    message = message_for(options, options.body, options.tag)
    for key in options.keys.split(","):
        message.keys = key
    for pair in options.properties.split(","):
        message.add_property(*pair.split("="))
    received = Tally()

    def consume(message):
        if message.tag == BYTES:
            emit("received-bytes", id=message.message_id, **outline(message.body))
            received.add(message.message_id)
            return True
        emit("received", via="push", id=message.message_id, body=body_of(message), attempt=message.delivery_attempt,
             tag=message.tag, keys=sorted(message.keys), properties=dict(message.properties))
        received.add(body_of(message))
        return True

    start_push(options, options.group, consume)
    producer = start_producer(options)
    try:
        send(producer, message)
        bodies = (bytes(range(256)), b"\0", b"x" * LARGE_BODY_BYTES)
        sends = []
        for body in bodies:
            message = Message()
            message.topic = options.topic
            message.tag = BYTES
            message.body = body
            sends.append(producer.send_async(message))
        for body, sending in zip(bodies, sends):
            emit("sent-bytes", id=sending.result().message_id, how="async", **outline(body))
    except Exception as error:
        fail("send", error)
    received.wait(1 + len(bodies))


def errors(options):
    producer = start_producer(options)

    def attempt(case, topic, body, tag=None):
        try:
            message = Message()
            message.topic = topic
            message.body = body
            if tag:
                message.tag = tag
            producer.send(message)
            emit("accepted", case=case)
        except Exception as error:
            emit("refused", case=case, **describe(error))

    attempt("illegal-topic", "bad.topic", b"x")
    attempt("oversize-body", options.topic, b"x" * (MAX_BODY_BYTES + 1))
    attempt("unknown-topic", f"{options.topic}-unknown", b"x")
    attempt("long-topic", "x" * 128, b"x")
    attempt("empty-body", options.topic, b"")
    attempt("illegal-tag", options.topic, b"x", tag="a|b")

    # A consumer ends while it polls. What is sent afterwards must not go to it.
    ending = start_simple(options, options.topic, options.group)

    def poll():
        try:
            ending.receive(1, options.invisible)
        except Exception:
            pass  # How it ends is the client's matter.

    threading.Thread(target=poll, daemon=True).start()
    time.sleep(0.5)
    began = time.monotonic()
    ending.shutdown()
    emit("closed", seconds=time.monotonic() - began)
    send(producer, message_for(options, f"{options.run}-after"))
    consumer = start_simple(options, options.topic, options.group)
    acked = Tally()

    def settle(message):
        consumer.ack(message)
        acked.add(body_of(message))

    receive_until(options, consumer, lambda: acked.complete(1), settle)
    acked.wait(1)


def start_lite(options, topic, group, consume):
    consumer = LitePushConsumer(configuration(options.consumer_endpoint), group, topic, Listener(consume))
    consumer.startup()
    return consumer


def send_lite(producer, topic, lite, body):
    message = Message()
    message.topic = topic
    message.body = body.encode()
    message.lite_topic = lite
    receipt = producer.send(message)
    emit("sent", id=receipt.message_id, body=body, tag=None, lite=lite)


def emit_received_lite(message):
    emit("received", via="lite", id=message.message_id, body=body_of(message), attempt=message.delivery_attempt,
         lite=message.lite_topic)


def lite(options):
    received = Tally()

    def consume(message):
        if index_of(body_of(message)) == 0:
            time.sleep(0.3)  # What follows would overtake it.
        emit_received_lite(message)
        received.add(body_of(message))
        return True

    consumer = start_lite(options, options.topic, options.group, consume)
    producer = start_producer(options)

    def subscribe(lite):
        emit("subscribing", lite=lite)
        consumer.subscribe_lite(lite)

    def unsubscribe(lite):
        consumer.unsubscribe_lite(lite)
        emit("unsubscribed", lite=lite)

    def attempt(case, lite):
        try:
            consumer.subscribe_lite(lite)
            emit("accepted", case=case)
        except Exception as error:
            emit("refused", case=case, **describe(error))

    def send_one(lite, index):
        send_lite(producer, options.topic, lite, f"{options.run}-{lite}-{index}")

    subscribe("a")
    subscribe("b")
    for index in range(options.count):
        for lite in LITE_TOPICS:
            send_one(lite, index)
    received.wait(2 * options.count)
    subscribe("c")
    received.wait(3 * options.count)
    unsubscribe("a")
    send_one("a", options.count)
    send_one("b", options.count)
    received.wait(3 * options.count + 1)
    subscribe("d")
    received.wait(4 * options.count + 1)
    attempt("over-quota", "e")
    attempt("long-lite-topic", "x" * 65)
    unsubscribe("c")
    subscribe("a")
    received.wait(4 * options.count + 2)


def auto_renew(options):
    """The listener holds what it is given: as long as it is told, or until the driver kills this program."""
    done = Tally()

    def consume(message):
        emit_received(message, "push")
        time.sleep(options.hold)
        emit("consumed", via="push", body=body_of(message))
        done.add(body_of(message))
        return True

    start_push(options, options.group, consume)
    if options.count:
        send_all(options, start_producer(options))
    done.wait(max(options.count, 1))
    time.sleep(options.linger)  # For what should not come again, and for the acknowledgement.


def goaway(options):
    """Sends for a while over connections that end, to a push consumer and a simple one; what fails is said, and then it goes on."""
    pushed, acked = Tally(), Tally()

    def consume(message):
        emit_received(message, "push")
        pushed.add(body_of(message))
        return True

    start_push(options, options.group, consume)
    consumer = start_simple(options, options.topic, options.simple_group)
    producer = start_producer(options)

    def receive_forever():
        while True:
            try:
                for message in consumer.receive(BATCH, options.invisible):
                    emit_received(message, "simple")
                    consumer.ack(message)
                    acked.add(body_of(message))
            except Exception as error:
                emit("receive-failed", **describe(error))
                time.sleep(0.2)

    for _ in range(options.receivers):
        threading.Thread(target=receive_forever, daemon=True).start()
    sent = 0
    for index in range(options.count):
        try:
            send(producer, message_for(options, f"{options.run}-{index}"))
            sent += 1
        except Exception as error:
            emit("send-failed", body=f"{options.run}-{index}", **describe(error))
        time.sleep(options.pause)
    pushed.wait(sent)
    acked.wait(sent)


def loop(options):
    def consume(message):
        emit_received(message, "push")
        return True

    start_push(options, options.group, consume)

    def consume_lite(message):
        emit_received_lite(message)
        return True

    start_lite(options, options.lite_topic, options.lite_group, consume_lite).subscribe_lite("a")
    consumer = start_simple(options, options.topic, options.simple_group)
    producer = start_producer(options)

    def receive_forever():
        while True:
            try:
                for message in consumer.receive(BATCH, options.invisible):
                    emit_received(message, "simple")
                    consumer.ack(message)
            except Exception as error:
                emit("receive-failed", **describe(error))
                time.sleep(0.2)

    for _ in range(options.receivers):
        threading.Thread(target=receive_forever, daemon=True).start()

    index = 0
    while not STOP_SENDING.wait(options.pause):
        try:
            send(producer, message_for(options, f"{options.run}-{index}"))
            if index % LITE_EVERY == 0:
                send_lite(producer, options.lite_topic, "a", f"{options.run}-lite-{index}")
        except Exception as error:
            emit("send-failed", body=f"{options.run}-{index}", **describe(error))
        index += 1
    emit("stopped", sends=index)
    threading.Event().wait()  # Keep consuming until stdin closes.


class MixedChecker(TransactionChecker):
    """What it would have done itself; of any producer's transaction, since whoever lives is asked."""

    def check(self, message):
        commits = commits_mixed(index_of(body_of(message)))
        emit("checked", id=message.message_id, body=body_of(message), answer="commit" if commits else "rollback")
        return TransactionResolution.COMMIT if commits else TransactionResolution.ROLLBACK


def index_of(body):
    return int(body.rsplit("-", 1)[1])


def commits_mixed(index):
    return index % 2 == 0


def returns_mixed(via, index, attempt):
    """Which deliveries are given back: to be tried again, to die, to hold up their message group."""
    return ((via == "retry" and (index % 5 == 0 or attempt == 1)) or (via == "fifo" and index % 17 == 5 and attempt == 1)
            or (via == "push" and index % 7 == 3 and attempt == 1))


def mixed(options):
    kinds = options.kinds.split(",")
    topics = {kind: f"{options.topic}-{kind}" for kind in (*kinds, "reply", "batch")}
    producer = Producer(configuration(options.endpoint), tuple(topics.values()), checker=MixedChecker())
    producer.startup()

    def settle_all(consumer, via, messages, asked):
        for place, message in enumerate(messages):
            emit("received", via=via, id=message.message_id, body=body_of(message), attempt=message.delivery_attempt,
                 asked=asked, wall=time.time(), answer=f"{options.run} {asked}", place=place)
        for message in messages:
            body, attempt = body_of(message), message.delivery_attempt
            returns = returns_mixed(via, index_of(body), attempt)
            begun = time.time()
            try:
                if returns:
                    consumer.change_invisible_duration(message, options.change)
                else:
                    consumer.ack(message)
                emit("returned" if returns else "acked", via=via, body=body, attempt=attempt, begun=begun)
            except Exception as error:
                emit("return-failed" if returns else "ack-failed", via=via, body=body, attempt=attempt, begun=begun,
                     **describe(error))
                if via == "fifo":
                    return  # What follows would overtake it.

    def receive_forever(consumer, via):
        while True:
            asked = time.time()
            try:
                settle_all(consumer, via, consumer.receive(16, options.invisible), asked)
            except Exception as error:
                emit("receive-failed", via=via, **describe(error))
                time.sleep(0.2)

    def start_consumer(via):
        dead = f"%DLQ%{options.group}-retry"
        topic = {"tag": topics["normal"], "sql": topics["normal"], "dead": dead}.get(via) or topics[via]
        expression = {"tag": FilterExpression(options.expression),
                      "sql": FilterExpression(options.sql, FilterType.SQL)}.get(via, FilterExpression("*"))
        consumer = SimpleConsumer(configuration(options.consumer_endpoint), f"{options.group}-{via}", {topic: expression},
                                  await_duration=options.await_s)
        consumer.startup()
        for _ in range(options.receivers):
            threading.Thread(target=receive_forever, args=(consumer, via), daemon=True).start()

    def answer(request):
        """Its body says whose request it answers, and which attempt: so each answer is another one."""
        _, requester, index = body_of(request).split("-")
        reply = Message()
        reply.topic = topics["reply"]
        reply.tag = requester
        reply.body = f"reply-{requester}.{request.delivery_attempt}-{index}".encode()
        receipt = producer.send(reply)
        emit("sent", id=receipt.message_id, body=reply.body.decode())

    def listener(via):
        def consume(message):
            body, attempt = body_of(message), message.delivery_attempt
            emit("received", via=via, id=message.message_id, body=body, attempt=attempt, wall=time.time())
            returns = returns_mixed(via, index_of(body), attempt)
            if via == "request":
                try:
                    answer(message)
                except Exception as error:
                    emit("send-failed", body=body, **describe(error))
                    returns = True
            emit("returned" if returns else "consumed", via=via, body=body, attempt=attempt, begun=time.time())
            return not returns

        return Listener(consume)

    def start_pushed(via, kind, tag="*"):
        group = f"%MEMBER%{options.group}-{options.run}" if via == "reply" else f"{options.group}-{via}"
        PushConsumer(configuration(options.consumer_endpoint), group, listener(via), {topics[kind]: FilterExpression(tag)}).startup()

    def start_reader():
        reader = LitePushConsumer(configuration(options.consumer_endpoint), f"{options.group}-lite", topics["lite"], listener("lite"))
        reader.startup()
        for lite in options.lite_names.split(","):
            reader.subscribe_lite(lite)

    pushed = {"push": lambda: start_pushed("push", "normal"), "push-fifo": lambda: start_pushed("push-fifo", "fifo"),
              "request": lambda: start_pushed("request", "request"), "reply": lambda: start_pushed("reply", "reply", options.run),
              "lite": start_reader}
    for via in options.groups.split(","):
        pushed.get(via, lambda via=via: start_consumer(via))()

    def message_of(kind, index):
        message = Message()
        message.topic = topics[kind]
        message.body = f"{kind}-{options.run}-{index}".encode()
        if kind == "normal":
            message.tag = "cab"[index % 3]
            message.add_property("number", str(index))
        elif kind == "fifo":
            message.message_group = f"{options.run}-{index % MESSAGE_GROUPS}"
        elif kind == "delay":
            message.delivery_timestamp = math.ceil(time.time()) + 1 + index % 4
            emit("scheduled", body=message.body.decode(), due=message.delivery_timestamp)
        elif kind == "priority":
            message.priority = 1 + index % 15  # The client takes 0 for none.
        elif kind == "lite":
            message.lite_topic = options.run
        return message

    def send_one(kind, index):
        message = message_of(kind, index)
        body = message.body.decode()
        if kind != "transaction":
            receipt = producer.send(message)
            emit("sent", id=receipt.message_id, body=body)
            if kind == "delay" and index % 4 == 1:
                try:
                    producer.recall_message(message.topic, receipt.recall_handle)
                    emit("recalled", body=body)
                except Exception as error:
                    emit("recall-failed", body=body, **describe(error))
            return
        opened = producer.begin_transaction()
        receipt = producer.send(message, opened)
        emit("sent", id=receipt.message_id, body=body)
        if index % 4 < 2:  # The others are left to the check-back.
            try:
                opened.commit() if commits_mixed(index) else opened.rollback()
                emit("ended", body=body, how="commit" if commits_mixed(index) else "rollback")
            except Exception as error:
                emit("end-failed", body=body, **describe(error))

    def send_forever(kind):
        index = 0
        while not STOP_SENDING.wait(options.pause):
            try:
                send_one(kind, index)
            except Exception as error:
                emit("send-failed", body=f"{kind}-{options.run}-{index}", **describe(error))
            index += 1

    senders = [threading.Thread(target=send_forever, args=(kind,)) for kind in kinds]
    for sender in senders:
        sender.start()
    for sender in senders:
        sender.join()
    emit("stopped")
    threading.Event().wait()  # Keep consuming until stdin closes.


def obey_stdin():
    for line in sys.stdin:
        if line.strip() == "stop":
            STOP_SENDING.set()
    leave(0)  # The driver is gone, or has seen enough.


SCENARIOS = {"normal-push": normal_push, "simple": simple, "tags": tags, "retry": retry, "dlq": dlq,
             "delay": delay, "recall": recall, "transaction": transaction, "fifo": fifo, "priority": priority,
             "members": members, "props": props, "errors": errors, "wrong-type": wrong_type, "lite": lite,
             "auto-renew": auto_renew, "goaway": goaway, "loop": loop, "mixed": mixed}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scenario", choices=SCENARIOS)
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--consumer-endpoint")
    parser.add_argument("--topic", required=True)
    parser.add_argument("--reply-topic")
    parser.add_argument("--fifo-topic")
    parser.add_argument("--lite-topic")
    parser.add_argument("--lite-group")
    parser.add_argument("--group", required=True)
    parser.add_argument("--simple-group")
    parser.add_argument("--dead-group")
    parser.add_argument("--lite-names")
    parser.add_argument("--kinds")
    parser.add_argument("--groups")
    parser.add_argument("--run", required=True)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--receivers", type=int, default=1)
    parser.add_argument("--await", dest="await_s", type=int, default=5)
    parser.add_argument("--invisible", type=int, default=10)
    parser.add_argument("--change", type=int, default=5)
    parser.add_argument("--delay", type=int, default=3)
    parser.add_argument("--pause", type=float, default=0.02)
    parser.add_argument("--hold", type=float, default=0)
    parser.add_argument("--linger", type=float, default=0)
    parser.add_argument("--expression", default="*")
    parser.add_argument("--sql", default="")
    parser.add_argument("--sql-count", type=int, default=0)
    parser.add_argument("--body", default="")
    parser.add_argument("--tag", default="")
    parser.add_argument("--keys", default="")
    parser.add_argument("--properties", default="")
    options = parser.parse_args()
    options.consumer_endpoint = options.consumer_endpoint or options.endpoint

    threading.Thread(target=obey_stdin, daemon=True).start()
    try:
        SCENARIOS[options.scenario](options)
    except Exception as error:
        fail(options.scenario, error)
    emit("done")
    leave(0)


main()
