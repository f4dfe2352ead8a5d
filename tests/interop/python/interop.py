"""gRPC Python against the interop service, by its blocking API or (--aio) by the other. ../README.md has the cases.

The cases are written once, as coroutines; with the blocking API they never wait.
"""

import argparse
import asyncio
import json
import queue
import uuid
from pathlib import Path

import grpc
import grpc.aio

SERVICE = "/barid.interop.Interop/"
PATIENCE = 20
REQUEST_SIZES = (27182, 8, 1828, 45904)
ANSWER_SIZES = (31415, 9, 2653, 58979)
SPECIAL_MESSAGE = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \U0001f608\t\n"
METADATA = (("interop-data-bin", b"\xab\xab\x00\xff\x01"), ("interop-text", "test value"), ("interop-twice", "a"),
            ("interop-twice", "b"))
METADATA_ANSWER = b"""interop-data-bin=abab00ff01
interop-text=746573742076616c7565
interop-twice=61
interop-twice=62"""
ECHO_INITIAL = ("x-grpc-test-echo-initial", "test_initial_metadata_value")
ECHO_TRAILING = ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab")


def pattern(size):
    return bytes(i % 251 for i in range(size))


def ask(answer_sizes, size):
    """A request of `size` bytes."""
    line = ",".join(map(str, answer_sizes)).encode() + b"\n"
    return line + pattern(size - len(line))


def expect(what, found, wanted):
    if found != wanted:
        raise AssertionError(f"{what}: {repr(found)[:200]}, expected {repr(wanted)[:200]}")


def ours(metadata):
    """Those that the service has sent."""
    return [(key, value) for key, value in metadata or () if key.startswith("x-")]


class Blocking:
    def __init__(self, endpoint, credentials):
        self._channel = (grpc.secure_channel(endpoint, credentials) if credentials else grpc.insecure_channel(endpoint))

    async def unary(self, method, request, timeout=PATIENCE, **options):
        return self._channel.unary_unary(method)(request, timeout=timeout, **options)

    async def unary_with_metadata(self, method, request, metadata):
        """The answer, and the server's metadata: initial, trailing."""
        answer, call = self._channel.unary_unary(method).with_call(request, timeout=PATIENCE, metadata=metadata)
        return answer, call.initial_metadata(), call.trailing_metadata()

    async def client_streaming(self, method, requests):
        return self._channel.stream_unary(method)(iter(requests), timeout=PATIENCE)

    async def server_streaming(self, method, request):
        return list(self._channel.unary_stream(method)(request, timeout=PATIENCE))

    def stream(self, method, timeout=PATIENCE, metadata=()):
        return BlockingStream(self._channel.stream_stream(method), timeout, metadata)


class BlockingStream:
    def __init__(self, method, timeout, metadata):
        self._requests = queue.SimpleQueue()
        self._call = method(iter(self._requests.get, None), timeout=timeout, metadata=metadata)

    async def send(self, request):
        self._requests.put(request)

    async def half_close(self):
        self._requests.put(None)

    async def read(self):
        """None at the end, if that is OK."""
        return next(self._call, None)

    async def metadata(self):
        return self._call.initial_metadata(), self._call.trailing_metadata()

    def cancel(self):
        self._call.cancel()
        self._requests.put(None)  # For the thread that reads them.


class Aio:
    def __init__(self, endpoint, credentials):
        self._channel = (grpc.aio.secure_channel(endpoint, credentials) if credentials
                         else grpc.aio.insecure_channel(endpoint))

    async def unary(self, method, request, timeout=PATIENCE, **options):
        return await self._channel.unary_unary(method)(request, timeout=timeout, **options)

    async def unary_with_metadata(self, method, request, metadata):
        call = self._channel.unary_unary(method)(request, timeout=PATIENCE, metadata=metadata)
        return await call, await call.initial_metadata(), await call.trailing_metadata()

    async def client_streaming(self, method, requests):
        return await self._channel.stream_unary(method)(requests, timeout=PATIENCE)

    async def server_streaming(self, method, request):
        return [answer async for answer in self._channel.unary_stream(method)(request, timeout=PATIENCE)]

    def stream(self, method, timeout=PATIENCE, metadata=()):
        return AioStream(self._channel.stream_stream(method)(timeout=timeout, metadata=metadata))


class AioStream:
    def __init__(self, call):
        self._call = call

    async def send(self, request):
        await self._call.write(request)

    async def half_close(self):
        await self._call.done_writing()

    async def read(self):
        answer = await self._call.read()
        if answer is not grpc.aio.EOF:
            return answer
        code = await self._call.code()
        if code != grpc.StatusCode.OK:
            raise grpc.aio.AioRpcError(code, None, None, details=await self._call.details())
        return None

    async def metadata(self):
        return await self._call.initial_metadata(), await self._call.trailing_metadata()

    def cancel(self):
        self._call.cancel()


