"""Plans beside runs: medians of the rounds, and whether each plan is within 20 % of its run."""

import json
import statistics
import sys
from pathlib import Path

OFF_MAX = 0.20


def median(paths: list[str], *keys: str) -> float:
    values = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            value = json.load(file)
        for key in keys:
            value = value[key]
        values.append(value)
    return statistics.median(values)


def rounds(out: str, kind: str, viewers: str) -> list[str]:
    return sorted(str(path) for path in Path(out).glob(f"{kind}-{viewers}-*.json"))


def main(out: str, shows: list[str]) -> int:
    is_good, notes = True, []
    print("| load | what | planned | measured | off |\n|---|---|---|---|---|")
    for show in shows:
        viewers, comments = show.split(":")
        plans, runs = rounds(out, "plan", viewers), rounds(out, "run", viewers)
        seconds = median(runs, "scenario", "measured_s")
        rows = [
            ("CPU", "cores", median(plans, "cpu_cores", "total"), median(runs, "server", "cpu_share"), 1),
            ("egress", "MB/s", median(plans, "egress_bytes_per_s"), median(runs, "tally", "bytes_measured") / seconds, 1e6),
            ("resident memory", "MiB", median(plans, "memory_bytes", "total"), median(runs, "server", "rss_max_bytes"), 2**20),
        ]
        for what, unit, planned, measured, scale in rows:
            off = planned / measured - 1
            is_good &= abs(off) <= OFF_MAX
            print(
                f"| {int(viewers):,} viewers, {comments} comments/s | {what} | {planned / scale:.2f} {unit} "
                f"| {measured / scale:.2f} {unit} | {off:+.0%}{'' if abs(off) <= OFF_MAX else ' TOO FAR'} |"
            )
        # A server that gets too little of its core joins frames, which makes them cheaper: not an error of the plan.
        joined = median(runs, "metrics", "volley_deliveries_total") / median(runs, "metrics", "volley_sends_total")
        notes.append(f"{int(viewers):,} viewers: {joined:.2f} frames a send" + (" (the machine was not free)" if joined > 1.05 else ""))
        full = sum(median([path], "generator", "was_the_bottleneck") for path in runs)
        if full:
            notes.append(f"{int(viewers):,} viewers: the generator was full in {full:.0f} of {len(runs)} rounds")
    for note in notes:
        print(f"note: {note}")
    print(f"medians of {len(runs)} rounds; {'every figure' if is_good else 'NOT every figure'} is within {OFF_MAX:.0%}")
    return 0 if is_good else 1


sys.exit(main(sys.argv[1], sys.argv[2:]))
