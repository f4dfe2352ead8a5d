#!/usr/bin/env python3
"""docs/metrics.md says what `barid ROLE --print-metrics` prints. --update writes the page anew."""

import argparse
import difflib
import os
import pathlib
import subprocess
import sys

INTRODUCTION = """\
# Metrics

<!-- Written by tests/integration/metrics_page_test.py --update from `barid ROLE --print-metrics`. Not by hand. -->

Every process answers `GET /metrics` on `metrics.listen` for Prometheus. Counters begin at 0 with the process. Names that begin with `rocketmq_` mean what they mean in RocketMQ 5, but for labels: `topic` and
`consumer_group` are names, with the namespace in front where it is not the default one; there is no `cluster`, `node_id` or `is_system`. A label has at most 2,000 values, or combinations of values; what comes later counts under
`__other__`. `shard` is the shard's id. What counts messages is explained in [operations.md](operations.md).
"""

ROLES = (
    ("standalone", "Everything in one process."),
    ("controller", "Topics, groups, shards, leaders."),
    ("broker", "Keeps messages."),
    ("proxy", "The door for clients."),
)


def page(barid):
    sections = [INTRODUCTION]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BARID_")}
    for role, what in ROLES:
        table = subprocess.run([barid, role, "--print-metrics"], env=environment, stdin=subprocess.DEVNULL, check=True,
                               capture_output=True, text=True, timeout=20).stdout
        sections.append(f"## barid {role}\n\n{what}\n\n{table}")
    return "\n".join(sections)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--barid", required=True)
    parser.add_argument("--page", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2] / "docs" / "metrics.md")
    parser.add_argument("--update", action="store_true", help="write the page instead of comparing it")
    options = parser.parse_args()

    printed = page(options.barid)
    if options.update:
        options.page.write_text(printed)
        return 0
    written = options.page.read_text() if options.page.exists() else ""
    if written == printed:
        return 0
    sys.stdout.writelines(difflib.unified_diff(written.splitlines(True), printed.splitlines(True),
                                               str(options.page), "barid --print-metrics"))
    print(f"\n{options.page} is not what barid prints. To write it anew: {__file__} --barid {options.barid} --update")
    return 1


if __name__ == "__main__":
    sys.exit(main())
