# Sourced by scripts/bench and scripts/bench-pitr, after scripts/sandbox.bash.
# shellcheck shell=bash disable=SC2154 # what the others set

# measure <job> <who> <command…>: runs it, and adds what it took to $sandbox/taken.
measure() {
    python3 - "$sandbox/taken" "$sandbox/measured.log" "$@" <<'PYTHON'
import json, resource, subprocess, sys, time

taken, log, job, who, *command = sys.argv[1:]
with open(log, "a") as output:
    began = time.monotonic()
    status = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output).returncode
    wall = time.monotonic() - began
if status:
    sys.exit(f"{job} ({who}): exit {status}")
used = resource.getrusage(resource.RUSAGE_CHILDREN)
row = dict(job=job, who=who, wall=wall, cpu=used.ru_utime + used.ru_stime, peak=used.ru_maxrss / 1024)
with open(taken, "a") as rows:
    rows.write(json.dumps(row) + "\n")
print(f"{job:10} {who:17} {wall:7.2f} s wall {row['cpu']:7.2f} s CPU {row['peak']:7.0f} MiB")
PYTHON
}
