#!/usr/bin/env python3
"""Measures what docs/benchmarks.md shows, and writes its tables there.

    tests/bench/figures.py                        all of it: about an hour and a half on a quiet machine, 60 GB of disk
    tests/bench/figures.py --only publish idle    a part; the rows of the others stay
    tests/bench/figures.py --only fifo timers transactions filter explain    each kind of message: an hour
    tests/bench/figures.py --rounds 1 --duration 1s --only publish --page /tmp/page.md

Every throughput is measured in turn with the cheapest server that does nothing (`baridctl bench --baseline`), so ratios say more than
absolute figures. A page has one marked part per figure, which this replaces; what stands around them is written by hand.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "conformance"))

from children import kill, wait_until  # noqa: E402
from server import Process  # noqa: E402

SEND = "/apache.rocketmq.v2.MessagingService/SendMessage"
# As many and as long as those of an official client.
CLIENT_HEADERS = ["x-mq-client-id:bench@1@0@cafe", "x-mq-language:CPP", "x-mq-protocol:v2", "x-mq-client-version:5.0.0",
                  "x-mq-request-id:0e0a8a1e-6d3a-4d8e-9a3b-2f6d1c9b7a55", "x-mq-date-time:20261129T010000Z",
                  "authorization:MQv2-HMAC-SHA1 Credential=bench, SignedHeaders=x-mq-date-time, Signature=00"]


def send_request(topic, size):
    """An apache.rocketmq.v2.SendMessageRequest. Several of them in a row are one with all their messages."""
    def varint(value):
        return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + varint(value >> 7)

    def field(number, value):
        return varint(number << 3) + varint(value) if isinstance(value, int) else varint(number << 3 | 2) + varint(len(value)) + value
    system = field(3, b"01826F058D79724F40903CB69000000002") + field(5, 1) + field(6, 1) + field(7, field(1, 1_796_000_000)) + field(8, b"bench-host")
    return field(1, field(1, field(2, topic)) + field(3, system) + field(4, b"x" * size))


# Above this the echo itself is hindered: the run says nothing.
ECHO_CPU_LIMIT_US = 22.0


class VoidRun(Exception):
    """The machine was too busy for a figure to mean anything."""


class Run:
    """What all figures need: the programs, how long to measure, a directory for servers' data."""

    def __init__(self, arguments, directory):
        self.barid = str(arguments.barid)
        self.baridctl = str(arguments.baridctl)
        self.rounds = arguments.rounds
        self.duration = arguments.duration
        self.quick = arguments.quick
        self.directory = directory
        self._servers = 0

    def fresh(self):
        self._servers += 1
        directory = self.directory / str(self._servers)
        directory.mkdir()
        return directory

    def bench(self, endpoint, *words, rounds=None, pids=()):
        command = [self.baridctl, "--endpoint", endpoint, "bench", *words, "--rounds", str(rounds or self.rounds), "-o", "json"]
        if pids:
            command += ["--server-pid", ",".join(str(pid) for pid in pids)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(command)} ended with {done.returncode}: {done.stderr}")
        report = json.loads(done.stdout)
        errors = sum(both["server"]["errors"] for both in report["rounds"])
        if errors:
            raise SystemExit(f"{' '.join(command)}: {errors:.0f} calls failed, so the figures are not of what they say")
        return report


    def fill(self, server, shares, duration):
        """Messages of 1 KiB, 32 to a call, of several topics side by side, by their shares."""
        bench = pathlib.Path(self.baridctl).parent / "edge_echo_bench"
        loads = []
        for topic, share in shares.items():
            request = self.directory / f"{topic}.request"
            request.write_bytes(send_request(topic.encode(), 1024) * 32)
            loads.append(subprocess.Popen([bench, f"--at={server.endpoint}", f"--pid={server.process._child.pid}", f"--method={SEND}", f"--request={request}",
                                           *(f"--header={header}" for header in CLIENT_HEADERS), f"--outstanding={8 * share}",
                                           f"--seconds={duration.rstrip('s')}"], stdout=subprocess.DEVNULL))
        if any([load.wait() for load in loads]):
            raise SystemExit("filling a topic failed")


