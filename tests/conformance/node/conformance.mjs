// The official Node.js client of RocketMQ 5, one scenario per run.
//
// The command line and the events on stdout are the same in every language:
// ../README.md describes them. Nothing here judges; driver.py does.

import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import rocketmq from 'rocketmq-client-nodejs';

const { ConsumeResult, ConsumeResultSuspend, FilterExpression, LitePushConsumerBuilder, OffsetOption, Producer, PushConsumer, SimpleConsumer }
  = rocketmq;

// The client does not export its own enumerations.
const SQL = 2;
const TransactionResolution = { TRANSACTION_RESOLUTION_UNSPECIFIED: 0, COMMIT: 1, ROLLBACK: 2 };

const SENDS_IN_FLIGHT = 32;
const BATCH = 32;
const MAX_BODY_BYTES = 4 * 1024 * 1024;
const LARGE_BODY_BYTES = MAX_BODY_BYTES - 4096; // This client takes no answer of more than 4 MiB.
const BYTES = 'bytes'; // The tag of messages whose body is no text.
const MESSAGE_GROUPS = 4;
const PRIORITY_BATCH = 2;
const MEMBERS = ['a', 'b'];
const LITE_TOPICS = ['a', 'b', 'c', 'd'];
const LITE_EVERY = 10; // Sends of `loop`.

let sending = true;

function emit(event, fields = {}) {
  const t = Math.round(performance.now()) / 1000;
  process.stdout.write(JSON.stringify({ event, t, ...fields }) + '\n');
}

function describe(error) {
  return { type: error.name ?? typeof error, code: error.code ?? null, message: String(error.message ?? error) };
}

// Closing is not tried: the client's telemetry stream renews itself for ever.
function leave(status) {
  process.stdout.write('', () => process.exit(status));
}

function fail(doing, error) {
  emit('error', { doing, ...describe(error) });
  leave(1);
  return new Promise(() => {});
}

// How often each body was seen; resolves for whoever waits for the last one.
class Tally {
  #times = new Map();
  #waiting = [];

  add(body) {
    const times = (this.#times.get(body) ?? 0) + 1;
    this.#times.set(body, times);
    this.#waiting = this.#waiting.filter(({ bodies, times, resolve }) => {
      if (!this.complete(bodies, times)) return true;
      resolve();
      return false;
    });
    return times;
  }

  complete(bodies, times = 1) {
    return [...this.#times.values()].filter(seen => seen >= times).length >= bodies;
  }

  wait(bodies, times = 1) {
    if (this.complete(bodies, times)) return Promise.resolve();
    return new Promise(resolve => this.#waiting.push({ bodies, times, resolve }));
  }
}

// Its default is a file under the home directory.
const logger = { debug() {}, info() {}, warn: console.error, error: console.error };

function connection(endpoints) {
  return { endpoints, namespace: '', logger };
}

async function startProducer(options) {
  const producer = new Producer({ ...connection(options.endpoint), topics: [options.topic] });
  await producer.startup();
  return producer;
}

// consume(message) returns whether the message is done with, or a promise of it.
async function startPush(options, group, consume, expression = options.expression) {
  const consumer = new PushConsumer({
    ...connection(options.consumerEndpoint),
    consumerGroup: group,
    subscriptions: new Map([[options.topic, expression]]),
    messageListener: { consume: async message => (await consume(message) ? ConsumeResult.SUCCESS : ConsumeResult.FAILURE) },
  });
  await consumer.startup();
  return consumer;
}

async function startSimple(options, topic, group) {
  const consumer = new SimpleConsumer({
    ...connection(options.consumerEndpoint),
    consumerGroup: group,
    subscriptions: new Map([[topic, options.expression]]),
    awaitDuration: options.await * 1000,
  });
  await consumer.startup();
  return consumer;
}

// Its length and its Adler-32.
function outline(body) {
  let a = 1;
  let b = 0;
  for (const byte of body) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return { bytes: body.length, adler32: b * 65536 + a };
}

const bodyOf = message => message.body.toString();

function emitReceived(message, via) {
  emit('received', { via, id: message.messageId, body: bodyOf(message), attempt: message.deliveryAttempt });
}

async function send(producer, message) {
  const receipt = await producer.send(message);
  emit('sent', { id: receipt.messageId, body: message.body.toString(), tag: message.tag ?? null });
}

async function sendAll(options, producer, tags = [undefined]) {
  let next = 0;
  const sendUntilAllAreSent = async () => {
    while (next < options.count) {
      const index = next++;
      const body = Buffer.from(`${options.run}-${index}`);
      const tag = tags[index % tags.length];
      await send(producer, { topic: options.topic, body, tag, properties: tag && new Map([['number', String(index)]]) });
    }
  };
  await Promise.all(Array.from({ length: SENDS_IN_FLIGHT }, sendUntilAllAreSent)).catch(error => fail('send', error));
}

// Several receives side by side, because each one asks only one broker of the route.
function receiveUntil(options, consumer, finished, settle, batch = BATCH) {
  const receiveAndSettle = async () => {
    while (!finished()) {
      const messages = await consumer.receive(batch, options.invisible * 1000);
      messages.forEach(message => emitReceived(message, 'simple'));
      for (const message of messages) await settle(message);
    }
  };
  for (let i = 0; i < options.receivers; i++) {
    receiveAndSettle().catch(error => fail('receive or settle', error));
  }
}

async function normalPush(options) {
  const received = new Tally();
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    received.add(bodyOf(message));
    return true;
  });
  await sendAll(options, await startProducer(options));
  await received.wait(options.count);
}

