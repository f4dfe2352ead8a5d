#!/usr/bin/env python3
"""What calls cost over our own edge and over grpc-core: the tables `edge…` of docs/benchmarks.md.

    tests/bench/edge_figures.py [--only edge edge-stream edge-publish] [--rounds 5] [--seconds 2] [--quick]

    edge           a call that does nothing: the two echo servers of edge_echo_bench
    edge-stream    a call whose answer is a stream of 32 messages: the same
    edge-publish   `barid standalone` stores a message durably, beside grpc-core that does nothing with it

Both servers take turns under each load: a gRPC C++ client with headers and a deadline as the official clients have them, and h2load
(Debian's nghttp2-client), in cleartext and over TLS. What counts is the server's CPU per call. A row in which grpc-core's echo is
hindered (see figures.py) is void: it meets no goal and misses none.
"""

import argparse
import contextlib
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from figures import (CLIENT_HEADERS, ECHO_CPU_LIMIT_US, ROOT, SEND, Run, Standalone, echo_is_hindered, replace_part, send_request, spread,
                     verdict)

ECHO, STREAM = "/bench/Echo", "/bench/Stream"
MADE_UP_HEADERS = [f"x-mq-header-{i}:value-{i}-of-some-length" for i in range(8)]
TOPIC = "edge-publish"


def cpu_seconds(pid):
    """Of all threads, by the nanosecond."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


class Target:
    """A server that listens: `method` of it is called with the message in `request`, a file."""

    def __init__(self, address, pid, method, request, headers, trust=None):
        self.address, self.pid, self.method, self.request, self.headers, self.trust = address, pid, method, request, headers, trust


@contextlib.contextmanager
def echo_server(bench, flags, method, request, headers):
    server = subprocess.Popen([bench, "--serve", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        address, pid, trust = server.stdout.readline().split()
        yield Target(address, int(pid), method, request, headers, trust)
    finally:
        server.stdin.close()
        server.wait()


@contextlib.contextmanager
def barid(run, request):
    with Standalone(run) as server:
        ctl = [run.baridctl, "--endpoint", server.endpoint]
        # Every load repeats one message: each is to be stored.
        subprocess.run([*ctl, "topic", "create", TOPIC, "--idempotent=false"], check=True, stdout=subprocess.DEVNULL)
        target = Target(server.endpoint, server.process._child.pid, SEND, request, CLIENT_HEADERS, server.process._data / "tls" / "certificate.pem")
        target.stored = lambda: sum(queue["end"] for queue in json.loads(
            subprocess.run([*ctl, "topic", "describe", TOPIC, "-o", "json"], check=True, stdout=subprocess.PIPE, text=True).stdout)["queues"])
        yield target


class GrpcClient:
    def __init__(self, channels, outstanding):
        self.name = f"gRPC C++ client, {channels} {'channels' if channels > 1 else 'channel'}, {outstanding} outstanding"
        self._words = [f"--connections={channels}", f"--outstanding={outstanding}"]

    def measure(self, arguments, target, tls):
        """Calls per second and the server's CPU for one in microseconds."""
        words = [*self._words, f"--seconds={arguments.seconds}", f"--at={target.address}", f"--pid={target.pid}", f"--method={target.method}",
                 f"--request={target.request}", *(f"--header={header}" for header in target.headers)]
        if tls:
            words += ["--tls", f"--trust={target.trust}"]
        if target.method == STREAM:
            words.append("--stream")
        out = subprocess.run([arguments.bench, *words], check=True, stdout=subprocess.PIPE, text=True).stdout
        calls, cpu = re.search(r": (\d+) calls/s, server ([\d.]+) us", out).groups()
        return float(calls), float(cpu)


class H2Load:
    name = "h2load, 4 connections x 64 streams"

    def measure(self, arguments, target, tls):
        with tempfile.NamedTemporaryFile() as body:
            message = pathlib.Path(target.request).read_bytes()
            body.write(b"\0" + len(message).to_bytes(4, "big") + message)
            body.flush()
            headers = [*target.headers, "content-type:application/grpc", "te:trailers", "grpc-timeout:30S", "user-agent:h2load"]
            before = cpu_seconds(target.pid)
            out = subprocess.run(["h2load", "-D", str(arguments.seconds), "-c", "4", "-m", "64", "-d", body.name,
                                  *(word for header in headers for word in ("-H", header.replace(":", ": ", 1))),
                                  f"{'https' if tls else 'http'}://{target.address}{target.method}"],
                                 check=True, stdout=subprocess.PIPE, text=True).stdout
            cpu = cpu_seconds(target.pid) - before
        succeeded, failed = re.search(r"(\d+) succeeded, (\d+) failed", out).groups()
        if int(succeeded) == 0 or int(failed) > 0:
            raise SystemExit(f"h2load: {succeeded} calls succeeded, {failed} failed\n{out}")
        return int(succeeded) / arguments.seconds, cpu / int(succeeded) * 1e6


LOADS = [GrpcClient(1, 64), GrpcClient(8, 64), GrpcClient(8, 512), H2Load()]


