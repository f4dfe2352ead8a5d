#!/usr/bin/env python3
"""docs/metrics.md says what `barid ROLE --print-metrics` prints. --update writes the page anew."""

import sys

import printed_page

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

if __name__ == "__main__":
    sys.exit(printed_page.main("metrics.md", "--print-metrics", INTRODUCTION, ROLES, __doc__))