async function simple(options) {
  await sendAll(options, await startProducer(options));
  const consumer = await startSimple(options, options.topic, options.group);
  const seen = new Tally();
  const acked = new Tally();
  receiveUntil(options, consumer, () => acked.complete(options.count), async message => {
    const body = bodyOf(message);
    const firstTime = seen.add(body) === 1;
    if (firstTime && body === `${options.run}-0`) return; // Left alone: it must come back after its invisible time.
    if (firstTime && body === `${options.run}-1`) {
      await consumer.changeInvisibleDuration(message, options.change * 1000);
      emit('changed', { body });
      return;
    }
    await consumer.ack(message);
    emit('acked', { body });
    acked.add(body);
  });
  await acked.wait(options.count);
}

async function tags(options) {
  await sendAll(options, await startProducer(options), ['c', 'a', 'b']);
  const start = async (via, group, expression) => {
    const received = new Tally();
    await startPush(options, group, message => {
      emit('received', {
        via, id: message.messageId, body: bodyOf(message), attempt: message.deliveryAttempt, tag: message.tag,
      });
      received.add(bodyOf(message));
      return true;
    }, expression);
    return received;
  };
  const byTag = await start('push', options.group, options.expression);
  const bySql = await start('sql', options.simpleGroup, new FilterExpression(options.sql, SQL));
  await byTag.wait(Math.floor(options.count * 2 / 3));
  await bySql.wait(options.sqlCount);
}

async function retry(options) {
  const received = new Tally();
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    return received.add(bodyOf(message)) >= 3;
  });
  await sendAll(options, await startProducer(options));
  await received.wait(options.count, 3);
}

async function dlq(options) {
  const received = new Tally();
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    received.add(bodyOf(message));
    return false;
  });
  await sendAll(options, await startProducer(options));
  await received.wait(options.count, 3);

  const dead = new Tally();
  let consumer;
  while (!dead.complete(options.count)) {
    try {
      consumer ??= await startSimple(options, `%DLQ%${options.group}`, options.deadGroup);
      for (const message of await consumer.receive(BATCH, options.invisible * 1000)) {
        emit('dead', { id: message.messageId, body: bodyOf(message) });
        await consumer.ack(message);
        dead.add(bodyOf(message));
      }
    } catch (error) { // The topic appears with its first message.
      emit('waiting', describe(error));
      await sleep(500);
    }
  }
}

// In whole seconds, as in the languages that know no finer ones.
function delayedMessage(options, index) {
  const body = `${options.run}-${index}`;
  const due = Math.ceil(Date.now() / 1000) + options.delay;
  emit('scheduled', { body, due });
  return { topic: options.topic, body: Buffer.from(body), deliveryTimestamp: new Date(due * 1000) };
}

