#!/usr/bin/env python3
"""Runs one gRPC client through the interoperability cases against our own edge, in cleartext and over TLS.

    driver.py --client go --server build/release/tests/interop_server

See README.md. Needs nothing but Python's standard library; the clients come from ../conformance/install, but for C++, which
CMake builds.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True  # The source tree is only read.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "conformance"))

from children import Failed, kill, kill_all, start

PROGRAM_SECONDS = 60
CASES = (
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server", "deadline_is_told",
    "status_code_and_message", "special_status_message", "custom_metadata", "unimplemented_method",
    "unimplemented_service", "compressed_is_refused",
)


def commands(install, cpp):
    """How each client's program is run."""
    python = [install / "python/venv/bin/python", install / "python/interop/interop.py"]
    return {
        "cpp": [cpp],
        "python": python,
        "python-aio": [*python, "--aio"],
        "node": ["node", install / "node/interop/interop.mjs"],
        "java": ["java", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto",
                 "-cp", f"{install}/java/target/classes:{install}/java/lib/*", "Interop"],
        "go": [install / "go/interop/interop"],
        "rust": [install / "rust/target/debug/interop"],
    }


def start_server(binary, directory):
    """The process, its address and the file of its certificate. It ends with our end of its stdin."""
    server = start([binary, directory], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    words = server.stdout.readline().decode().split()
    if len(words) != 2:
        raise Failed(f"{binary} did not say where it listens")
    return server, *words


def run(command, endpoint, certificate):
    """What the program printed of each case, by name, and what else went wrong."""
    arguments = ["--endpoint", endpoint, *(["--certificate", certificate] if certificate else [])]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}
    program = start([*command, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, env=environment)
    problem = None
    try:
        output, _ = program.communicate(timeout=PROGRAM_SECONDS)
    except subprocess.TimeoutExpired:
        problem = f"did not finish within {PROGRAM_SECONDS} s"
        kill(program)
        output, _ = program.communicate()
    results = {}
    for line in output.decode(errors="replace").splitlines():
        try:
            result = json.loads(line)
            results[result["case"]] = result
        except (ValueError, KeyError, TypeError):
            return results, f'printed "{line}"'
    if program.returncode != 0:
        problem = problem or f"ended with {program.returncode}"
    return results, problem


def judge(title, results, problem):
    """Prints a line per case and returns how many are not right."""
    failures = 0
    findings = [(False, problem)] if problem else []
    for case in CASES:
        result = results.get(case, {"passed": False, "detail": "was not run"})
        findings.append((result["passed"] is True, f"{case} {result['detail']}".rstrip()))
    # A program that runs what is not in the list has a list of its own.
    findings += [(False, f"{case} is not a case") for case in results if case not in CASES]
    for right, sentence in findings:
        failures += not right
        print(f"{'ok  ' if right else 'FAIL'}  {title}: {sentence}", flush=True)
    return failures


def main():
    repository = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", type=Path, default=repository / "build/release/tests/interop_server")
    parser.add_argument("--install", type=Path, default=repository / "build/conformance",
                        help="where ../conformance/install put the clients")
    parser.add_argument("--cpp", type=Path, default=repository / "build/release/tests/interop_cpp",
                        help="the program of the C++ client")
    parser.add_argument("--client", required=True, choices=commands(Path(), Path()))
    arguments = parser.parse_args()
    command = commands(arguments.install.resolve(), arguments.cpp.resolve())[arguments.client]
    failures = 0
    try:
        with tempfile.TemporaryDirectory() as directory:
            server, address, certificate = start_server(arguments.server.resolve(), directory)
            shapes = {"cleartext": None, "TLS": certificate}
            with ThreadPoolExecutor(len(shapes)) as pool:
                running = {shape: pool.submit(run, command, address, shapes[shape]) for shape in shapes}
            for shape, program in running.items():
                failures += judge(f"{arguments.client}, {shape}", *program.result())
            server.stdin.close()
            if server.wait(10) != 0:
                raise Failed(f"the server ended with {server.returncode}")
    except (Failed, subprocess.TimeoutExpired) as failure:
        print(f"FAIL  {failure}")
        failures += 1
    finally:
        kill_all()
    print(f"{failures} checks FAILED" if failures else "all cases passed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
