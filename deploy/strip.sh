#!/usr/bin/env bash
# `strip.sh FILE...`: moves the debug information of each program to FILE.debug beside it, and leaves a link to it in the
# program: gdb and the backtrace of a panic find it there. A program that was stripped before is left alone.
set -euo pipefail

for given in "$@"; do
  program=$(realpath "$given")
  if readelf --section-headers --wide "$program" | grep -q gnu_debuglink; then
    continue
  fi
  # The link holds the name and a checksum of the file, so both are made under their last names.
  made=$(mktemp -d "$program.XXXXXX")
  trap 'rm -rf "$made"' EXIT
  name=$(basename "$program")
  objcopy --only-keep-debug "$program" "$made/$name.debug"
  (cd "$made" && objcopy --strip-all --add-gnu-debuglink="$name.debug" "$program" "$name")
  mv "$made/$name.debug" "$program.debug"
  # A new file by this name: cargo's own copy, which may be the same inode, stays whole.
  mv "$made/$name" "$program"
  rm -rf "$made"
  trap - EXIT
done