async function startPushWithTimes(options) {
  const received = new Tally();
  await startPush(options, options.group, message => {
    emit('received', {
      via: 'push', id: message.messageId, body: bodyOf(message), attempt: message.deliveryAttempt, wall: Date.now() / 1000,
    });
    received.add(bodyOf(message));
    return true;
  });
  return received;
}

async function delay(options) {
  const received = await startPushWithTimes(options);
  const producer = await startProducer(options);
  for (let index = 0; index < options.count; index++) {
    await send(producer, delayedMessage(options, index)).catch(error => fail('send', error));
  }
  await received.wait(options.count);
}

async function recall(options) {
  const received = await startPushWithTimes(options);
  const producer = await startProducer(options);
  const handles = [];
  for (let index = 0; index < 2; index++) {
    const message = delayedMessage(options, index);
    const receipt = await producer.send(message);
    emit('sent', { id: receipt.messageId, body: message.body.toString(), tag: null });
    handles.push(receipt.recallHandle);
  }
  emit('recalled', { id: (await producer.recallMessage(options.topic, handles[0])).messageId });

  const attempt = async (kase, handle) => {
    try {
      await producer.recallMessage(options.topic, handle);
      emit('accepted', { case: kase });
    } catch (error) {
      emit('refused', { case: kase, ...describe(error) });
    }
  };
  await attempt('the recalled', handles[0]);
  await attempt('nonsense', 'nonsense');
  await received.wait(1);
  await sleep(1000); // The other would come now.
  await attempt('the delivered', handles[1]);
}

// Answers by the message's number; knows nothing of message 4 when it is asked first.
function checker(options) {
  const asked = new Tally();
  return {
    async check(message) {
      const index = Number(bodyOf(message).slice(options.run.length + 1));
      const knows = index !== 4 || asked.add(bodyOf(message)) > 1;
      const answer = knows ? (index === 3 ? 'rollback' : 'commit') : 'unknown';
      emit('checked', { id: message.messageId, body: bodyOf(message), answer });
      return { commit: TransactionResolution.COMMIT, rollback: TransactionResolution.ROLLBACK,
        unknown: TransactionResolution.TRANSACTION_RESOLUTION_UNSPECIFIED }[answer];
    },
  };
}

async function transaction(options) {
  const received = new Tally();
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    received.add(bodyOf(message));
    return true;
  });
  const start = async () => {
    const producer = new Producer({ ...connection(options.endpoint), topics: [options.topic], topic: options.topic, checker: checker(options) });
    await producer.startup();
    return producer;
  };
  const prepare = async (producer, index) => {
    const body = `${options.run}-${index}`;
    const opened = producer.beginTransaction();
    const receipt = await producer.send({ topic: options.topic, body: Buffer.from(body) }, opened);
    emit('prepared', { id: receipt.messageId, body });
    return opened;
  };

  const goes = await start();
  await prepare(goes, 5);
  await goes.shutdown();
  const stays = await start();
  await (await prepare(stays, 0)).commit();
  emit('ended', { body: `${options.run}-0`, how: 'commit' });
  await (await prepare(stays, 1)).rollback();
  emit('ended', { body: `${options.run}-1`, how: 'rollback' });
  for (const index of [2, 3, 4]) await prepare(stays, index);
  await received.wait(4);
  await sleep(1000); // What must not arrive would be here by now.
}

async function fifo(options) {
  const producer = await startProducer(options);
  for (let index = 0; index < options.count; index++) {
    const body = Buffer.from(`${options.run}-${index}`);
    const message = { topic: options.topic, body, messageGroup: `g${index % MESSAGE_GROUPS}` };
    await send(producer, message).catch(error => fail('send', error));
  }
  const failing = `${options.run}-${MESSAGE_GROUPS}`; // The second message of the first message group fails once.

  const pushed = new Tally();
  const pushedAttempts = new Tally();
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    const body = bodyOf(message);
    if (pushedAttempts.add(body) === 1 && body === failing) {
      emit('failed', { via: 'push', body });
      return false;
    }
    emit('consumed', { via: 'push', body });
    pushed.add(body);
    return true;
  });
  await pushed.wait(options.count);

  const consumer = await startSimple(options, options.topic, options.simpleGroup);
  const seen = new Tally();
  const acked = new Tally();
  const settle = async message => {
    const body = bodyOf(message);
    if (seen.add(body) === 1 && body === failing) {
      emit('failed', { via: 'simple', body });
      await consumer.changeInvisibleDuration(message, options.change * 1000);
      return;
    }
    emit('consumed', { via: 'simple', body });
    await consumer.ack(message);
    acked.add(body);
  };
  receiveUntil(options, consumer, () => acked.complete(options.count), settle, 1);
  await acked.wait(options.count);
}

