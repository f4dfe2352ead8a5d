#!/usr/bin/env python3
"""Runs the official RocketMQ clients against Barid and compares what they sent with what they received.

    driver.py --client python --shape standalone [--scenario simple] --barid PATH --baridctl PATH
    driver.py --crash --rounds 10 --barid PATH --baridctl PATH
    driver.py --crash --mixed --rounds 3 --seconds 120 --barid PATH --baridctl PATH

See README.md. Needs nothing but Python's standard library; the clients come from ./install.
"""

import argparse
import datetime
import fcntl
import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.dont_write_bytecode = True  # The source tree is only read.

import crash
import mixed
from children import Failed, kill_all
from programs import CLIENTS, Program
from scenarios import NOT_OFFERED, PROMISES, SCENARIOS, Run, second
from server import Server


class Report:
    """Prints each finding as it is made and remembers whether all were right."""

    def __init__(self):
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self.failures = 0
        self.checks = 0
        self.wrong = {}  # By (client, promise), what was wrong; empty if nothing was.

    def promise(self, client, promise, right, sentence):
        with self._lock:
            wrong = self.wrong.setdefault((client, promise), [])
            if not right:
                wrong.append(sentence)

    def check(self, right, sentence):
        with self._lock:
            self.checks += 1
            self.failures += not right
            print(f"{time.monotonic() - self._started:6.1f} s  {'ok  ' if right else 'FAIL'}  {sentence}", flush=True)

    def end(self, directory):
        """The last line, and the exit status."""
        if self.failures:
            print(f"{self.failures} of {self.checks} checks FAILED; everything written is in {directory}")
            return 1
        print(f"all {self.checks} checks passed")
        return 0


def run_scenario(name, arguments, server, directory, report):
    scenario = SCENARIOS[name]
    options = scenario.options_for(arguments.client, name, arguments.messages)
    if scenario.door:
        server = Server(arguments.shape, arguments.barid, arguments.baridctl, directory / "server" / name, arguments.barid_argument,
                        door=scenario.door)
        create(scenario, options, server)

    def start(options, part=""):
        return Program(arguments.client, name, options, server, arguments.install, directory, part=part)

    started = time.monotonic()
    problem, events = scenario.drive(start, options, server, scenario.deadline)
    seconds = time.monotonic() - started
    run = Run(arguments.client, arguments.shape, options, events, server, about=name)
    try:
        scenario.check(run)
    except (KeyError, IndexError, TypeError) as error:
        run.check(False, f"an event is not as README.md says: {error!r}; see {directory}/{arguments.client}-{name}*.log")
    if scenario.door:
        server.stop()
    # The first line says whether it came to its end at all; the others explain, or say more.
    report.check(problem is None, f"{arguments.client} {name}: {problem or f'finished in {seconds:.1f} s'}")
    for right, sentence, _ in run.findings:
        report.check(right, f"{arguments.client} {name}: {sentence}")
    for promise, (shown_by, _) in PROMISES.items():
        if shown_by != name or (arguments.client, promise) in NOT_OFFERED:
            continue
        report.promise(arguments.client, promise, problem is None, str(problem))
        about = [finding for finding in run.findings if finding[2] == promise]
        report.promise(arguments.client, promise, about, "nothing was checked")
        for right, sentence, _ in about:
            report.promise(arguments.client, promise, right, sentence)


def keep_results(arguments, report):
    """For compatibility.py. What was not run keeps its last result."""
    directory = arguments.install / "results"
    directory.mkdir(parents=True, exist_ok=True)
    today = datetime.date.today().isoformat()
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # Several drivers may keep results of one client.
        for (client, promise), wrong in report.wrong.items():
            path = directory / f"{client}-{arguments.shape}.json"
            results = json.loads(path.read_text()) if path.exists() else {}
            results[promise] = {"date": today, "wrong": wrong}
            whole = path.with_suffix(".new")
            whole.write_text(json.dumps(results, indent=1))
            whole.replace(path)


def create(scenario, options, server):
    server.create_topic(options["topic"], kind=scenario.topic_kind)
    if "reply-topic" in options:
        server.create_topic(options["reply-topic"])
    if "fifo-topic" in options:
        server.create_topic(options["fifo-topic"], kind="fifo")
    server.create_group(options["group"], **scenario.group)
    if "simple-group" in options:
        server.create_group(options["simple-group"], **scenario.group)
    if "dead-group" in options:
        server.create_group(options["dead-group"])
    if scenario.twice:
        server.create_topic(second(options)["topic"], kind=scenario.topic_kind)
        server.create_group(second(options)["group"], **scenario.group)


def run_scenarios(arguments, server, directory, report):
    names = [arguments.scenario] if arguments.scenario else [
        name for name, scenario in SCENARIOS.items()
        if arguments.client not in scenario.without and not (scenario.takes_long and arguments.quick)]
    for name in names:
        if not SCENARIOS[name].door:
            create(SCENARIOS[name], SCENARIOS[name].options_for(arguments.client, name, arguments.messages), server)
    # What takes long only waits.
    with ThreadPoolExecutor(arguments.jobs + sum(SCENARIOS[name].takes_long for name in names)) as pool:
        running = [pool.submit(run_scenario, name, arguments, server, directory, report) for name in names]
    for scenario in running:
        scenario.result()


