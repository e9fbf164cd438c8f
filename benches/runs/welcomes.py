"""What joins cost and whether each welcome was whole, out of a JSON report of loadgen. Exits 1 if something is above its bound.

The server's CPU time while everybody joined also paid for the frames to those who were in already. What a frame costs is measured
right after, with everybody in; that times the frames of the storm is taken off. What the room's own ticks cost stays in."""

import json
import pathlib
import sys


def main(path: str) -> int:
    report = json.loads(pathlib.Path(path).read_text(encoding="utf-8"))
    tally, server, welcomes = report["tally"], report["server"], report["crowded"]["welcomes"]
    joins = tally["connected"]
    per_frame_us = server["cpu_us_per_frame"]
    gross_us = server["connect_cpu_us_per_viewer"]
    net_us = gross_us - tally["frames_connecting"] * per_frame_us / joins
    whole = min(welcomes.get(part, 0) for part in ("comments", "pinned", "poll", "sticky", "announcements", "settings"))
    lost = sum(tally["failed"].values()) + sum(tally["lost"].values())
    print(f"{joins} joins in {report['connect_s']:.1f} s, {lost} failed or lost; {whole} welcomes were whole")
    print(f"  server CPU per join, frames to the others included {gross_us:8.1f} µs")
    print(f"  a frame to one viewer                             {per_frame_us:8.2f} µs")
    print(f"  server CPU per join                               {net_us:8.1f} µs   (at most 150)")
    print(f"  {report['generator']['says']}")
    return 0 if net_us <= 150 and whole == joins and lost == 0 and joins == report["scenario"]["viewers"] else 1


sys.exit(main(sys.argv[1]))