async function priority(options) {
  const producer = await startProducer(options);
  for (let index = 0; index < options.count; index++) {
    const body = `${options.run}-${index}`;
    const priority = 1 + index * 7 % 15; // Each of 1 to 15, in no order; this client takes 0 for none.
    const receipt = await producer.send({ topic: options.topic, body: Buffer.from(body), priority });
    emit('sent', { id: receipt.messageId, body, tag: null, priority });
  }

  const consumer = await startSimple(options, options.topic, options.group);
  const acked = new Tally();
  for (let answer = 1; !acked.complete(options.count); answer++) {
    const messages = await consumer.receive(PRIORITY_BATCH, options.invisible * 1000);
    for (const message of messages) {
      emit('received', {
        via: 'simple', id: message.messageId, body: bodyOf(message), attempt: message.deliveryAttempt, answer, priority: message.getPriority(),
      });
    }
    for (const message of messages) {
      await consumer.ack(message);
      acked.add(bodyOf(message));
    }
  }
}

async function wrongType(options) {
  const producer = await startProducer(options);
  const messageTo = (topic, body, messageGroup) => ({ topic, body: Buffer.from(`${options.run}-${body}`), messageGroup });
  for (const [kase, topic, messageGroup] of [['fifo-to-normal', options.topic, 'g0'], ['normal-to-fifo', options.fifoTopic, undefined]]) {
    try {
      await producer.send(messageTo(topic, kase, messageGroup));
      emit('accepted', { case: kase });
    } catch (error) {
      emit('refused', { case: kase, ...describe(error) });
    }
  }
  await send(producer, messageTo(options.topic, 'normal', undefined));
  await send(producer, messageTo(options.fifoTopic, 'fifo', 'g0'));
}

// Two members, each with a group of its own: they hear what is told to all, and each asks and is answered.
async function members(options) {
  const heard = new Tally();
  const replied = new Tally();
  for (const name of MEMBERS) {
    const consume = message => {
      const fields = { member: name, id: message.messageId, body: bodyOf(message) };
      if (message.topic === options.topic) {
        emit('heard', fields);
        heard.add(name + fields.body);
      } else {
        emit('replied', { ...fields, correlation: message.properties.get('correlation_id') });
        replied.add(name + fields.body);
      }
      return ConsumeResult.SUCCESS;
    };
    await new PushConsumer({
      ...connection(options.consumerEndpoint),
      consumerGroup: `%MEMBER%${options.run}-${name}`,
      subscriptions: new Map([[options.topic, 'news'], [options.replyTopic, name]]),
      messageListener: { consume },
    }).startup();
  }
  const producer = await startProducer(options);
  // Its listeners are not asynchronous, so an answer is sent after they return.
  const answer = message => {
    const properties = message.properties;
    producer.send({
      topic: properties.get('reply_topic'),
      tag: properties.get('reply_tag'),
      properties: new Map([['correlation_id', properties.get('correlation_id')]]),
      body: Buffer.from(`re:${bodyOf(message)}`),
    }).catch(error => fail('answer', error));
    return true;
  };
  await startPush(options, options.group, answer, 'ask');
  for (let index = 0; index < options.count; index++) {
    await send(producer, { topic: options.topic, tag: 'news', body: Buffer.from(`${options.run}-${index}`) });
    for (const name of MEMBERS) {
      await send(producer, {
        topic: options.topic,
        tag: 'ask',
        properties: new Map([['correlation_id', `${name}-${index}`], ['reply_topic', options.replyTopic], ['reply_tag', name]]),
        body: Buffer.from(`${options.run}-${name}-${index}`),
      });
    }
  }
  await heard.wait(MEMBERS.length * options.count);
  await replied.wait(MEMBERS.length * options.count);
}

