// grpc-js against the interop service. ../README.md has the cases.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { isDeepStrictEqual, parseArgs } from 'node:util';

import grpc from '@grpc/grpc-js';

const SERVICE = '/barid.interop.Interop/';
const PATIENCE_MS = 20_000;
const GZIP = 2; // Of grpc.compressionAlgorithms, as the channel's option wants it.
const REQUEST_SIZES = [27182, 8, 1828, 45904];
const ANSWER_SIZES = [31415, 9, 2653, 58979];
const SPECIAL_MESSAGE = '\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n';
const METADATA_ANSWER = `interop-data-bin=abab00ff01
interop-text=746573742076616c7565
interop-twice=61
interop-twice=62`;
const ECHO_INITIAL = 'x-grpc-test-echo-initial';
const ECHO_TRAILING = 'x-grpc-test-echo-trailing-bin';
const INITIAL = 'test_initial_metadata_value';
const TRAILING = Buffer.from('ababab', 'hex');

const { values: options } = parseArgs({ options: { endpoint: { type: 'string' }, certificate: { type: 'string' } } });
const credentials = options.certificate ? grpc.credentials.createSsl(readFileSync(options.certificate))
                                        : grpc.credentials.createInsecure();
// By name: Node.js sends it to the server, and does not want an address there.
const connect = (channelOptions) => new grpc.Client(options.endpoint, credentials,
                                                    { 'grpc.ssl_target_name_override': 'localhost', ...channelOptions });
const client = connect({});

const asIs = (bytes) => bytes;
const nothing = Buffer.alloc(0);
const pattern = (size) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => i % 251));

// A request of `size` bytes.
function ask(answerSizes, size) {
  const line = Buffer.from(`${answerSizes.join(',')}\n`);
  return Buffer.concat([line, pattern(size - line.length)]);
}

function expect(what, found, wanted) {
  if (isDeepStrictEqual(found, wanted)) return;
  const short = (value) => (Buffer.isBuffer(value) ? `${value.length} bytes ${value.subarray(0, 60)}` : String(value)).slice(0, 200);
  throw new Error(`${what}: ${short(found)}, expected ${short(wanted)}`);
}

const callOptions = (timeoutMs) => (timeoutMs ? { deadline: Date.now() + timeoutMs } : {});

// The server's metadata go to `told`.
function unary(method, request, { timeoutMs = PATIENCE_MS, metadata = new grpc.Metadata(), by = client, told = {} } = {}) {
  return new Promise((resolve, reject) => {
    const call = by.makeUnaryRequest(method, asIs, asIs, request, metadata, callOptions(timeoutMs), (error, answer) => {
      // The status comes before or after this, but in the same turn.
      setImmediate(() => (error ? reject(error) : resolve(answer)));
    });
    listen(call, told);
  });
}

function listen(call, told) {
  call.on('metadata', (metadata) => { told.initial = metadata; });
  call.on('status', (status) => { told.trailing = status.metadata; });
}

// Reads one answer after the other: `read` gives null at the end, if that is OK.
class Stream {
  constructor(call) {
    this.call = call;
    this.answers = call[Symbol.asyncIterator]();
    this.told = {};
    listen(call, this.told);
  }
  static open(method, { timeoutMs = PATIENCE_MS, metadata = new grpc.Metadata() } = {}) {
    return new Stream(client.makeBidiStreamRequest(method, asIs, asIs, metadata, callOptions(timeoutMs)));
  }
  async read() {
    const { done, value } = await this.answers.next();
    return done ? null : value;
  }
}

async function expectFailure(call, code, message) {
  let error;
  try {
    await call;
  } catch (caught) {
    error = caught;
  }
  if (!error) throw new Error(`it succeeded, expected code ${code}`);
  expect(`code (${error.message})`, error.code, code);
  if (message !== undefined) expect('message', error.details, message);
  return error;
}

function asksForMetadata(...keys) {
  const metadata = new grpc.Metadata();
  if (keys.includes(ECHO_INITIAL)) metadata.set(ECHO_INITIAL, INITIAL);
  if (keys.includes(ECHO_TRAILING)) metadata.set(ECHO_TRAILING, TRAILING);
  return metadata;
}

function expectMetadata(told) {
  expect('initial metadata', told.initial.get(ECHO_INITIAL), [INITIAL]);
  expect('trailing metadata', told.trailing.get(ECHO_TRAILING), [TRAILING]);
}

async function expectStatus(message) {
  const request = Buffer.from(`2\n${message}`);
  await expectFailure(unary(`${SERVICE}Fail`, request), grpc.status.UNKNOWN, message);
  const stream = Stream.open(`${SERVICE}FailStream`);
  stream.call.write(request);
  await expectFailure(stream.read(), grpc.status.UNKNOWN, message);
}

