#!/usr/bin/env bash
# Slow viewers: 10 % of a room's viewers get a link of 200 kbit/s for a while, each with a separate token bucket. Prints
# a small table: when they were on lite, when they were back, how many were disconnected, and the latency of the other
# viewers. Takes less than two minutes.
#
# Runs in a separate network namespace, on its loopback device, so it needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN),
# `tc` and `ip` (Debian: apt install iproute2), and a kernel with HTB and U32. The buckets limit the traffic to
# 127.0.1.1, 127.0.1.2, …; the other viewers are at 127.0.0.1.
#
#   benches/runs/lite.sh                 # 300 viewers, 30 of them slow
#   VIEWERS=100 SECONDS_SLOW=30 benches/runs/lite.sh
name=lite port=18590
. "$(dirname "$0")/lib.sh"
if [ "${1-}" != inside ]; then
  command -v tc >/dev/null || { echo "tc is missing: apt install iproute2" >&2; exit 1; }
  prepare
  exec unshare --net benches/runs/lite.sh inside
fi

ip link set lo up
ulimit -n "$(ulimit -Hn)"
# Without limits every comment is shown, so the size of the frames depends only on the rate.
serve 1 --data memory --no-rate-limits
python3 benches/runs/lite.py "${VIEWERS:-300}" "${SECONDS_SLOW:-20}"
