"""Medians over the JSON reports of several rounds of one load, one line per figure."""

import json
import statistics
import sys


def main(name: str, paths: list[str]) -> None:
    reports = [json.load(open(path, encoding="utf-8")) for path in paths]

    def show(label: str, unit: str, *keys: str, scale: float = 1.0) -> None:
        values = []
        for report in reports:
            value = report
            for key in keys:
                value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                values.append(value * scale)
        if values:
            each = " ".join(f"{value:.4g}" for value in values)
            print(f"  {label:44} {statistics.median(values):10.4g} {unit:8} ({each})")

    print(f"{name}: medians of {len(reports)} rounds")
    show("missing comments", "", "verdict", "missing")
    show("duplicates + order + digests", "", "verdict", "order_violations")
    show("latency p50", "ms", "latency", "p50_ms")
    show("latency p99", "ms", "latency", "p99_ms")
    show("p99 to the acknowledgement", "ms", "ack_latency", "p99_ms")
    show("others' p99 before the stall", "ms", "stall", "others_before", "p99_ms")
    show("others' p99 during the stall", "ms", "stall", "others_while", "p99_ms")
    show("growth of resident memory in the stall", "MiB", "server", "rss_stall_growth_bytes", scale=1 / 2**20)
    show("the same per stalled viewer", "KiB", "server", "rss_stall_growth_bytes_per_stalled", scale=1 / 1024)
    show("server CPU per delivered frame", "µs", "server", "cpu_us_per_frame")
    show("server's share of its core", "", "server", "cpu_share")
    show("server CPU per accept and handshake", "µs", "server", "connect_cpu_us_per_viewer")
    show("resident per idle viewer", "KiB", "server", "rss_idle_bytes_per_viewer", scale=1 / 1024)
    show("generator's share of its core", "", "generator", "cpu_share")


main(sys.argv[1], sys.argv[2:])
