#!/usr/bin/env bash
# Puts old faults back, one at a time, and tells after how many simulated exchanges each is
# found. Nothing of the tree is touched: it works on a copy.
#
#   tests/simulation/faults.sh [seconds] [numbers...]     default: 60 seconds for each, all
#
# Those from 16 on are races, for the models of fuzz/models: of these it tells which model finds
# them.
#
# All of them are in faults.patch, and the environment variable FAULT says which is there: so
# the copy is built once. Fails if one is not found, or if the patch does not apply any more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

names=(
  [1]="a GET that its caller forbids to repeat is repeated"
  [2]="a request that is not idempotent goes on to another member"
  [3]="the connection of a request that was given up is used again"
  [4]="a request that is given up keeps its permit"
  [5]="a pool that is full is blamed on its member"
  [6]="a health check that hangs holds up those of other members"
  [7]="a request body that never comes holds a connection for ever"
  [8]="a response that nobody reads holds a connection for ever"
  [9]="a session moves when its member is full"
  [10]="two requests for body packets are taken for one"
  [11]="the head of an answer is lost when the connection is closed after it"
  [12]="bytes that nobody has asked for are not looked for before reuse"
  [13]="the hurry of one request is blamed on the member"
  [14]="RetryPolicy sends a request again that is not idempotent"
  [15]="the gateway ends an answer that broke off as if it were whole"
  [16]="two permits that vanish are counted as one"
  [17]="a connection comes back to a pool that was shut down"
  [18]="who waits while another polls a request body is not woken"
  [19]="a permit is free before the connection of its lease is closed"
  [20]="connections of a container that does not answer are not counted while they are closed"
  [21]="any request that is given up ends the trial of another"
  [22]="the trial of a request that was given up never ends"
  [23]="a member that is removed is gone before its last request"
  [24]="several requests are told that the secret has changed"
)
seconds=${1:-60}
[ $# -gt 0 ] && shift
numbers=("$@")
[ $# -gt 0 ] || numbers=("${!names[@]}")

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/tests" "$copy/fuzz"
cp -r README.md src "$copy"
# Without the programs' own tests and benches, which are not copied.
awk '/^\[/ { skip = /^\[dev-dependencies\]/ || /^\[\[(bench|test|example)\]\]/ } !skip' \
  Cargo.toml >"$copy/Cargo.toml"
cp -r fuzz/Cargo.* fuzz/{models,mutants,simulation} fuzz/src fuzz/fuzz_targets fuzz/examples "$copy/fuzz"
cp -r tests/simulation tests/raw tests/support "$copy/tests"
patch --quiet --directory "$copy" -p1 <tests/simulation/faults.patch
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/fuzz/target}
cd "$copy/fuzz"
built=$(cargo test --locked --release -p ajp-models -p ajp-simulation --no-run 2>&1 | tee /dev/stderr |
  sed -n 's/.*Executable.*(\(.*\))$/\1/p')
simulation=$(grep simulation- <<<"$built")
schedules=$(grep schedules- <<<"$built")

# Says what found the fault, if anything did.
simulated() {
  FAULT=$1 SIMULATION_SECONDS=$seconds RUST_BACKTRACE=0 \
    timeout $((seconds + 120)) "$simulation" fresh_worlds --nocapture 2>&1 | grep -m1 '^found after'
}
modelled() {
  FAULT=$1 RUST_BACKTRACE=0 timeout 120 "$schedules" 2>&1 |
    sed -n 's/^test \(.*\) \.\.\. FAILED$/found by the model \1/p' | grep -m1 .
}

failed=0
for number in "${numbers[@]}"; do
  if [ "$number" -lt 16 ]; then
    found=$(simulated "$number") || true
  else
    found=$(modelled "$number") || true
  fi
  if [ -z "$found" ]; then
    failed=1
    found="NOT FOUND"
  fi
  printf '%2s %s\n   %s\n' "$number" "${names[number]}" "${found:0:200}"
done
exit $failed