def measure_publish(load, arguments, target, tls):
    """A refusal is an answer to a load, too; so what was stored is counted."""
    before = target.stored()
    calls, cpu = load.measure(arguments, target, tls)
    stored = target.stored() - before
    if stored < calls * arguments.seconds:
        raise SystemExit(f"{load.name}: {calls * arguments.seconds:.0f} calls, and {stored} messages are stored")
    return calls, cpu


def is_void(load, tls, theirs):
    """The limit is of an echo as figures.py has it, called by a gRPC C++ client in cleartext."""
    return isinstance(load, GrpcClient) and not tls and echo_is_hindered([cpu for _, cpu in theirs])


def compare(arguments, what, goals, ours, theirs, measure=lambda load, arguments, target, tls: load.measure(arguments, target, tls),
            streams=False):
    """A table: each load, in turn on a server that `ours` and one that `theirs` makes; the goals are of CPU (gRPC, h2load) and throughput.
    `streams`: a call of theirs is more than an echo."""
    cpu_goals, calls_goal = goals
    lines = [f"Commit {arguments.commit}, {arguments.rounds} rounds of {arguments.seconds} s; minimum / median / maximum.", "",
             f"| {what} | server CPU per call, us | grpc-core | ratio | goal | calls/s | grpc-core | ratio | goal |", "|---|---|---|---|---|---|---|---|---|"]
    for tls in (False, True):
        for load in (LOADS[0], LOADS[-1]) if arguments.quick else LOADS:
            mine, other = [], []
            for _ in range(arguments.rounds):
                with ours(tls) as target:
                    mine.append(measure(load, arguments, target, tls))
                with theirs(tls) as target:
                    other.append(load.measure(arguments, target, tls))
            cpu = [a[1] / b[1] for a, b in zip(mine, other)]
            calls = [a[0] / b[0] for a, b in zip(mine, other)]
            goal = cpu_goals[isinstance(load, H2Load)]
            void = not streams and is_void(load, tls, other)

            def judged(ratios, goal, at_least):
                if void:
                    return f"void: the echo took more than {ECHO_CPU_LIMIT_US:.0f} us"
                if tls or goal is None:
                    return "reported"
                return f"{'>=' if at_least else '<='} {goal}: {verdict(statistics.median(ratios), goal, at_least)}"

            lines.append(f"| {load.name}{', TLS' if tls else ''} | {spread([c for _, c in mine], 1)} | {spread([c for _, c in other], 1)} | {spread(cpu, 2)} | "
                         f"{judged(cpu, goal, at_least=False)} | {spread([c for c, _ in mine])} | {spread([c for c, _ in other])} | {spread(calls, 2)} | "
                         f"{judged(calls, calls_goal, at_least=True)} |")
            print(lines[-1], flush=True)
    return lines


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ["edge", "edge-stream", "edge-publish"]
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="one load of each kind: to try this program, not to measure")
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs" / "benchmarks.md")
    binaries = ROOT / "build" / "release" / "bin"
    parser.add_argument("--bench", type=pathlib.Path, default=binaries / "edge_echo_bench")
    parser.add_argument("--barid", type=pathlib.Path, default=binaries / "barid")
    parser.add_argument("--baridctl", type=pathlib.Path, default=binaries / "baridctl")
    parser.add_argument("--directory", type=pathlib.Path, help="where servers keep their data: on the disk to be measured")
    arguments = parser.parse_args()
    if shutil.which("h2load") is None:
        raise SystemExit("there is no h2load; it is in Debian's nghttp2-client")
    arguments.commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    arguments.duration = f"{arguments.seconds}s"  # Of a Run; not used here.

    with tempfile.TemporaryDirectory(dir=arguments.directory) as directory:
        directory = pathlib.Path(directory)
        raw, send = directory / "raw", directory / "send"
        raw.write_bytes(b"x" * 1024)
        send.write_bytes(send_request(TOPIC.encode(), 1024))
        run = Run(arguments, directory)

        def echo(method, request, headers, *flags):
            return lambda tls: echo_server(arguments.bench, [*flags, *(["--tls"] if tls else [])], method, request, headers)

        tables = {
            "edge": lambda: compare(arguments, "no-op call, 1 KiB, one server thread", ((0.65, 0.25), None),
                                    echo(ECHO, raw, MADE_UP_HEADERS, "--h2"), echo(ECHO, raw, MADE_UP_HEADERS)),
            "edge-stream": lambda: compare(arguments, "no-op call answered by 32 messages of 1 KiB, one server thread", ((None, None), None),
                                           echo(STREAM, raw, MADE_UP_HEADERS, "--h2"), echo(STREAM, raw, MADE_UP_HEADERS), streams=True),
            "edge-publish": lambda: compare(arguments, "durable publish, 1 KiB; grpc-core does nothing with it", ((0.9, 0.9), 1.0),
                                            lambda tls: barid(run, send), echo(SEND, send, CLIENT_HEADERS), measure_publish),
        }
        for name in arguments.only:
            lines = tables[name]()
            page = arguments.page.read_text() if arguments.page.exists() else ""
            arguments.page.write_text(replace_part(page, name, lines))


if __name__ == "__main__":
    sys.exit(main())