class Cases:
    def __init__(self, client):
        self.client = client

    async def expect_failure(self, call, code, message=None):
        try:
            found = await call
        except grpc.RpcError as error:
            expect("code", error.code(), code)
            if message is not None:
                expect("message", error.details(), message)
        except asyncio.CancelledError:  # What aio makes of it.
            expect("code", grpc.StatusCode.CANCELLED, code)
        else:
            raise AssertionError(f"answered with {repr(found)[:200]}, expected {code}")

    def expect_metadata(self, initial, trailing):
        expect("initial metadata", ours(initial), [ECHO_INITIAL])
        expect("trailing metadata", ours(trailing), [ECHO_TRAILING])

    async def expect_status(self, message):
        request = f"2\n{message}".encode()
        await self.expect_failure(self.client.unary(SERVICE + "Fail", request), grpc.StatusCode.UNKNOWN, message)
        stream = self.client.stream(SERVICE + "FailStream")
        await stream.send(request)
        await self.expect_failure(stream.read(), grpc.StatusCode.UNKNOWN, message)
        stream.cancel()

    async def empty_unary(self):
        expect("answer", await self.client.unary(SERVICE + "Empty", b""), b"")

    async def large_unary(self):
        expect("answer", await self.client.unary(SERVICE + "Answer", ask([314159], 271828)), pattern(314159))

    async def client_streaming(self):
        requests = [pattern(size) for size in REQUEST_SIZES]
        expect("sum", await self.client.client_streaming(SERVICE + "Sum", requests), b"74922")

    async def server_streaming(self):
        expect("answers", await self.client.server_streaming(SERVICE + "Answers", ask(ANSWER_SIZES, 100)),
               [pattern(size) for size in ANSWER_SIZES])

    async def ping_pong(self):
        stream = self.client.stream(SERVICE + "PingPong")
        for size, answer_size in zip(REQUEST_SIZES, ANSWER_SIZES):
            await stream.send(ask([answer_size], size))
            expect("answer", await stream.read(), pattern(answer_size))
        await stream.half_close()
        expect("end", await stream.read(), None)

    async def empty_stream(self):
        stream = self.client.stream(SERVICE + "PingPong")
        await stream.half_close()
        expect("end", await stream.read(), None)

    async def cancel_after_begin(self):
        stream = self.client.stream(SERVICE + "Sleep")
        stream.cancel()
        await self.expect_failure(stream.read(), grpc.StatusCode.CANCELLED)

    async def cancel_after_first_response(self):
        name = str(uuid.uuid4())
        stream = self.client.stream(SERVICE + "Sleep", metadata=(("interop-call", name),))
        await stream.send(ask([31415], 27182))
        expect("answer", await stream.read(), pattern(31415))
        stream.cancel()
        await self.expect_failure(stream.read(), grpc.StatusCode.CANCELLED)
        expect("ending", await self.client.unary(SERVICE + "Ending", name.encode()), b"lost")

    async def timeout_on_sleeping_server(self):
        stream = self.client.stream(SERVICE + "Sleep", timeout=0.5)
        await self.expect_failure(stream.read(), grpc.StatusCode.DEADLINE_EXCEEDED)
        stream.cancel()

    async def deadline_is_told(self):
        left = int(await self.client.unary(SERVICE + "Deadline", b"", timeout=60))
        if not 30_000 < left <= 65_000:
            raise AssertionError(f"{left} ms of 60 s are left")
        expect("left", await self.client.unary(SERVICE + "Deadline", b"", timeout=None), b"none")

    async def status_code_and_message(self):
        await self.expect_status("test status message")

    async def special_status_message(self):
        await self.expect_status(SPECIAL_MESSAGE)

    async def custom_metadata(self):
        expect("metadata", await self.client.unary(SERVICE + "Metadata", b"", metadata=METADATA), METADATA_ANSWER)

        asked = (ECHO_INITIAL, ECHO_TRAILING)
        request = ask([314159], 271828)
        answer, initial, trailing = await self.client.unary_with_metadata(SERVICE + "Answer", request, asked)
        expect("answer", answer, pattern(314159))
        self.expect_metadata(initial, trailing)

        for metadata in (asked, (ECHO_TRAILING,)):  # The latter's failure is all in one block.
            try:
                await self.client.unary(SERVICE + "Fail", b"10\nas asked", metadata=metadata)
                raise AssertionError("Fail was answered")
            except grpc.RpcError as error:
                expect("code", error.code(), grpc.StatusCode.ABORTED)
                if ECHO_INITIAL in metadata:
                    self.expect_metadata(error.initial_metadata(), error.trailing_metadata())
                else:
                    expect("trailing of a failure", ours(error.trailing_metadata()), [ECHO_TRAILING])

        stream = self.client.stream(SERVICE + "PingPong", metadata=asked)
        await stream.send(request)
        expect("answer", await stream.read(), pattern(314159))
        await stream.half_close()
        expect("end", await stream.read(), None)
        self.expect_metadata(*await stream.metadata())

    async def unimplemented_method(self):
        await self.expect_failure(self.client.unary(SERVICE + "Unknown", b""), grpc.StatusCode.UNIMPLEMENTED)

    async def unimplemented_service(self):
        await self.expect_failure(self.client.unary("/barid.interop.Nothing/Empty", b""), grpc.StatusCode.UNIMPLEMENTED)

    async def compressed_is_refused(self):
        request = ask([10], 1000)
        compressed = self.client.unary(SERVICE + "Answer", request, compression=grpc.Compression.Gzip)
        await self.expect_failure(compressed, grpc.StatusCode.UNIMPLEMENTED,
                                  "grpc-encoding is gzip, only identity is supported")
        expect("answer without", await self.client.unary(SERVICE + "Answer", request), pattern(10))


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--endpoint", required=True)
    parser.add_argument("--certificate", type=Path)
    parser.add_argument("--aio", action="store_true")
    arguments = parser.parse_args()
    credentials = grpc.ssl_channel_credentials(arguments.certificate.read_bytes()) if arguments.certificate else None
    cases = Cases((Aio if arguments.aio else Blocking)(arguments.endpoint, credentials))
    for name, case in vars(Cases).items():
        if name.startswith(("_", "expect")):
            continue
        detail = ""
        try:
            await case(cases)
        except Exception as error:  # Whatever it is, it is this case's.
            detail = f"{type(error).__name__}: {error}"
        print(json.dumps({"case": name, "passed": not detail, "detail": detail}), flush=True)


asyncio.run(main())
