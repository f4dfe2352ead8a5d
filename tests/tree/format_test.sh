#!/bin/sh
# Every C++ file is as .clang-format lays it out. `clang-format -i FILE` mends one.
cd "$1" || exit 1
find api base broker cli codec controller edge filter proxy rpc standalone storage tests \
  \( -name '*.cc' -o -name '*.h' \) ! -path '*/node_modules/*' ! -path '*/target/*' -print0 |
  xargs -0 clang-format-14 --dry-run -Werror
