#!/usr/bin/env python3
"""What a call that does nothing costs over our own edge and over grpc-core: the table `edge` of docs/benchmarks.md.

    tests/bench/edge_figures.py [--rounds 5] [--seconds 2]

Both echo servers (edge_echo_bench) take turns under each load: a gRPC C++ client with headers and a deadline as the official
clients have them, and h2load (Debian's nghttp2-client), in cleartext and over TLS. What counts is the server's CPU per call.
"""

import argparse
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from figures import ROOT, replace_part, spread, verdict

HEADERS = [*(f"x-mq-header-{i}: value-{i}-of-some-length" for i in range(8)),
           "content-type: application/grpc", "te: trailers", "grpc-timeout: 30S", "user-agent: h2load"]
BODY = b"\0" + (1024).to_bytes(4, "big") + b"x" * 1024


def cpu_seconds(pid):
    """Of all threads, by the nanosecond."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        total += int((task / "schedstat").read_text().split()[0])
    return total / 1e9


def grpc_client(bench, flags, arguments, *words):
    out = subprocess.run([bench, *flags, f"--seconds={arguments.seconds}", *words], check=True, stdout=subprocess.PIPE, text=True).stdout
    calls, cpu = re.search(r": (\d+) calls/s, server ([\d.]+) us", out).groups()
    return float(calls), float(cpu)


def h2load(bench, flags, arguments, body):
    server = subprocess.Popen([bench, "--serve", *flags], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        address, pid = server.stdout.readline().split()
        url = f"{'https' if '--tls' in flags else 'http'}://{address}/bench/Echo"
        before = cpu_seconds(pid)
        out = subprocess.run(["h2load", "-D", str(arguments.seconds), "-c", "4", "-m", "64", "-d", body,
                              *(word for header in HEADERS for word in ("-H", header)), url],
                             check=True, stdout=subprocess.PIPE, text=True).stdout
        cpu = cpu_seconds(pid) - before
    finally:
        server.stdin.close()
        server.wait()
    succeeded, failed = re.search(r"(\d+) succeeded, (\d+) failed", out).groups()
    if int(succeeded) == 0 or int(failed) > 0:
        raise SystemExit(f"h2load: {succeeded} calls succeeded, {failed} failed\n{out}")
    return int(succeeded) / arguments.seconds, cpu / int(succeeded) * 1e6


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--page", type=pathlib.Path, default=ROOT / "docs" / "benchmarks.md")
    parser.add_argument("--bench", type=pathlib.Path, default=ROOT / "build" / "release" / "bin" / "edge_echo_bench")
    arguments = parser.parse_args()
    if shutil.which("h2load") is None:
        raise SystemExit("there is no h2load; it is in Debian's nghttp2-client")
    commit = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short=10", "HEAD"], stdout=subprocess.PIPE, text=True).stdout.strip()
    lines = [f"Commit {commit}, {arguments.rounds} rounds of {arguments.seconds} s; minimum / median / maximum.", "",
             "| no-op call, 1 KiB, one server thread | server CPU per call, us | grpc-core | ratio | goal | calls/s | grpc-core |",
             "|---|---|---|---|---|---|---|"]
    with tempfile.NamedTemporaryFile() as body:
        body.write(BODY)
        body.flush()
        loads = [(f"gRPC C++ client, {channels} channels, {outstanding} outstanding" if channels > 1 else
                  f"gRPC C++ client, 1 channel, {outstanding} outstanding", 0.65,
                  lambda flags, c=channels, o=outstanding: grpc_client(arguments.bench, flags, arguments, f"--connections={c}", f"--outstanding={o}"))
                 for channels, outstanding in ((1, 64), (8, 64), (8, 512))]
        loads.append(("h2load, 4 connections x 64 streams", 0.25, lambda flags: h2load(arguments.bench, flags, arguments, body.name)))
        for tls in (False, True):
            for name, goal, measure in loads:
                ours, theirs = [], []
                for _ in range(arguments.rounds):
                    ours.append(measure(["--h2", *(["--tls"] if tls else [])]))
                    theirs.append(measure(["--tls"] if tls else []))
                ratio = [mine[1] / other[1] for mine, other in zip(ours, theirs)]
                median = statistics.median(ratio)
                lines.append(f"| {name}{', TLS' if tls else ''} | {spread([cpu for _, cpu in ours], 1)} | {spread([cpu for _, cpu in theirs], 1)} | "
                             f"{spread(ratio, 2)} | {'reported' if tls else f'<= {goal}: {verdict(median, goal, at_least=False)}'} | "
                             f"{spread([calls for calls, _ in ours])} | {spread([calls for calls, _ in theirs])} |")
                print(lines[-1], flush=True)
    page = arguments.page.read_text() if arguments.page.exists() else ""
    arguments.page.write_text(replace_part(page, "edge", lines))


if __name__ == "__main__":
    sys.exit(main())
