"""A page of docs/ that is what `barid ROLE --print-...` prints: compared, or with --update written anew."""

import argparse
import difflib
import os
import pathlib
import subprocess
import sys


def page(barid, flag, introduction, roles):
    sections = [introduction]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BARID_")}
    for role, what in roles:
        table = subprocess.run([barid, role, flag], env=environment, stdin=subprocess.DEVNULL, check=True,
                               capture_output=True, text=True, timeout=20).stdout
        sections.append(f"## barid {role}\n\n{what}\n\n{table}")
    return "\n".join(sections)


def main(name, flag, introduction, roles, description):
    """Returns the exit code. `name` is the page's file in docs/; `roles` are pairs of role and what stands under its name."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--barid", required=True)
    parser.add_argument("--page", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2] / "docs" / name)
    parser.add_argument("--update", action="store_true", help="write the page instead of comparing it")
    options = parser.parse_args()

    printed = page(options.barid, flag, introduction, roles)
    if options.update:
        options.page.write_text(printed)
        return 0
    written = options.page.read_text() if options.page.exists() else ""
    if written == printed:
        return 0
    sys.stdout.writelines(difflib.unified_diff(written.splitlines(True), printed.splitlines(True),
                                               str(options.page), f"barid {flag}"))
    print(f"\n{options.page} is not what barid prints. To write it anew: {sys.argv[0]} --barid {options.barid} --update")
    return 1
