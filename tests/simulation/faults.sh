#!/usr/bin/env bash
# Puts old faults back, one at a time, and tells after how many simulated exchanges each is
# found. Nothing of the tree is touched: it works on a copy.
#
#   tests/simulation/faults.sh [seconds] [faults...]     default: 60 seconds for each, all
#
# A fault is a patch in tests/simulation/faults; name it by the number that it begins with. The
# copy is built once more for each, so all take some minutes. Fails if one is not found, or if a
# patch does not apply any more: then write it anew.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

seconds=${1:-60}
[ $# -gt 0 ] && shift
faults=("$@")
if [ ${#faults[@]} -eq 0 ]; then
  for file in tests/simulation/faults/*.patch; do
    faults+=("$(basename "$file" .patch)")
  done
fi

copy=$(mktemp -d)
trap 'rm -rf "$copy"' EXIT
mkdir "$copy/tests"
cp README.md "$copy"
# Without the programs' own tests and benches, which are not copied.
awk '/^\[/ { skip = /^\[dev-dependencies\]/ || /^\[\[(bench|test|example)\]\]/ } !skip' \
  Cargo.toml >"$copy/Cargo.toml"
mkdir "$copy/fuzz"
cp -r fuzz/Cargo.* fuzz/src fuzz/fuzz_targets fuzz/examples "$copy/fuzz"
cp -r tests/simulation tests/raw tests/support "$copy/tests"
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/fuzz/target}/faults
failed=0
for fault in "${faults[@]}"; do
  patch=$(ls tests/simulation/faults/"$fault"*.patch)
  name=$(basename "$patch" .patch)
  rm -rf "$copy/src"
  cp -r src "$copy"
  if ! patch --quiet --directory "$copy" -p1 <"$patch"; then
    echo "$name: the patch does not apply"
    failed=1
    continue
  fi
  log=$(
    cd "$copy/fuzz"
    cargo test --quiet --locked --release --test simulation --no-run
    SIMULATION_SECONDS=$seconds RUST_BACKTRACE=0 \
      cargo test --quiet --locked --release --test simulation fresh_worlds -- --nocapture 2>&1 || true
  )
  found=$(grep -m1 '^found after' <<<"$log" || true)
  if [ -n "$found" ]; then
    printf '%-42s %s\n' "$name" "${found:0:150}"
  else
    printf '%-42s NOT FOUND: %s\n' "$name" "$(grep -m1 'worlds from' <<<"$log" | cut -c1-80)"
    failed=1
  fi
done
exit $failed
