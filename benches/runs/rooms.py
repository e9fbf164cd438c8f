"""Tables over the JSON reports of benches/runs/rooms.sh: medians of its rounds, each round's value in parentheses."""

import glob
import json
import re
import statistics
import sys
import time

TICKS_PER_S = 10
CPU_STEP_S = 0.01


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process."""
    total = 0
    for path in glob.glob(f"/proc/{pid}/task/*/schedstat"):
        with open(path, encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def idle(pid: int, seconds: float) -> None:
    """The CPU use of a process without connections, in the form of loadgen's reports."""
    time.sleep(1)  # The start of the process is excluded.
    begin = cpu_ns(pid)
    time.sleep(seconds)
    cpu_us = (cpu_ns(pid) - begin) / 1_000
    share = cpu_us / 1e6 / seconds
    json.dump({"good": True, "groups": [], "server": {"cpu_us": cpu_us, "cpu_share": share}}, sys.stdout)


class Runs:
    """The rounds of every load."""

    def __init__(self, folder: str) -> None:
        self.of: dict[str, list[dict]] = {}
        for path in sorted(glob.glob(f"{folder}/*-*.json")):
            name = re.sub(r"-\d+\.json$", "", path.rsplit("/", 1)[1])
            with open(path, encoding="utf-8") as file:
                self.of.setdefault(name, []).append(json.load(file))

    def values(self, name: str, *keys, scale: float = 1.0) -> list[float]:
        """One figure from each round; rounds without it are skipped."""
        found = []
        for report in self.of.get(name, []):
            value = report
            for key in keys:
                if isinstance(value, list):
                    value = next((group for group in value if group["name"] == key), None)
                else:
                    value = value.get(key) if isinstance(value, dict) else None
            if value is not None:
                found.append(value * scale)
        return found

    def cell(self, name: str, *keys, unit: str = "", scale: float = 1.0, digits: int = 3) -> str:
        return cell(self.values(name, *keys, scale=scale), unit, digits)

    def bad(self) -> list[str]:
        names = []
        for name, reports in self.of.items():
            for number, report in enumerate(reports, 1):
                if not report["good"]:
                    names.append(f"{name}, round {number}: {'; '.join(report.get('wrong', []))}")
                elif report.get("generator", {}).get("was_the_bottleneck"):
                    names.append(f"{name}, round {number}: the generator was the bottleneck")
        return names


def show(value: float, digits: int) -> str:
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def cell(values: list[float], unit: str = "", digits: int = 3) -> str:
    if not values:
        return "–"
    middle = show(statistics.median(values), digits) + (f" {unit}" if unit else "")
    return middle if len(values) == 1 else f"{middle} ({' · '.join(show(value, digits) for value in values)})"


def row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |")


def head(*cells: str) -> None:
    row(*cells)
    print("|" + "---|" * len(cells))


def median(values: list[float]) -> float:
    return statistics.median(values) if values else float("nan")


