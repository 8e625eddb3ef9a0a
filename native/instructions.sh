#!/bin/sh
# Prints the instruction count of each global function (program or subprogram) of a BPF object.
# usage: instructions.sh LLVM_READELF OBJECT
set -eu
"$1" -sW "$2" | awk '$4 == "FUNC" && $5 == "GLOBAL" {
  printf "  %-32s %6d instructions\n", $8, $3 / 8 }'