def parse_arguments():
    repository = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--barid", type=Path, default=repository / "build/release/bin/barid")
    parser.add_argument("--baridctl", type=Path, default=repository / "build/release/bin/baridctl")
    parser.add_argument("--install", type=Path, default=repository / "build/conformance", help="where ./install put the clients")
    parser.add_argument("--shape", choices=("standalone", "separate"), default="standalone",
                        help="separate: a controller, two brokers and two proxies")
    parser.add_argument("--client", choices=CLIENTS)
    parser.add_argument("--scenario", choices=SCENARIOS, help="only this one")
    parser.add_argument("--quick", action="store_true", help="without what takes longer than all others together: auto-renew")
    parser.add_argument("--messages", type=int, default=1000, help="how many normal-push and simple send")
    parser.add_argument("--jobs", type=int, default=4, help="scenarios side by side")
    parser.add_argument("--crash", action="store_true", help="kill -9 while all five clients send and consume")
    parser.add_argument("--mixed", action="store_true", help="with --crash: every kind of message")
    parser.add_argument("--without-push", action="store_true", help="with --mixed: no push consumers, and what only they are for")
    parser.add_argument("--rounds", type=int, help="how many kills (2); with --mixed how many runs, each with new servers (1)")
    parser.add_argument("--seconds", type=float, default=120, help="of load in a round of --mixed")
    parser.add_argument("--every", type=float, default=4, help="seconds from kill to kill in --mixed, half to one and a half of it")
    parser.add_argument("--seed", type=int, default=1, help="of the times of the kills in --mixed")
    parser.add_argument("--amnesia", action="store_true",
                        help="with --mixed: servers that forget on purpose, to see that it is noticed (standalone)")
    parser.add_argument("--barid-argument", action="append", default=[], help="passed on to every barid, repeatable")
    arguments = parser.parse_args()
    if arguments.crash == bool(arguments.client):
        parser.error("say either --client or --crash")
    if (arguments.mixed and not arguments.crash) or (arguments.amnesia and not (arguments.mixed and arguments.shape == "standalone")):
        parser.error("--mixed goes with --crash, and --amnesia with --mixed of the shape standalone")
    if arguments.rounds is None:
        arguments.rounds = 1 if arguments.mixed else 2
    # Absolute, because the children run elsewhere.
    arguments.barid, arguments.baridctl, arguments.install = (
        path.resolve() for path in (arguments.barid, arguments.baridctl, arguments.install))
    for path in (arguments.barid, arguments.baridctl):
        if not path.exists():
            parser.error(f"{path} does not exist: build it, or name another with --barid and --baridctl")
    if not all((arguments.install / client / ".installed").exists()
               for client in ([arguments.client] if arguments.client else CLIENTS)):
        parser.error(f"the clients are not installed in {arguments.install}: run tests/conformance/install")
    return arguments


def end_now(signal_number, _frame):
    """Not by an exception: the threads that wait for their programs would be waited for."""
    kill_all()
    os._exit(128 + signal_number)


def run_mixed(arguments, title, directory, report):
    for number in range(1, arguments.rounds + 1):
        where = directory / f"round-{number}"
        try:
            server = Server(arguments.shape, arguments.barid, arguments.baridctl, where / "server", arguments.barid_argument,
                            broker=mixed.BROKER)
            mixed.run(server, arguments.seconds, arguments.every, arguments.seed + number, arguments.install, where,
                      lambda right, sentence: report.check(right, f"{title} {number}: {sentence}"), arguments.amnesia,
                      not arguments.without_push)
            server.stop()
            report.check(True, f"{title} {number}: server ended well after SIGTERM")
        except Failed as failure:
            report.check(False, f"{title} {number}: {failure}")
        finally:
            kill_all()
        if not report.failures:
            shutil.rmtree(where / "server")
    return report.end(directory)


def main():
    arguments = parse_arguments()
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, end_now)
    title = f"{'mixed' if arguments.mixed else 'crash' if arguments.crash else arguments.client}-{arguments.shape}"
    if arguments.scenario:
        title += f"-{arguments.scenario}"  # It may run beside the others.
    directory = arguments.install / "runs" / title
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)

    report = Report()
    if arguments.mixed:
        return run_mixed(arguments, title, directory, report)
    try:
        server = Server(arguments.shape, arguments.barid, arguments.baridctl, directory / "server",
                        arguments.barid_argument)
        report.check(True, f"{title}: server is up at {server.endpoint}")
        if arguments.crash:
            def check(right, sentence):
                report.check(right, sentence)
                for client in CLIENTS:
                    if re.search(rf"\b{client}\b( again)?:", sentence):
                        about = "lite-restart" if "lite subscription" in sentence else "restart"
                        report.promise(client, about, right, sentence)

            crash.run(server, arguments.rounds, arguments.install, directory, check)
        else:
            run_scenarios(arguments, server, directory, report)
        server.stop()
        report.check(True, f"{title}: server ended well after SIGTERM")
    except Failed as failure:
        report.check(False, f"{title}: {failure}")
    finally:
        kill_all()
    keep_results(arguments, report)

    if not report.failures:
        shutil.rmtree(directory / "server")
    return report.end(directory)


if __name__ == "__main__":
    sys.exit(main())