async function props(options) {
  const received = new Tally();
  await startPush(options, options.group, message => {
    if (message.tag === BYTES) {
      emit('received-bytes', { id: message.messageId, ...outline(message.body) });
      received.add(message.messageId);
      return true;
    }
    emit('received', {
      via: 'push',
      id: message.messageId,
      body: bodyOf(message),
      attempt: message.deliveryAttempt,
      tag: message.tag,
      keys: [...message.keys].sort(),
      properties: Object.fromEntries(message.properties),
    });
    received.add(bodyOf(message));
    return true;
  });
  const producer = await startProducer(options);
  await send(producer, {
    topic: options.topic,
    body: Buffer.from(options.body),
    tag: options.tag,
    keys: options.keys.split(','),
    properties: new Map(options.properties.split(',').map(pair => pair.split('='))),
  });
  const bodies = [Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), Buffer.alloc(1), Buffer.alloc(LARGE_BODY_BYTES, 'x')];
  const sends = bodies.map(body => producer.send({ topic: options.topic, tag: BYTES, body }));
  for (const [index, receipt] of (await Promise.all(sends)).entries()) {
    emit('sent-bytes', { id: receipt.messageId, how: 'async', ...outline(bodies[index]) });
  }
  await received.wait(1 + bodies.length);
}

async function errors(options) {
  const producer = await startProducer(options);
  const attempt = async (kase, topic, body, tag) => {
    try {
      await producer.send({ topic, body, tag });
      emit('accepted', { case: kase });
    } catch (error) {
      emit('refused', { case: kase, ...describe(error) });
    }
  };
  await attempt('illegal-topic', 'bad.topic', Buffer.from('x'));
  await attempt('oversize-body', options.topic, Buffer.alloc(MAX_BODY_BYTES + 1, 'x'));
  await attempt('unknown-topic', `${options.topic}-unknown`, Buffer.from('x'));
  await attempt('long-topic', 'x'.repeat(128), Buffer.from('x'));
  await attempt('empty-body', options.topic, Buffer.alloc(0));
  await attempt('illegal-tag', options.topic, Buffer.from('x'), 'a|b');

  // A consumer ends while it polls. What is sent afterwards must not go to it.
  const ending = await startSimple(options, options.topic, options.group);
  ending.receive(1, options.invisible * 1000).catch(() => {}); // How it ends is the client's matter.
  await sleep(500);
  const began = performance.now();
  await ending.shutdown();
  emit('closed', { seconds: (performance.now() - began) / 1000 });
  await send(producer, { topic: options.topic, body: Buffer.from(`${options.run}-after`) });
  const consumer = await startSimple(options, options.topic, options.group);
  const acked = new Tally();
  receiveUntil(options, consumer, () => acked.complete(1), async message => {
    await consumer.ack(message);
    acked.add(bodyOf(message));
  });
  await acked.wait(1);
}

const indexOf = body => Number(body.slice(body.lastIndexOf('-') + 1));

// consume(message) may return what becomes of it; nothing means that it is done with.
function startLite(options, topic, group, consume) {
  return new LitePushConsumerBuilder()
    .setClientConfiguration(connection(options.consumerEndpoint))
    .setConsumerGroup(group)
    .bindTopic(topic)
    .setMessageListener({ consume: message => consume(message) ?? ConsumeResult.SUCCESS })
    .build();
}

async function sendLite(producer, topic, lite, body) {
  const receipt = await producer.send({ topic, body: Buffer.from(body), liteTopic: lite });
  emit('sent', { id: receipt.messageId, body, tag: null, lite });
}

function emitReceivedLite(message) {
  emit('received', {
    via: 'lite', id: message.messageId, body: bodyOf(message), attempt: message.deliveryAttempt, lite: message.liteTopic,
  });
}

