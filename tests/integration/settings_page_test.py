#!/usr/bin/env python3
"""docs/settings.md says what `barid ROLE --print-settings` prints. --update writes the page anew."""

import argparse
import difflib
import os
import pathlib
import subprocess
import sys

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


def page(barid):
    sections = [INTRODUCTION]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BARID_")}
    for role, what in ROLES:
        table = subprocess.run([barid, role, "--print-settings"], env=environment, stdin=subprocess.DEVNULL, check=True,
                               capture_output=True, text=True, timeout=20).stdout
        sections.append(f"## barid {role}\n\n{what}\n\n{table}")
    return "\n".join(sections)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--barid", required=True)
    parser.add_argument("--page", type=pathlib.Path,
                        default=pathlib.Path(__file__).resolve().parents[2] / "docs" / "settings.md")
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
                                               str(options.page), "barid --print-settings"))
    print(f"\n{options.page} is not what barid prints. To write it anew: {__file__} --barid {options.barid} --update")
    return 1


if __name__ == "__main__":
    sys.exit(main())
