"""The cost of joins and the completeness of welcomes, from loadgen's JSON. Exits 1 if a figure is above its bound.

The server's CPU time during the joins includes the frames to viewers that had already joined. The cost of a frame is
measured right after, with all viewers in; the frames sent during the joins are subtracted at that cost. The room's own
ticks stay included."""

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
    print(f"{joins} joins in {report['connect_s']:.1f} s, {lost} failed or lost; {whole} welcomes were complete")
    print(f"  server CPU per join, with frames to other viewers  {gross_us:8.1f} µs")
    print(f"  a frame to one viewer                             {per_frame_us:8.2f} µs")
    print(f"  server CPU per join                               {net_us:8.1f} µs   (at most 150)")
    print(f"  {report['generator']['says']}")
    return 0 if net_us <= 150 and whole == joins and lost == 0 and joins == report["scenario"]["viewers"] else 1


sys.exit(main(sys.argv[1]))
