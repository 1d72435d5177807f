#!/usr/bin/env bash
# Instructions per packet, counted by callgrind: two runs of each piece of work with
# different numbers of rounds, so that what happens once does not count.
# Arguments choose pieces; without any, all are counted. With --times first, it is the CPU time of
# each piece in nanoseconds, the median of five runs that take turns.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v valgrind >/dev/null || {
  echo "benches/instructions.sh: needs valgrind (Debian: apt-get install valgrind)" >&2
  exit 1
}
# In a package of its own, which is built in a moment.
cargo build --quiet --locked --release --bin instructions \
  --manifest-path benches/counts/Cargo.toml --target-dir target/counts
program=target/counts/release/instructions
out=$(mktemp)
trap 'rm -f "$out"' EXIT

count() {
  valgrind --tool=callgrind --callgrind-out-file="$out" "$program" "$1" "$2" 2>/dev/null
  sed -n 's/^summary: //p; s/^totals: //p' "$out" | tail -1
}

if [ "${1:-}" = --times ]; then
  shift
  rounds=400000
  TIMEFORMAT=%U
  for piece in $(for _ in 1 2 3 4 5; do echo "${*:-$("$program")}"; done); do
    seconds=$({ time "$program" "$piece" "$rounds"; } 2>&1)
    awk -v piece="$piece" -v s="$seconds" -v n="$rounds" \
      'BEGIN { printf "%-28s %6.0f\n", piece, s * 1e9 / n }'
  done | sort -k 1,1 -k 2,2n | awk 'NR % 5 == 3'
  exit
fi

pieces=${*:-$("$program")}
for piece in $pieces; do
  few=$(count "$piece" 1000)
  many=$(count "$piece" 3000)
  printf '%-28s %6d\n' "$piece" $(((many - few) / 2000))
done
