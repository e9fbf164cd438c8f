#!/usr/bin/env bash
# Slow viewers: 10 % of a room's viewers get a link of 200 kbit/s for a while, each its own token bucket. Prints when they
# were on lite, when they were back, what became of them, and whether the others noticed, as a small table. Takes under two
# minutes.
#
# Runs in a network namespace of its own, on its loopback device, so it needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN),
# `tc` and `ip` (Debian: apt install iproute2), and a kernel with HTB and U32. The buckets shape what goes to 127.0.1.1,
# 127.0.1.2, …; everybody else is at 127.0.0.1.
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
# Without limits every comment is shown, so that the frames' size follows from the rate alone.
serve 1 --data memory --no-rate-limits
python3 benches/runs/lite.py "${VIEWERS:-300}" "${SECONDS_SLOW:-20}"