def tables(folder: str) -> None:
    runs = Runs(folder)
    rounds = max(len(reports) for reports in runs.of.values())
    print(f"Medians of {rounds} rounds.\n")
    shapes = [
        ("tiny", "9,900 rooms × 2 viewers, 2,000 comments/s"),
        ("small", "1,000 rooms × 15 viewers, 500 comments/s"),
        ("beside", "1 room × 18,000, 20 comments/s, beside 1,000 × 1, 200 comments/s"),
    ]
    head("load", "shards", "deliveries/s", "CPU per delivery", "core", "p50", "p99", "missing", "accept and handshake")
    for name, text in shapes:
        for shards in (1, 2, 4):
            load = f"{name}-{shards}"
            row(
                text if shards == 1 else "",
                str(shards),
                show(median(runs.values(load, "frames_per_s")), 3),
                runs.cell(load, "server", "cpu_us_per_frame", unit="µs"),
                f"{median(runs.values(load, 'server', 'cpu_share', scale=100)):.0f} %",
                f"{median(runs.values(load, 'latency', 'p50_ms')):.0f} ms",
                runs.cell(load, "latency", "p99_ms", unit="ms"),
                show(sum(runs.values(load, "verdict", "missing")), 3),
                runs.cell(load, "server", "connect_cpu_us_per_viewer", unit="µs", digits=2),
            )

    print()
    head("a hot room of 18,000 beside 1,000 quiet ones, one shard", "alone", "beside each other", "ratio")
    for group, alone in (("quiet", "quiet"), ("hot", "one-18000")):
        for key in ("p50_ms", "p99_ms"):
            lone = runs.values(alone, "groups", group, "latency", key)
            both = runs.values("beside-1", "groups", group, "latency", key)
            row(f"{group}: {key[:-3]}", cell(lone, "ms"), cell(both, "ms"), f"{median(both) / median(lone):.2f} ×")
    for shards in (2, 4):
        both = runs.values(f"beside-{shards}", "groups", "quiet", "latency", "p99_ms")
        row(f"quiet: p99 with {shards} shards", "", cell(both, "ms"), "")
    hot_alone = median(runs.values("one-18000", "server", "cpu_us_per_frame"))
    row("hot: CPU per delivery", runs.cell("one-18000", "server", "cpu_us_per_frame", unit="µs"), "", "")
    row("quiet: CPU per delivery, including the comment's way in and its ack", runs.cell("quiet", "server", "cpu_us_per_frame", unit="µs"), "", "")
    # The process has one CPU account: subtract the hot room's cost when alone; the rest belongs to the quiet rooms.
    rest = []
    for report in runs.of.get("beside-1", []):
        groups = {group["name"]: group for group in report["groups"]}
        left = report["server"]["cpu_us"] - hot_alone * groups["hot"]["frames_measured"]
        rest.append(left / max(groups["quiet"]["frames_measured"], 1))
    row("quiet: CPU per delivery after the hot room's CPU is subtracted", "", cell(rest, "µs"), "")

    print()
    head("one room, 10 frames/s", "CPU per delivery", "core", "p99", "accept and handshake")
    for viewers in (5_000, 18_000):
        load = f"one-{viewers}"
        row(
            f"{viewers:,} viewers",
            runs.cell(load, "server", "cpu_us_per_frame", unit="µs"),
            f"{median(runs.values(load, 'server', 'cpu_share', scale=100)):.0f} %",
            runs.cell(load, "latency", "p99_ms", unit="ms"),
            runs.cell(load, "server", "connect_cpu_us_per_viewer", unit="µs", digits=2),
        )
    ratio = hot_alone / median(runs.values("one-5000", "server", "cpu_us_per_frame"))
    print(f"\nCPU per delivery, 18,000 ÷ 5,000 viewers: **{ratio:.3f}**\n")

    base = median(runs.values("idle-0", "server", "cpu_share"))
    head("idle rooms, one viewer each", "CPU, share of a core", "CPU per room and tick of 100 ms")
    for load, rooms, text in [
        ("idle-0", 0, "none"),
        ("idle-1000", 1_000, "1,000 rooms, no heartbeats and pings"),
        ("idle-9900", 9_900, "9,900 rooms, no heartbeats and pings"),
        ("idle-9900-default", 9_900, "9,900 rooms, default settings: a heartbeat per room and 15 s, a ping per viewer and 20 s"),
    ]:
        shares = runs.values(load, "server", "cpu_share")
        if not rooms:
            row(text, cell([share * 100 for share in shares], "%"), "")
            continue
        # loadgen reads a clock that counts in steps, so values below one step are not visible.
        steps = [CPU_STEP_S / window for window in runs.values(load, "scenario", "measured_s")]
        per_tick = [max(share - base, 0) * 1e9 / rooms / TICKS_PER_S for share in shares]
        least = max(steps, default=0) * 1e9 / rooms / TICKS_PER_S
        middle = f"< {show(least, 2)} ns" if median(per_tick) < least else cell(per_tick, "ns")
        row(text, cell([share * 100 for share in shares], "%"), middle)

    print()
    for line in runs.bad():
        print(f"- failed: {line}")


if sys.argv[1] == "idle":
    idle(int(sys.argv[2]), float(sys.argv[3]))
else:
    tables(sys.argv[2])
