#!/usr/bin/env bash
# Makes the figures of docs/benchmarks.md: the real server on core 0 with one shard, the load generator on core 1,
# medians of three rounds. Takes about 18 minutes; nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3}
public=127.0.0.1:18480 admin=127.0.0.1:18481
out=target/figures
mkdir -p "$out"

echo "building"
cargo build --release --workspace --quiet

# load NAME ARGS…: starts a server, loads it, ends it (by its pid), for each round; keeps the JSON.
load() {
  local name=$1 round server
  shift
  for round in $(seq "$rounds"); do
    rm -rf "$out/data"
    taskset -c 0 ./target/release/volley --listen $public --admin $admin --shards 1 --data "${data:-memory}" ${settings:-} >/dev/null 2>"$out/server.log" &
    server=$!
    until curl -sf "http://$admin/readyz" >/dev/null; do read -rt 0.1 <> <(:) || true; done
    taskset -c 1 ./target/release/loadgen --url ws://$public --pid "$server" "$@" --json "$out/$name-$round.json" >"$out/$name-$round.txt" 2>&1 ||
      echo "  $name round $round: loadgen found something wrong, see $out/$name-$round.txt"
    kill -TERM "$server"
    wait "$server" || true
  done
  python3 benches/figures.py "$name" "$out/$name"-*.json
}

load 10000-viewers-200-comments --viewers 10000 --comments 200 --likes 500 --seconds 15
data=$out/data load 10000-viewers-200-comments-on-disk --viewers 10000 --comments 200 --likes 500 --seconds 15
# Acknowledgements: 300 viewers, so that fan-out is not what they wait for.
data=$out/data settings=--no-rate-limits load 2000-comments-on-disk --viewers 300 --comments 2000 --likes 0 --seconds 20
settings=--no-rate-limits load 2000-comments-in-memory --viewers 300 --comments 2000 --likes 0 --seconds 20
load 18000-viewers-50-comments --viewers 18000 --comments 50 --likes 200 --seconds 15
load 10000-viewers-10%-stalled --viewers 10000 --comments 20 --likes 100 --stall 10% --stall-seconds 20
# The handshake at three paces, each beside the least server that loadgen can connect to.
floor() {
  local rate=$1 round server
  for round in $(seq "$rounds"); do
    taskset -c 0 ./target/release/examples/bare_handshake $public &
    server=$!
    read -rt 0.3 <> <(:) || true
    # It sends no frames, which loadgen counts as nothing missing.
    taskset -c 1 ./target/release/loadgen --url ws://$public --pid "$server" --room load --viewers 10000 --comments 0 --likes 0 --seconds 1 \
      --connect-rate "$rate" --json "$out/floor-$rate-$round.json" >"$out/floor-$rate-$round.txt" 2>&1 || true
    kill -TERM "$server"
    wait "$server" || true
  done
  python3 benches/figures.py "floor of a handshake at $rate/s" "$out/floor-$rate"-*.json
}
cargo build --release --quiet --example bare_handshake
for rate in 2000 10000 20000; do
  # Without the counters that the room sends each second to all who are in: those are deliveries, counted above.
  settings="--set room.counters_ms=60000" load "10000-viewers-at-$rate" --viewers 10000 --comments 1 --likes 0 --seconds 2 --connect-rate "$rate"
  floor "$rate"
done

echo "fan-out over real sockets, beside a bare send loop"
cargo bench --quiet --bench fanout

echo "the log on disk: commits, many rooms, start-up, beside the device's own sync"
cargo bench --quiet --bench disk_log