class Standalone:
    def __init__(self, run, *arguments):
        self._directory = run.fresh()
        self.process = Process(run.barid, "standalone", "standalone", self._directory, arguments)

    def __enter__(self):
        self.process.start()
        self.endpoint = self.process.endpoint
        self.pids = ()
        return self

    def __exit__(self, *_):
        kill(self.process._child)
        shutil.rmtree(self._directory, ignore_errors=True)


class Separate:
    """A controller, a broker and a proxy, each a process."""

    def __init__(self, run):
        self._directory = run.fresh()
        self._run = run
        self._processes = []

    def _start(self, role, *arguments):
        process = Process(self._run.barid, role, role, self._directory, arguments)
        self._processes.append(process)
        process.start()
        return process

    def __enter__(self):
        controller = self._start("controller", "--controller.shards-per-broker=1")
        endpoints = f"--controller.endpoints={controller.endpoint}"
        self._start("broker", endpoints)
        proxy = self._start("proxy", endpoints, "--auto-create.topics=true", "--auto-create.groups=true", "--public.admin=true")
        self.endpoint = proxy.endpoint
        self.pids = tuple(process._child.pid for process in self._processes)
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            kill(process._child)
        shutil.rmtree(self._directory, ignore_errors=True)


def values(report, side, name):
    return [both[side][name] for both in report["rounds"] if name in both.get(side, {})]


def spread(numbers, digits=0):
    if not numbers:
        return "-"
    def text(number):
        return f"{number:,.{digits}f}"
    return f"{text(min(numbers))} / {text(statistics.median(numbers))} / {text(max(numbers))}"


def ratios(report, name):
    return [server / echo for server, echo in zip(values(report, "server", name), values(report, "echo", name)) if echo]


def verdict(value, goal, at_least=True):
    met = value >= goal if at_least else value <= goal
    return "met" if met else "**missed**"


def echo_is_hindered(cpu_us):
    """By what the echo took per call in each round."""
    return statistics.median(cpu_us) > ECHO_CPU_LIMIT_US


def check_echo(run, report, what):
    if run.quick:
        return
    echo = values(report, "echo", "server_cpu_us_per_message")
    if echo_is_hindered(echo):
        cpu = statistics.median(echo)
        raise VoidRun(f"{what}: the echo itself took {cpu:.1f} us per call, more than {ECHO_CPU_LIMIT_US}: the machine is too busy, "
                      "the run is void")


def publish_table(run, shape, goal):
    lines = [f"| {'through proxy and broker, ' if shape is Separate else ''}durable publish, 1 KiB | messages/s | echo | ratio | goal | server CPU per message, us | "
             "echo | ratio | goal | p50 / p99 / p99.9, us |", "|---|---|---|---|---|---|---|---|---|---|"]
    for outstanding in (1, 64, 512):
        with shape(run) as server:
            report = run.bench(server.endpoint, "send", "--outstanding", str(outstanding), "--duration", run.duration, "--baseline",
                               pids=server.pids)
        if outstanding != 1:  # One at a time it pays for every wake-up.
            check_echo(run, report, f"publish, {outstanding} outstanding")
        rate, cpu = ratios(report, "messages_per_second"), ratios(report, "server_cpu_us_per_message")
        median = {p: statistics.median(values(report, "server", f"send_{p}_us")) for p in ("p50", "p99", "p99.9")}
        goals = ("reported", "") if outstanding == 1 else (
            f">= {goal}: {verdict(statistics.median(rate), goal)}",
            "" if shape is Separate else f"<= 1.5: {verdict(statistics.median(cpu), 1.5, at_least=False)}")
        lines.append(
            f"| {outstanding} outstanding | {spread(values(report, 'server', 'messages_per_second'))} | "
            f"{spread(values(report, 'echo', 'messages_per_second'))} | {spread(rate, 2)} | {goals[0]} | "
            f"{spread(values(report, 'server', 'server_cpu_us_per_message'), 1)} | "
            f"{spread(values(report, 'echo', 'server_cpu_us_per_message'), 1)} | {spread(cpu, 2)} | {goals[1]} | "
            f"{median['p50']:,.0f} / {median['p99']:,.0f} / {median['p99.9']:,.0f} |")
    return lines