async function lite(options) {
  const received = new Tally();
  const consumer = await startLite(options, options.topic, options.group, async message => {
    if (indexOf(bodyOf(message)) === 0) await sleep(300); // What follows would overtake it.
    emitReceivedLite(message);
    received.add(bodyOf(message));
    return ConsumeResult.SUCCESS;
  });
  const producer = await startProducer(options);
  const subscribe = async lite => {
    emit('subscribing', { lite });
    await consumer.subscribeLite(lite);
  };
  const unsubscribe = async lite => {
    await consumer.unsubscribeLite(lite);
    emit('unsubscribed', { lite });
  };
  const attempt = async (kase, lite) => {
    try {
      await consumer.subscribeLite(lite);
      emit('accepted', { case: kase });
    } catch (error) {
      emit('refused', { case: kase, ...describe(error) });
    }
  };
  const sendOne = (lite, index) => sendLite(producer, options.topic, lite, `${options.run}-${lite}-${index}`);

  await subscribe('a');
  await subscribe('b');
  for (let index = 0; index < options.count; index++) {
    for (const lite of LITE_TOPICS) await sendOne(lite, index);
  }
  await received.wait(2 * options.count);
  await subscribe('c');
  await received.wait(3 * options.count);
  await unsubscribe('a');
  await sendOne('a', options.count);
  await sendOne('b', options.count);
  await received.wait(3 * options.count + 1);
  await subscribe('d');
  await received.wait(4 * options.count + 1);
  await attempt('over-quota', 'e');
  await attempt('long-lite-topic', 'x'.repeat(65));
  await unsubscribe('c');
  await subscribe('a');
  await received.wait(4 * options.count + 2);
}

// The first message is put off three times.
async function liteSuspend(options) {
  const seen = new Tally();
  const done = new Tally();
  const consumer = await startLite(options, options.topic, options.group, message => {
    emitReceivedLite(message);
    const times = seen.add(bodyOf(message));
    if (indexOf(bodyOf(message)) === 0 && times <= 3) return ConsumeResultSuspend.of(200);
    done.add(bodyOf(message));
  });
  await consumer.subscribeLite('a');
  const producer = await startProducer(options);
  for (let index = 0; index < options.count; index++) {
    await sendLite(producer, options.topic, 'a', `${options.run}-a-${index}`);
  }
  await done.wait(options.count);
}

// What was there before the subscription, from where it says on.
async function liteOffset(options) {
  const received = new Tally();
  let phase = '';
  const consumer = await startLite(options, options.topic, options.group, message => {
    emit('received', {
      via: 'lite', id: message.messageId, body: bodyOf(message), attempt: message.deliveryAttempt, lite: message.liteTopic, phase,
    });
    received.add(phase + bodyOf(message));
  });
  const producer = await startProducer(options);
  const sendOne = (lite, index) => sendLite(producer, options.topic, lite, `${options.run}-${lite}-${index}`);
  for (let index = 0; index < options.count; index++) {
    for (const lite of ['a', 'b']) await sendOne(lite, index);
  }
  phase = 'tail';
  await consumer.subscribeLite('a', OffsetOption.ofTailN(2));
  await received.wait(2);
  await consumer.unsubscribeLite('a');
  phase = 'min';
  await consumer.subscribeLite('a', OffsetOption.MIN_OFFSET);
  await received.wait(2 + options.count);
  phase = 'max';
  await consumer.subscribeLite('b', OffsetOption.MAX_OFFSET);
  await sendOne('b', options.count);
  await received.wait(2 + options.count + 1);
}

// The listener holds what it is given: as long as it is told, or until the driver kills this program.
async function autoRenew(options) {
  const done = new Tally();
  await startPush(options, options.group, async message => {
    emitReceived(message, 'push');
    await sleep(options.hold * 1000);
    emit('consumed', { via: 'push', body: bodyOf(message) });
    done.add(bodyOf(message));
    return true;
  });
  if (options.count > 0) await sendAll(options, await startProducer(options));
  await done.wait(Math.max(options.count, 1));
  await sleep(options.linger * 1000); // For what should not come again, and for the acknowledgement.
}

// Sends for a while over connections that end, to a push consumer and a simple one; what fails is said, and then it goes on.
async function goaway(options) {
  const pushed = new Tally();
  const acked = new Tally();
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    pushed.add(bodyOf(message));
    return true;
  });
  const consumer = await startSimple(options, options.topic, options.simpleGroup);
  const producer = await startProducer(options);
  for (let i = 0; i < options.receivers; i++) receiveForever(options, consumer, acked);
  let sent = 0;
  for (let index = 0; index < options.count; index++) {
    const body = `${options.run}-${index}`;
    try {
      await send(producer, { topic: options.topic, body: Buffer.from(body) });
      sent++;
    } catch (error) {
      emit('send-failed', { body, ...describe(error) });
    }
    await sleep(options.pause * 1000);
  }
  await pushed.wait(sent);
  await acked.wait(sent);
}

