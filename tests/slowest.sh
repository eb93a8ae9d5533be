#!/bin/sh
# Prints the ten slowest end-to-end tests. $1: a line per test, "SECONDS s  NAME".
[ -s "$1" ] || exit 0
echo 'the slowest end-to-end tests:'
sort -rn "$1" | head -n 10
