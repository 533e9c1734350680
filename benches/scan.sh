#!/usr/bin/env bash
# What an archive costs: rates by kind of crash, what a second processor gives, memory against size, a second scan, other
# rules, and whether a scan that is killed again and again loses or doubles a row. Usage: benches/scan.sh [COUNT [FOLDER]]
set -euo pipefail
cd "$(dirname "$0")/.."
count=${1:-10000}
work=${2:-$(mktemp -d)}
cargo build --release --locked --bin vmcoroner --example make_archive
bin=$PWD/target/release/vmcoroner
make=$PWD/target/release/examples/make_archive
mkdir -p "$work"
rm -f "$work/figures"

# A run's wall time, processor time and peak memory.
run() {
    local label=$1
    shift
    python3 - "$label" "$work/rows" "$work/figures" "$@" <<'PY'
import os, resource, subprocess, sys, time
label, out, figures, *command = sys.argv[1:]
# To empty a file takes time that is none of the command's.
if os.path.exists(out):
    os.remove(out)
with open(out, "wb") as rows:
    start = time.monotonic()
    subprocess.run(command, stdout=rows, stderr=subprocess.DEVNULL)
    wall = time.monotonic() - start
used = resource.getrusage(resource.RUSAGE_CHILDREN)
count = sum(1 for _ in open(out, "rb"))
cpu = used.ru_utime + used.ru_stime
print(f"{label:34} {count:7} rows  {wall:8.2f} s  {count / wall:8.0f}/s  cpu {cpu:8.2f} s  {count / cpu:8.0f}/cpu-s  peak {used.ru_maxrss // 1024:5} MiB")
with open(figures, "a") as figures:
    figures.write(f"{label}\t{wall}\t{cpu}\n")
PY
}

# What one run took of what another one did.
against() {
    python3 - "$work/figures" "$@" <<'PY'
import sys
figures, label, of = sys.argv[1:]
runs = {words[0]: [float(word) for word in words[1:]] for words in (line.rstrip().split("\t") for line in open(figures))}
(wall, cpu), (of_wall, of_cpu) = runs[label], runs[of]
print(f"{label}, of {of}: wall {100 * wall / of_wall:.1f} % (1/{of_wall / wall:.2f}), cpu {100 * cpu / of_cpu:.1f} %")
PY
}

for kind in texts capsules; do
    [ -d "$work/$kind" ] || "$make" "$work/$kind" $((count / 5)) $kind
    run "$kind, 1 job" "$bin" scan --quiet --jobs 1 "$work/$kind"
    run "$kind, 2 jobs" "$bin" scan --quiet --jobs 2 "$work/$kind"
    against "$kind, 2 jobs" "$kind, 1 job"
done
[ -d "$work/small" ] || "$make" "$work/small" $((count / 10))
[ -d "$work/all" ] || "$make" "$work/all" "$count"
run "a tenth of the archive, 2 jobs" "$bin" scan --quiet --jobs 2 "$work/small"
run "the archive, 1 job" "$bin" scan --quiet --jobs 1 "$work/all"
run "the archive, 2 jobs" "$bin" scan --quiet --jobs 2 "$work/all"
against "the archive, 2 jobs" "the archive, 1 job"
run "the archive, 2 workers" "$bin" scan --quiet --jobs 2 --isolate "$work/all"
rm -f "$work"/catalogue.db*
run "into a catalogue" "$bin" scan --quiet --jobs 2 --catalog "$work/catalogue.db" "$work/all"
cp "$work/rows" "$work/rows-first"
for time in 1 2 3; do
    run "again, unchanged" "$bin" scan --quiet --jobs 2 --catalog "$work/catalogue.db" "$work/all"
done
cmp "$work/rows" "$work/rows-first" && echo "the rows are the same"
against "again, unchanged" "into a catalogue"
run "relabelled without our rules" "$bin" relabel --no-builtin --format jsonl "$work/catalogue.db"
run "relabelled with them" "$bin" relabel --format jsonl "$work/catalogue.db"

# Twenty parts of a second each, so that some are left to do for the last run.
rm -f "$work"/killed.db*
for round in $(seq 20); do
    "$bin" scan --quiet --jobs 2 --catalog "$work/killed.db" "$work/all" > /dev/null 2>&1 &
    pid=$!
    sleep "0.$((RANDOM % 300 + 100))"
    kill -9 $pid 2> /dev/null || true
    wait $pid 2> /dev/null || true
done
run "after 20 kills" "$bin" scan --quiet --jobs 2 --catalog "$work/killed.db" "$work/all"
cmp "$work/rows" "$work/rows-first" && echo "the rows are the same"