def publish(run):
    return publish_table(run, Standalone, 0.85)


def separate(run):
    return publish_table(run, Separate, 0.6)


def fdatasync_p99_us(directory):
    """Of writes like a log's: a little, into zeroed blocks."""
    path = directory / "fdatasync"
    file = os.open(path, os.O_RDWR | os.O_CREAT)
    try:
        os.pwrite(file, b"\0" * (16 << 20), 0)
        os.fsync(file)
        times = []
        for i in range(2000):
            os.pwrite(file, b"x" * 1100, i * 1100)
            begin = time.perf_counter()
            os.fdatasync(file)
            times.append(time.perf_counter() - begin)
    finally:
        os.close(file)
        path.unlink()
    return sorted(times)[len(times) * 99 // 100] * 1e6


def open_loop(run):
    with Standalone(run) as server:
        # Of an open loop's calls each pays for its wake-up, so whether the machine is quiet shows before it.
        saturated = run.bench(server.endpoint, "send", "--outstanding", "64", "--duration", run.duration, "--baseline")
        check_echo(run, saturated, "open loop, 64 outstanding before it")
        rate = int(statistics.median(values(saturated, "server", "messages_per_second")) / 2)
        ours, echo, sync = [], [], []
        for _ in range(run.rounds):
            report = run.bench(server.endpoint, "send", "--rate", str(rate), "--duration", run.duration, "--baseline", rounds=1)
            ours += values(report, "server", "send_p99_us")
            echo += values(report, "echo", "send_p99_us")
            sync.append(fdatasync_p99_us(run.directory))
    bound = statistics.median(e + 2 * s for e, s in zip(echo, sync))
    return ["| publish, open loop at half of the saturated rate | p99, us | echo's p99, us | p99 of fdatasync, us | goal: echo's + 2 x fdatasync's |",
            "|---|---|---|---|---|",
            f"| {rate:,} messages/s | {spread(ours)} | {spread(echo)} | {spread(sync)} | "
            f"<= {bound:,.0f}: {verdict(statistics.median(ours), bound, at_least=False)} |"]


def end_to_end(run):
    with Standalone(run) as server:
        report = run.bench(server.endpoint, "e2e", "--rate", "1000", "--duration", run.duration)
    e2e, sends = values(report, "server", "end_to_end_p50_us"), values(report, "server", "send_p50_us")
    ratio = statistics.median(e2e) / statistics.median(sends)
    return ["| at 1,000 messages/s | send to receive, p50, us | publish, p50, us | ratio of medians | goal |", "|---|---|---|---|---|",
            f"| standalone | {spread(e2e)} | {spread(sends)} | {ratio:.2f} | <= 2: {verdict(ratio, 2, at_least=False)} |"]


def receive(run):
    lines = ["| receive and acknowledge, batches of 32 | messages/s | no-op server | ratio | server CPU per message, us | no-op server | ratio | goal |",
             "|---|---|---|---|---|---|---|---|"]
    backlog = "20000" if run.quick else "300000"
    for ack, outstanding, tls in (("batch", 4, False), ("batch", 64, False), ("single", 4, False), ("batch", 4, True), ("batch", 64, True)):
        with Standalone(run) as server:
            trust = ["--tls-authorities", str(server.process._data / "tls" / "certificate.pem")] if tls else []
            report = run.bench(server.endpoint, "receive", "--ack", ack, "--outstanding", str(outstanding), "--backlog", backlog,
                               "--duration", run.duration, "--baseline", *trust)
        cpu = ratios(report, "server_cpu_us_per_message")
        what = f"one ack per {'batch' if ack == 'batch' else 'message'}, {outstanding} receives outstanding{', TLS' if tls else ''}"
        goal = "; ".join(f"<= {most}: {verdict(statistics.median(cpu), most, at_least=False)}" for most in (0.7, 1.5)) if ack == "batch" and not tls else "reported"
        lines.append(f"| {what} | {spread(values(report, 'server', 'messages_per_second'))} | {spread(values(report, 'echo', 'messages_per_second'))} | "
                     f"{spread(ratios(report, 'messages_per_second'), 2)} | {spread(values(report, 'server', 'server_cpu_us_per_message'), 1)} | "
                     f"{spread(values(report, 'echo', 'server_cpu_us_per_message'), 1)} | {spread(cpu, 2)} | {goal} |")
    return lines


def backlog(run):
    lines = ["| backlog in one queue | send, 64 outstanding, messages/s | to 10,000 | goal | receive, batches of 32, messages/s | to 10,000 | goal |",
             "|---|---|---|---|---|---|---|"]
    first = None
    for messages in (10_000, 100_000) if run.quick else (10_000, 1_000_000, 10_000_000):
        send, take = [], []
        for _ in range(run.rounds):
            # A server for each: what an earlier backlog left behind would be measured with it.
            for bench, rates in (("send", send), ("receive", take)):
                with Standalone(run, "--auto-create.queues=1") as server:
                    rates += values(run.bench(server.endpoint, bench, "--backlog", str(messages), "--duration", run.duration, rounds=1),
                                    "server", "messages_per_second")
        send_median, take_median = statistics.median(send), statistics.median(take)
        first = first or (send_median, take_median)
        is_goal = messages == 10_000_000
        lines.append(f"| {messages:,} | {spread(send)} | {send_median / first[0]:.2f} | "
                     f"{'>= 0.9: ' + verdict(send_median / first[0], 0.9) if is_goal else ''} | {spread(take)} | {take_median / first[1]:.2f} | "
                     f"{'>= 0.8: ' + verdict(take_median / first[1], 0.8) if is_goal else ''} |")
    return lines


def large(run):
    """What an operator and a reader meet in a backlog of 10 million: seek by time, a filter that takes one of them, kill -9."""
    lines = ["| backlog in one queue | `reset-offset --to-time`, 50 times, the whole command, p50 / max, ms | then the first message comes after, p50 / max, ms | "
             "SQL filter that takes only the last: received after, s | kill -9 to serving, s | goal |", "|---|---|---|---|---|---|"]
    for messages in (10_000,) if run.quick else (10_000, 1_000_000, 10_000_000):
        with Standalone(run, "--auto-create.queues=1") as server:
            def ctl(*words):
                done = subprocess.run([run.baridctl, "--endpoint", server.endpoint, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                if done.returncode != 0:
                    raise SystemExit(f"{' '.join(words)} ended with {done.returncode}: {done.stderr}")
                return done.stdout

            def milliseconds(*words):
                begin = time.monotonic()
                out = ctl(*words)
                return (time.monotonic() - begin) * 1000, out

            def stored():
                return sum(queue["end"] for queue in json.loads(ctl("topic", "describe", "large", "-o", "json"))["queues"])

            # The load repeats one message: each is to be stored.
            ctl("topic", "create", "large", "--queues", "1", "--idempotent=false")
            ctl("group", "create", "seeker", "--start", "first")
            begin = time.time()
            while stored() < messages:
                run.fill(server, {"large": 1}, "1s" if messages < 1_000_000 else "10s")
            end = time.time()
            ctl("send", "large", "--body", "needle", "--property", "needle=yes")
            # The group's place is made by its first receive.
            ctl("receive", "large", "--group", "seeker")
            seeks, takes = [], []
            for i in range(3 if run.quick else 50):
                # Everywhere, in no order.
                at = begin + (end - begin) * ((i * 0.618) % 1)
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03}Z"
                seeks.append(milliseconds("group", "reset-offset", "seeker", "large", "--to-time", stamp)[0])
                took, out = milliseconds("receive", "large", "--group", "seeker")
                if "queue/offset" not in out:
                    raise SystemExit(f"nothing came after a seek to {stamp}")
                takes.append(took)
            begin = time.monotonic()
            ctl("group", "create", "filtering", "--start", "first")
            while "needle" not in (out := ctl("receive", "large", "--group", "filtering", "--sql", "needle = 'yes'", "--wait", "20s")):
                if time.monotonic() - begin > 300:
                    raise SystemExit(f"the filter found nothing: {out}")
            filtered = time.monotonic() - begin
            os.kill(server.process._child.pid, signal.SIGKILL)
            server.process._child.wait()
            restarted = time_to_serve(server.process)
            server.endpoint = server.process.endpoint
            if stored() <= messages:
                raise SystemExit("messages are gone")
        goal = f"<= 2: {verdict(restarted, 2, at_least=False)}" if messages == 10_000_000 else ""
        lines.append(f"| {messages:,} | {statistics.median(seeks):.0f} / {max(seeks):.0f} | {statistics.median(takes):.0f} / {max(takes):.0f} | "
                     f"{filtered:.2f} | {restarted:.2f} | {goal} |")
    return lines


def cpu_seconds(pid):
    """Of all threads, in nanoseconds: what /proc/PID/stat counts in ticks is too coarse for a server that does nothing."""
    threads = pathlib.Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1e9


def resident_mib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) / 1024


def time_to_serve(process):
    """Until the ports file is written, by its own time stamp (4 ms): looking for it is coarser."""
    begin = time.time_ns()
    process.start()
    return ((process._data / "ports").stat().st_mtime_ns - begin) / 1e9


def idle(run):
    starts, memory, idle_cpu = [], [], []
    for _ in range(run.rounds):
        directory = run.fresh()
        process = Process(run.barid, "standalone", "standalone", directory)
        starts.append(time_to_serve(process))
        pid = process._child.pid
        memory.append(resident_mib(pid))
        seconds = 1 if run.quick else 10
        time.sleep(0.5)  # Its start is not what is measured.
        before = cpu_seconds(pid)
        time.sleep(seconds)  # That nothing happens is.
        idle_cpu.append((cpu_seconds(pid) - before) / seconds * 100)
        kill(process._child)
    with tempfile.NamedTemporaryFile() as stripped:
        subprocess.run(["strip", "-o", stripped.name, run.barid], check=True)
        binary = os.path.getsize(stripped.name) / 2**20
    libraries = 0
    for line in subprocess.run(["ldd", run.barid], stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        found = re.search(r"=> (/\S+)", line)
        if found and not re.search(r"lib(c|m|pthread|dl|rt)\.so", found[1]):
            libraries += os.path.getsize(os.path.realpath(found[1])) / 2**20
    start, resident, cpu = (statistics.median(numbers) for numbers in (starts, memory, idle_cpu))
    return ["| standalone, no client | figure | goal |", "|---|---|---|",
            f"| start to serving, s | {spread(starts, 3)} | <= 0.2: {verdict(start, 0.2, at_least=False)} |",
            f"| resident after start, MiB | {spread(memory, 1)} | <= 40: {verdict(resident, 40, at_least=False)} |",
            f"| CPU while idle, % of a core | {spread(idle_cpu, 2)} | < 0.2: {verdict(cpu, 0.2, at_least=False)} |",
            f"| `barid` stripped, and the libraries that it links beyond libc, MiB | {binary:.1f} + {libraries:.1f} | "
            f"<= 30: {verdict(binary + libraries, 30, at_least=False)} |"]


def log_bytes(directory):
    # Zeros ahead of the tail are part of a file: close enough for gigabytes.
    return sum(file.stat().st_size for file in directory.glob("standalone/shards/*/log/*"))


def restart(run):
    lines = ["| restart after kill -9 under load | start to serving, s | goal |", "|---|---|---|"]
    for gib in ((0.1,) if run.quick else (1, 10)):
        directory = run.fresh()
        process = Process(run.barid, "standalone", "standalone", directory)
        process.start()
        times = []
        wanted = gib * 2**30
        for _ in range(run.rounds):
            # Each kill hits a server that is being sent to; a load does not outlive its server.
            load = subprocess.Popen([run.baridctl, "--endpoint", process.endpoint, "bench", "send", "--size", "32KiB", "--outstanding",
                                     "64", "--duration", "1h"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            try:
                wait_until(lambda: log_bytes(directory) >= wanted, time.monotonic() + 600, f"{wanted} bytes of log")
                os.kill(process._child.pid, signal.SIGKILL)
                process._child.wait()
            finally:
                load.kill()
                load.wait()
            times.append(time_to_serve(process))
            wanted = log_bytes(directory) + 96 * 2**20
        kill(process._child)
        shutil.rmtree(directory)
        goal = f"<= 2: {verdict(statistics.median(times), 2, at_least=False)}" if gib == 10 else ""
        lines.append(f"| {gib} GiB of log | {spread(times, 2)} | {goal} |")
    return lines


def fifo(run):
    lines = ["| FIFO, 1 KiB | send, 64 outstanding, messages/s | p50 / p99, us | receive, batches of 32, messages/s | server CPU per message, us: send | receive |",
             "|---|---|---|---|---|---|"]
    backlog, counts = ("5000", (100,)) if run.quick else ("1000000", (1, 1_000, 1_000_000))
    for kind, groups in [("normal", 1), *(("fifo", count) for count in counts)]:
        words = ("--type", kind, "--groups", str(groups), "--duration", run.duration)
        with Standalone(run) as server:
            send = run.bench(server.endpoint, "send", "--outstanding", "64", *words)
        with Standalone(run) as server:
            take = run.bench(server.endpoint, "receive", "--backlog", backlog, *words)
        p50, p99 = (statistics.median(values(send, "server", f"send_{p}_us")) for p in ("p50", "p99"))
        lines.append(f"| {'NORMAL, for comparison' if kind == 'normal' else f'{groups:,} message groups' if groups > 1 else '1 message group'} | "
                     f"{spread(values(send, 'server', 'messages_per_second'))} | {p50:,.0f} / {p99:,.0f} | "
                     f"{spread(values(take, 'server', 'messages_per_second'))} | "
                     f"{spread(values(send, 'server', 'server_cpu_us_per_message'), 1)} | "
                     f"{spread(values(take, 'server', 'server_cpu_us_per_message'), 1)} |")
    groups_bench = pathlib.Path(run.baridctl).parent / "message_groups_bench"
    if groups_bench.exists():
        # Memory by what a message group has pending, and what others feel of one that is stuck; in one shard, without a network.
        command = [str(groups_bench), str(run.fresh()), "2000" if run.quick else "1000000"]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
        lines += ["", "```", *done.stdout.rstrip().splitlines(), "```"]
    return lines


class PeakMemory:
    """The most that a process had resident meanwhile, beyond what it began with."""

    def __init__(self, pid):
        self._pid = pid
        self._over = threading.Event()
        self._before = self._peak = resident_mib(pid)
        self._watcher = threading.Thread(target=self._watch)

    def _watch(self):
        while not self._over.wait(0.1):
            self._peak = max(self._peak, resident_mib(self._pid))

    def __enter__(self):
        self._watcher.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._watcher.join()

    @property
    def grown(self):
        return self._peak - self._before


def timers(run):
    lines = ["| scheduled messages | sent before the first is due, s | due within, s | late, p50, ms | p99, ms | max, ms | memory grew by, MiB | and with nothing scheduled |",
             "|---|---|---|---|---|---|---|---|"]
    # The second is due evenly, as fast as one client receives comfortably: what is late is not late because it queues.
    for count, ahead, over in ((2_000, 2, 2),) if run.quick else ((100_000, 30, 60), (1_000_000, 120, 120)):
        late, grown, alone = {p: [] for p in ("p50", "p99", "max")}, [], []
        for _ in range(run.rounds):
            with Standalone(run) as server:
                with PeakMemory(server.process._child.pid) as memory:
                    report = run.bench(server.endpoint, "timers", "--timers", str(count), "--ahead", f"{ahead}s", "--spread", f"{over}s",
                                       "--duration", "60s", rounds=1)
                grown.append(memory.grown)
            for p in late:
                late[p] += [us / 1000 for us in values(report, "server", f"end_to_end_{p}_us")]
            # The same messages at once: what sending and receiving them takes by itself.
            with Standalone(run) as server:
                with PeakMemory(server.process._child.pid) as memory:
                    run.bench(server.endpoint, "receive", "--backlog", str(count), "--duration", "300s", rounds=1)
                alone.append(memory.grown)
        lines.append(f"| {count:,} | {ahead} | {over} | {spread(late['p50'], 1)} | {spread(late['p99'], 1)} | {spread(late['max'], 1)} | "
                     f"{spread(grown, 1)} | {spread(alone, 1)} |")
    return lines


def transactions(run):
    lines = ["| prepared and committed, 1 KiB | transactions/s | prepare, p50 / p99, us | commit, p50 / p99, us | server CPU per transaction, us |", "|---|---|---|---|---|"]
    for outstanding in (64,) if run.quick else (1, 64, 512):
        with Standalone(run) as server:
            report = run.bench(server.endpoint, "transaction", "--outstanding", str(outstanding), "--duration", run.duration)
        median = {name: statistics.median(values(report, "server", name)) for name in ("send_p50_us", "send_p99_us", "ack_p50_us", "ack_p99_us")}
        lines.append(f"| {outstanding} outstanding | {spread(values(report, 'server', 'messages_per_second'))} | "
                     f"{median['send_p50_us']:,.0f} / {median['send_p99_us']:,.0f} | {median['ack_p50_us']:,.0f} / {median['ack_p99_us']:,.0f} | "
                     f"{spread(values(report, 'server', 'server_cpu_us_per_message'), 1)} |")
    return lines


def filter_cost(run):
    """What an SQL filter takes of a message that passes it, and of one that does not."""
    backlog = 20_000 if run.quick else 1_000_000
    lines = [f"| receive from a backlog of {backlog:,}, batches of 32 | received/s | looked at/s | server CPU per message looked at, us |", "|---|---|---|---|"]
    filters = ((0, "no filter"), (100, "SQL, takes all"), (10, "SQL, takes 10 %"), (1, "SQL, takes 1 %"))
    for matching, what in filters[::3] if run.quick else filters:
        with Standalone(run) as server:
            report = run.bench(server.endpoint, "receive", "--backlog", str(backlog), "--matching", str(matching), "--duration", "300s")
        share = (matching or 100) / 100
        rates, cpu = (values(report, "server", name) for name in ("messages_per_second", "server_cpu_us_per_message"))
        lines.append(f"| {what} | {spread(rates)} | {spread([rate / share for rate in rates])} | {spread([us * share for us in cpu], 2)} |")
    return lines


def explain(run):
    lines = ["| `explain` of one message by id, of | p50, ms | p99, ms | max, ms |", "|---|---|---|---|"]
    # Files of hashes are made at 64 MiB/s of log, of sealed segments; the bench waits that long and half as long again.
    for messages, wait in ((10_000, 1),) if run.quick else ((100_000, 15), (1_000_000, 40), (10_000_000, 300)):
        with Standalone(run) as server:
            report = run.bench(server.endpoint, "explain", "--backlog", str(messages), "--warm-up", f"{wait}s", "--duration", "10s" if not run.quick else "1s",
                               rounds=1 if messages >= 10_000_000 else None)
        late = {p: [us / 1000 for us in values(report, "server", f"receive_{p}_us")] for p in ("p50", "p99", "max")}
        lines.append(f"| {messages:,} | " + " | ".join(spread(late[p], 2) for p in ("p50", "p99", "max")) + " |")
    return lines


def scrape(server, name):
    """The sum of a metric's values."""
    with urllib.request.urlopen(f"http://{server.process.ports['metrics']}/metrics", timeout=10) as answer:
        return sum(float(line.rsplit(" ", 1)[1]) for line in answer.read().decode().splitlines() if line.startswith(name))


def carrying(run):
    """Publish while old messages are carried forward, and while they are left where they are."""
    fill = "1s" if run.quick else "8s"
    p99 = {True: [], False: []}
    rate = 10_000
    carried = []
    for _ in range(run.rounds):
        for carries in p99:
            arguments = ["--storage.segment-bytes=64MiB", "--broker.retention-interval=500ms", *([] if carries else ["--broker.carry-live-percent=0"])]
            with Standalone(run, *arguments) as server:
                # A quarter of the log is kept for long, the rest for a second.
                for topic, retention in (("kept", "8760h"), ("passing", "1s")):
                    subprocess.run([run.baridctl, "--endpoint", server.endpoint, "topic", "create", topic, "--retention", retention, "--idempotent=false"],
                                   check=True, stdout=subprocess.DEVNULL)
                run.fill(server, {"kept": 1, "passing": 3}, fill)
                before = scrape(server, "barid_broker_carried_messages_total")
                if carries:
                    wait_until(lambda: scrape(server, "barid_broker_carried_messages_total") > before or None, time.monotonic() + 60, "messages are carried")
                report = run.bench(server.endpoint, "send", "--rate", str(rate), "--duration", run.duration, rounds=1)
                p99[carries] += values(report, "server", "send_p99_us")
                if carries:
                    carried.append((scrape(server, "barid_broker_carried_messages_total") - before))
    ratio = [with_it / without for with_it, without in zip(p99[True], p99[False])]
    return ["| publish at 10,000 a second | p99, us | left where they are: p99, us | ratio | goal | carried meanwhile |", "|---|---|---|---|---|---|",
            f"| while messages of 1 KiB are carried forward, segments of 64 MiB | {spread(p99[True])} | {spread(p99[False])} | {spread(ratio, 2)} | "
            f"<= 1.2: {verdict(statistics.median(ratio), 1.2, at_least=False)} | {spread(carried)} |"]


FIGURES = {figure.__name__.replace("_", "-"): figure
           for figure in (publish, separate, open_loop, end_to_end, receive, backlog, large, idle, restart, carrying, fifo, timers, transactions, explain)}
FIGURES["filter"] = filter_cost


def replace_part(page, name, lines):
    begin, end = f"<!-- figures: {name} -->", f"<!-- end: {name} -->"
    part = "\n".join([begin, *lines, end])
    if begin in page:
        return re.sub(re.escape(begin) + ".*?" + re.escape(end), lambda _: part, page, flags=re.S)
    return page.rstrip("\n") + "\n\n" + part + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=sorted(FIGURES), default=list(FIGURES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", default="3s", help="of one round")
    parser.add_argument("--quick", action="store_true", help="small backlogs and logs: to try this program, not to measure")
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--barid", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "barid")
    parser.add_argument("--baridctl", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "baridctl")
    parser.add_argument("--directory", type=pathlib.Path, help="where servers keep their data: on the disk to be measured")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    void = []
    with tempfile.TemporaryDirectory(dir=arguments.directory, prefix="barid-figures-") as directory:
        run = Run(arguments, pathlib.Path(directory))
        for name in arguments.only:
            try:
                lines = FIGURES[name](run)
            except VoidRun as why:
                void.append(f"{name}: {why}")
                continue
            note = f"Commit {commit}, {arguments.rounds} rounds of {arguments.duration}; minimum / median / maximum."
            print("\n".join(["", f"== {name}", *lines]), flush=True)
            page = arguments.page.read_text() if arguments.page.exists() else ""
            arguments.page.write_text(replace_part(page, name, [note, "", *lines]))
    if void:
        raise SystemExit("\n".join(void))


if __name__ == "__main__":
    main()
