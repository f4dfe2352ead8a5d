#!/usr/bin/env python3
"""docs/settings.md says what `barid ROLE --print-settings` prints. --update writes the page anew."""

import sys

import printed_page

INTRODUCTION = """\
# Settings

<!-- Written by tests/integration/settings_page_test.py --update from `barid ROLE --print-settings`. Not by hand. -->

Each setting has one name: the key in the YAML file that `--config` names, the flag and the environment variable. Flags go before the
environment, the environment before the file.

| where | `storage.segment_bytes` |
|---|---|
| file | `storage.segment_bytes: 1GiB`, or `segment_bytes: 1GiB` under `storage:` |
| environment | `BARID_STORAGE_SEGMENT_BYTES=1GiB` |
| flag | `--storage.segment-bytes=1GiB` |

An unknown name or a value that is not allowed ends the start with exit code 2 and a message that names the setting and where it was found.
"""

ROLES = (
    ("standalone", "Everything in one process. Works without any setting."),
    ("controller", "Topics, groups, shards, leaders."),
    ("broker", "Keeps messages. Needs `broker.id` and `controller.endpoints`."),
    ("proxy", "The door for clients. Needs `controller.endpoints`, and `proxy.name` where there are several."),
)

if __name__ == "__main__":
    sys.exit(printed_page.main("settings.md", "--print-settings", INTRODUCTION, ROLES, __doc__))