const cases = {
  async empty_unary() {
    expect('answer', await unary(`${SERVICE}Empty`, nothing), nothing);
  },
  async large_unary() {
    expect('answer', await unary(`${SERVICE}Answer`, ask([314159], 271828)), pattern(314159));
  },
  async client_streaming() {
    const answer = await new Promise((resolve, reject) => {
      const call = client.makeClientStreamRequest(`${SERVICE}Sum`, asIs, asIs, new grpc.Metadata(), callOptions(PATIENCE_MS),
                                                  (error, sum) => (error ? reject(error) : resolve(sum)));
      for (const size of REQUEST_SIZES) call.write(pattern(size));
      call.end();
    });
    expect('sum', answer.toString(), '74922');
  },
  async server_streaming() {
    const stream = new Stream(client.makeServerStreamRequest(`${SERVICE}Answers`, asIs, asIs, ask(ANSWER_SIZES, 100),
                                                             new grpc.Metadata(), callOptions(PATIENCE_MS)));
    for (const size of ANSWER_SIZES) expect('answer', await stream.read(), pattern(size));
    expect('end', await stream.read(), null);
  },
  async ping_pong() {
    const stream = Stream.open(`${SERVICE}PingPong`);
    for (const [i, size] of REQUEST_SIZES.entries()) {
      stream.call.write(ask([ANSWER_SIZES[i]], size));
      expect('answer', await stream.read(), pattern(ANSWER_SIZES[i]));
    }
    stream.call.end();
    expect('end', await stream.read(), null);
  },
  async empty_stream() {
    const stream = Stream.open(`${SERVICE}PingPong`);
    stream.call.end();
    expect('end', await stream.read(), null);
  },
  async cancel_after_begin() {
    const stream = Stream.open(`${SERVICE}Sleep`);
    stream.call.cancel();
    await expectFailure(stream.read(), grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const name = randomUUID();
    const metadata = new grpc.Metadata();
    metadata.set('interop-call', name);
    const stream = Stream.open(`${SERVICE}Sleep`, { metadata });
    stream.call.write(ask([31415], 27182));
    expect('answer', await stream.read(), pattern(31415));
    stream.call.cancel();
    await expectFailure(stream.read(), grpc.status.CANCELLED);
    expect('ending', (await unary(`${SERVICE}Ending`, Buffer.from(name))).toString(), 'lost');
  },
  async timeout_on_sleeping_server() {
    const stream = Stream.open(`${SERVICE}Sleep`, { timeoutMs: 500 });
    await expectFailure(stream.read(), grpc.status.DEADLINE_EXCEEDED);
  },
  async deadline_is_told() {
    const left = Number((await unary(`${SERVICE}Deadline`, nothing, { timeoutMs: 60_000 })).toString());
    if (!(left > 30_000 && left <= 65_000)) throw new Error(`${left} ms of 60 s are left`);
    expect('left', (await unary(`${SERVICE}Deadline`, nothing, { timeoutMs: null })).toString(), 'none');
  },
  async status_code_and_message() {
    await expectStatus('test status message');
  },
  async special_status_message() {
    await expectStatus(SPECIAL_MESSAGE);
  },
  async custom_metadata() {
    const metadata = new grpc.Metadata();
    metadata.set('interop-data-bin', Buffer.from('abab00ff01', 'hex'));
    metadata.set('interop-text', 'test value');
    metadata.add('interop-twice', 'a');
    metadata.add('interop-twice', 'b');
    expect('metadata', (await unary(`${SERVICE}Metadata`, nothing, { metadata })).toString(), METADATA_ANSWER);

    const request = ask([314159], 271828);
    const asked = asksForMetadata(ECHO_INITIAL, ECHO_TRAILING);
    const told = {};
    expect('answer', await unary(`${SERVICE}Answer`, request, { metadata: asked, told }), pattern(314159));
    expectMetadata(told);

    const failure = Buffer.from('10\nas asked');
    const toldOfFailure = {};
    await expectFailure(unary(`${SERVICE}Fail`, failure, { metadata: asked, told: toldOfFailure }), grpc.status.ABORTED);
    expectMetadata(toldOfFailure);
    // All in one block.
    const error = await expectFailure(unary(`${SERVICE}Fail`, failure, { metadata: asksForMetadata(ECHO_TRAILING) }),
                                      grpc.status.ABORTED);
    expect('trailing metadata of a failure', error.metadata.get(ECHO_TRAILING), [TRAILING]);

    const stream = Stream.open(`${SERVICE}PingPong`, { metadata: asked });
    stream.call.write(request);
    expect('answer', await stream.read(), pattern(314159));
    stream.call.end();
    expect('end', await stream.read(), null);
    expectMetadata(stream.told);
  },
  async unimplemented_method() {
    await expectFailure(unary(`${SERVICE}Unknown`, nothing), grpc.status.UNIMPLEMENTED);
  },
  async unimplemented_service() {
    await expectFailure(unary('/barid.interop.Nothing/Empty', nothing), grpc.status.UNIMPLEMENTED);
  },
  async compressed_is_refused() {
    const request = ask([10], 1000);
    const compressing = connect({ 'grpc.default_compression_algorithm': GZIP });
    await expectFailure(unary(`${SERVICE}Answer`, request, { by: compressing }), grpc.status.UNIMPLEMENTED,
                        'grpc-encoding is gzip, only identity is supported');
    expect('answer without', await unary(`${SERVICE}Answer`, request), pattern(10));
  },
};

for (const [name, run] of Object.entries(cases)) {
  let detail = '';
  try {
    await run();
  } catch (error) {
    detail = `${error.name}: ${error.message}`;
  }
  console.log(JSON.stringify({ case: name, passed: !detail, detail }));
}
process.exit(0);
