#!/usr/bin/env python3
"""docs/compatibility.md: which client was seen to keep which promise in the last run.

    compatibility.py --write      writes the page from what driver.py left in build/conformance/results
    compatibility.py              checks that the page names exactly the promises and clients there are
"""

import argparse
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True  # The source tree is only read.

from programs import CLIENTS
from scenarios import NOT_OFFERED, PROMISES

SHAPES = ("standalone", "separate")
NAMES = {"python": "Python", "node": "Node.js", "java": "Java", "go": "Go", "rust": "Rust"}

# What RocketMQ 5.5.0 did with the same clients, where it does less.
REFERENCE = {
    "simple": "what comes back is 2 s late",
    "change-invisible": "comes back 2 s late",
    "recall": "refused unless `recallMessageEnable` is set; a nonsense handle is an internal error (50001)",
    "transaction": "asks 6 to 36 s later, at the next scan; one core is busy for ever after the first end",
    "sql-filter": "refused unless `enablePropertyFilter` is set",
    "retry": "every attempt is 2 s late",
    "dlq": "the dead letter has attempt 5 and no properties",
    "request-reply": "its own request/reply is of the older protocol, which no gRPC client speaks",
    "batch-send": "one entry for all messages of the call",
    "empty-body": "the Rust client panics at the code, which is younger than it",
    "end-while-polling": "the poll of an ended process takes the next message: seen 65 s later",
    "restart": "Python and Rust never receive again, Go after 288 s, when the proxy restarted",
}

INTRODUCTION = """\
# The official clients

<!-- Written by tests/conformance/compatibility.py --write, from the results of the last runs. Not by hand. -->

What the five official RocketMQ 5 clients were seen to do with Barid, unmodified, each against `barid standalone` and against separate processes
(a controller, two brokers, two proxies). tests/conformance/README.md says how, with which versions, and what the clients themselves cannot do.
*yes*: all checks of the promise passed in both shapes. The last column is what the same clients met at RocketMQ 5.5.0.
"""

NOTES = """\
Rust has no push consumer: its simple consumer stands in. Node.js and Go leave the poll of a consumer that ended open: the next message goes to it,
and comes again after its invisible time.
Lite topics are read by lite push consumers; none of these clients has a lite simple consumer.
`goaway`: Rust's calls that fall into a connection's end fail. The program sends on, and repeats the acknowledgement: then nothing that was acknowledged is lost."""


def read(results, client):
    """By shape, the client's results."""
    found = {}
    for shape in SHAPES:
        path = results / f"{client}-{shape}.json"
        found[shape] = json.loads(path.read_text()) if path.exists() else {}
    return found


def cell(client, promise, found):
    if (client, promise) in NOT_OFFERED:
        return "-"
    seen = {shape: result[promise] for shape, result in found.items() if promise in result}
    wrong = [shape for shape, result in seen.items() if result["wrong"]]
    if wrong:
        return f"**no** ({', '.join(wrong)})"
    if len(seen) == len(SHAPES):
        return "yes"
    return f"yes ({', '.join(seen)})" if seen else "not run"


def row(promise):
    return f"| `{promise}` | {PROMISES[promise][1]} |"


def header():
    return "| promise | what it is | " + " | ".join(NAMES[client] for client in CLIENTS) + " | RocketMQ's server |"


def page(results):
    found = {client: read(results, client) for client in CLIENTS}
    lines = [INTRODUCTION, header(), "|---|---|" + "---|" * len(CLIENTS) + "---|"]
    for promise in PROMISES:
        cells = " | ".join(cell(client, promise, found[client]) for client in CLIENTS)
        lines.append(f"{row(promise)} {cells} | {REFERENCE.get(promise, '')} |")
    dates = sorted({result["date"] for shapes in found.values() for of_shape in shapes.values() for result in of_shape.values()})
    lines.append(f"\nThe runs: {dates[0] if dates[0] == dates[-1] else f'{dates[0]} to {dates[-1]}'}." if dates else "\nNothing was run yet.")
    lines.append("\n" + NOTES)
    lines.append("\n## Not offered\n\n| client | promise | why |\n|---|---|---|")
    lines += [f"| {NAMES[client]} | `{promise}` | {why} |" for (client, promise), why in NOT_OFFERED.items()]
    return "\n".join(lines) + "\n"


def problems(text):
    """Where the page and the tests disagree about what there is."""
    lines = text.splitlines()
    if header() not in lines:
        yield "its clients are not " + ", ".join(NAMES.values())
    rows = [line for line in lines if line.startswith("| `")]
    for promise in PROMISES:
        if sum(line.startswith(row(promise)) for line in rows) != 1:
            yield f"it has no row for {promise}, or one that says something else"
    for line in rows:
        if line.split("`")[1] not in PROMISES:
            yield f"nothing shows {line.split('`')[1]} any more"
    for promise in list(REFERENCE) + [promise for _, promise in NOT_OFFERED]:
        if promise not in PROMISES:
            yield f"nothing shows {promise}, which compatibility.py or scenarios.py names"


def main():
    repository = Path(__file__).resolve().parents[2]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", type=Path, default=repository / "docs/compatibility.md")
    parser.add_argument("--results", type=Path, default=repository / "build/conformance/results")
    parser.add_argument("--write", action="store_true")
    arguments = parser.parse_args()
    if arguments.write:
        arguments.page.write_text(page(arguments.results))
    found = list(problems(arguments.page.read_text()))
    for problem in found:
        print(f"{arguments.page}: {problem}; compatibility.py --write writes it anew")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
