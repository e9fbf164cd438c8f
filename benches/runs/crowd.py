"""The figures of a crowded room beside their bounds, from loadgen's JSON. Exits 1 if a figure is above its bound."""

import json
import pathlib
import sys


def main(folder: str) -> int:
    def report(name: str) -> dict:
        return json.loads((pathlib.Path(folder) / f"{name}.json").read_text(encoding="utf-8"))

    crowd, console, hog = report("crowd"), report("console"), report("hog")
    said, room = crowd["crowded"], crowd["scenario"]
    rates = said["comments_per_s"]
    print(f"{room['viewers']} viewers, {sum(rates.values()):.0f} comments/s acknowledged in {room['measured_s']:.0f} s")
    for outcome, per_s in rates.items():
        print(f"  {outcome:<44}{per_s:10.0f} /s")
    failed = 0

    def line(label: str, value: float, unit: str, most: float | None = None) -> None:
        nonlocal failed
        bound = "" if most is None else f"   (at most {most:g}{' — ABOVE' if value > most else ''})"
        failed += most is not None and not value <= most
        print(f"  {label:<44}{value:10.4g} {unit}{bound}")

    ticks, posts, server = said["ticks"], said["posts"], crowd["server"]
    line("ticks, mean", ticks["mean_ms"], "ms", 10)
    line("ticks, 99 % within", ticks["p99_bound_ms"] or float("inf"), "ms", 10)
    line("ticks, all within", ticks["max_bound_ms"] or float("inf"), "ms")
    line("frames for viewers, p50", said["frame_kb"]["p50"], "kB")
    line("frames for viewers, p99", said["frame_kb"]["p99"], "kB", 12.288)
    line("frames for viewers, largest", said["frame_kb"]["max"], "kB", 12.288)
    line("shown comments, p50", crowd["latency"]["p50_ms"], "ms")
    line("shown comments, p99", crowd["latency"]["p99_ms"], "ms", 500)
    line("acknowledgements, p99", crowd["ack_latency"]["p99_ms"], "ms")
    line("guaranteed events, p50", posts["latency"]["p50_ms"], "ms")
    line("guaranteed events, p99", posts["latency"]["p99_ms"], "ms", 300)
    line("lateness of the generator, at most", posts["late_ms"], "ms")
    line("guaranteed events missing", posts["missing"] + sum(posts["failed"].values()), "", 0)
    line("missing, doubled, contradicting", wrongs(crowd), "", 0)
    line("the same at the console (all events)", wrongs(console), "", 0)
    line("server's share of its core", server["cpu_share"], "")
    line("generator's share of its core", crowd["generator"]["cpu_share"], "")
    print(f"  {crowd['generator']['says']}")
    fair = hog["crowded"]["fairness"]
    print(f"one of {fair['speakers']} sends half of {sum(hog['crowded']['comments_per_s'].values()):.0f} comments/s")
    line("the busiest sender's share of all comments", 100 * fair["most_sent_share"], "%")
    line("the busiest sender's share of comments shown", 100 * fair["most_shown_share"], "%", 5)
    line("Gini coefficient of the comments sent", fair["gini_sent"], "")
    line("Gini coefficient of the comments shown", fair["gini_shown"], "", fair["gini_sent"])
    line("missing, doubled, contradicting", wrongs(hog), "", 0)
    return 1 if failed else 0


def wrongs(report: dict) -> int:
    names = ("missing", "duplicates", "order_violations", "digest_conflicts", "malformed_frames", "contradictions")
    names += ("shed_overstated", "posts_missing", "holes", "epoch_changes")
    return sum(report["verdict"][name] for name in names) + abs(report["verdict"]["unaccounted"])


sys.exit(main(sys.argv[1]))
