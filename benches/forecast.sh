#!/usr/bin/env bash
# Holds `loadgen plan` against real runs: this machine is measured, a show is planned, and then the real server (core 0, one shard,
# the log in memory) serves it to loadgen's viewers (core 1). Fails when CPU, egress or resident memory of a run is over
# 20 % off the plan. About 2 minutes; nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
#
#   benches/forecast.sh                 5,000 viewers with 200 comments/s and 15,000 with 50
#   benches/forecast.sh 8000:100 …      others: VIEWERS:COMMENTS
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3}
public=127.0.0.1:18482 admin=127.0.0.1:18483
out=target/forecast
seconds=10 warmup=2
rm -rf "$out" && mkdir -p "$out"
[ $# -gt 0 ] || set -- 5000:200 15000:50

echo "building"
cargo build --release --workspace --quiet

for show in "$@"; do
  viewers=${show%%:*} comments=${show##*:}
  load=(--viewers "$viewers" --comments "$comments" --likes 200)
  for round in $(seq "$rounds"); do
    # What grows with the show has grown for the warm-up and the measured time at the end of a run.
    ./target/release/loadgen plan "${load[@]}" --calibrate --data memory --after $((seconds + warmup)) --json >"$out/plan-$viewers-$round.json"
    taskset -c 0 ./target/release/volley --listen $public --admin $admin --shards 1 --data memory >/dev/null 2>"$out/server.log" &
    server=$!
    until curl -sf "http://$admin/readyz" >/dev/null; do read -rt 0.1 <> <(:) || true; done
    taskset -c 1 ./target/release/loadgen --url ws://$public --pid "$server" --admin "http://$admin" "${load[@]}" --seconds $seconds --warmup $warmup --quiet \
      --json "$out/run-$viewers-$round.json" >"$out/run-$viewers-$round.txt" 2>&1 ||
      echo "  $viewers viewers, round $round: loadgen found something wrong, see $out/run-$viewers-$round.txt"
    kill -TERM "$server"
    wait "$server" || true
  done
done
python3 benches/forecast.py "$out" "$@"