async function receiveForever(options, consumer, acked) {
  for (;;) {
    try {
      for (const message of await consumer.receive(BATCH, options.invisible * 1000)) {
        emitReceived(message, 'simple');
        await consumer.ack(message);
        acked.add(bodyOf(message));
      }
    } catch (error) {
      emit('receive-failed', describe(error));
      await sleep(200);
    }
  }
}

async function loop(options) {
  await startPush(options, options.group, message => {
    emitReceived(message, 'push');
    return true;
  });
  const consumer = await startSimple(options, options.topic, options.simpleGroup);
  const producer = await startProducer(options);
  for (let i = 0; i < options.receivers; i++) receiveForever(options, consumer, new Tally());
  await (await startLite(options, options.liteTopic, options.liteGroup, emitReceivedLite)).subscribeLite('a');

  let index = 0;
  for (; sending; index++) {
    const body = `${options.run}-${index}`;
    try {
      await send(producer, { topic: options.topic, body: Buffer.from(body) });
      if (index % LITE_EVERY === 0) await sendLite(producer, options.liteTopic, 'a', `${options.run}-lite-${index}`);
    } catch (error) {
      emit('send-failed', { body, ...describe(error) });
    }
    await sleep(options.pause * 1000);
  }
  emit('stopped', { sends: index });
  await new Promise(() => {}); // Keep consuming until stdin closes.
}

function obeyStdin() {
  const lines = createInterface({ input: process.stdin });
  lines.on('line', line => { if (line.trim() === 'stop') sending = false; });
  lines.on('close', () => leave(0)); // The driver is gone, or has seen enough.
}

const SCENARIOS = {
  'normal-push': normalPush, simple, tags, retry, dlq, delay, recall, transaction, fifo, priority, members, props, errors,
  'wrong-type': wrongType, lite, 'lite-offset': liteOffset, 'lite-suspend': liteSuspend,
  'auto-renew': autoRenew, goaway, loop,
};

const DEFAULTS = {
  'endpoint': '', 'consumer-endpoint': '', 'topic': '', 'reply-topic': '', 'fifo-topic': '', 'lite-topic': '', 'lite-group': '', 'group': '', 'simple-group': '', 'dead-group': '', 'run': '',
  'count': '1', 'receivers': '1', 'await': '5', 'invisible': '10', 'change': '5', 'delay': '3', 'pause': '0.02', 'hold': '0', 'linger': '0',
  'expression': '*', 'sql': '', 'sql-count': '0', 'body': '', 'tag': '', 'keys': '', 'properties': '',
};
const NUMBERS = ['count', 'sql-count', 'receivers', 'await', 'invisible', 'change', 'delay', 'pause', 'hold', 'linger'];

function parseOptions(args) {
  const declared = Object.fromEntries(Object.entries(DEFAULTS).map(([name, value]) => [name, { type: 'string', default: value }]));
  const { values } = parseArgs({ args, options: declared });
  for (const name of NUMBERS) values[name] = Number(values[name]);
  return {
    ...values,
    consumerEndpoint: values['consumer-endpoint'] || values.endpoint,
    replyTopic: values['reply-topic'],
    fifoTopic: values['fifo-topic'],
    liteTopic: values['lite-topic'],
    liteGroup: values['lite-group'],
    simpleGroup: values['simple-group'],
    sqlCount: values['sql-count'],
    deadGroup: values['dead-group'],
  };
}

// The client throws some of its errors where no caller can catch them.
process.on('uncaughtException', error => fail('inside the client', error));
process.on('unhandledRejection', error => fail('inside the client', error));

const [scenario, ...rest] = process.argv.slice(2);
if (!SCENARIOS[scenario]) {
  console.error(`scenario is one of ${Object.keys(SCENARIOS).join(', ')}; see README.md`);
  process.exit(2);
}
obeyStdin();
try {
  await SCENARIOS[scenario](parseOptions(rest));
} catch (error) {
  await fail(scenario, error);
}
emit('done');
leave(0);
