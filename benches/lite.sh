#!/usr/bin/env bash
# Slow viewers: 10 % of a room's viewers get a link of 200 kbit/s for a while, each its own token bucket. Says when they were on
# lite, when they were back, what became of them, and whether the others noticed, as a small table. Takes under two minutes.
#
# Runs in a network namespace of its own, on its loopback device, so it needs root (or CAP_SYS_ADMIN and CAP_NET_ADMIN), `tc` and
# `ip` (Debian: apt install iproute2), and a kernel with HTB and U32. The buckets shape what goes to 127.0.1.1, 127.0.1.2, …;
# everybody else is at 127.0.0.1.
#
#   benches/lite.sh                 # 300 viewers, 30 of them slow
#   VIEWERS=100 SECONDS_SLOW=30 benches/lite.sh
set -euo pipefail
cd "$(dirname "$0")/.."
if [ "${1-}" != inside ]; then
  command -v tc >/dev/null || { echo "tc is missing: apt install iproute2" >&2; exit 1; }
  echo "building" >&2
  cargo build --release --quiet --bin volley
  exec unshare --net "$0" inside
fi

ip link set lo up
ulimit -n "$(ulimit -Hn)"
out=target/lite
mkdir -p "$out"
# Without limits every comment is shown, so that the frames' size follows from the rate alone.
./target/release/volley --listen 127.0.0.1:18590 --admin 127.0.0.1:18591 --data memory --no-rate-limits --shards 1 \
  >/dev/null 2>"$out/server.log" &
server=$!
trap 'kill -TERM "$server" 2>/dev/null; wait "$server" 2>/dev/null || true' EXIT
until curl -sf http://127.0.0.1:18591/readyz >/dev/null; do read -rt 0.1 <> <(:) || true; done
python3 benches/lite.py "${VIEWERS:-300}" "${SECONDS_SLOW:-20}"
