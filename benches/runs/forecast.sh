#!/usr/bin/env bash
# Compares `loadgen plan` with real runs: it measures this machine, plans a show, and then lets the real server (one
# shard, the log in memory) serve that show to loadgen's viewers. Fails if CPU, egress or resident memory of a run
# differs from the plan by over 20 %. Takes about 3 minutes; nothing else should run meanwhile. Needs two cores, 20,000
# descriptors.
#
#   benches/runs/forecast.sh                 5,000 viewers with 200 comments/s and 15,000 with 50
#   benches/runs/forecast.sh 8000:100 …      other loads: VIEWERS:COMMENTS
#   ROUNDS=1                                 one round instead of three
name=forecast port=18482
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-3} seconds=10 warmup=2
prepare
[ $# -gt 0 ] || set -- 5000:200 15000:50

for show in "$@"; do
  viewers=${show%%:*} comments=${show##*:}
  flags=(--viewers "$viewers" --comments "$comments" --likes 200)
  for round in $(seq "$rounds"); do
    # At the end of a run the show has lasted for the warm-up and the measured time.
    "$bin/loadgen" plan "${flags[@]}" --calibrate --data memory --after $((seconds + warmup)) --json \
      >"$out/plan-$viewers-$round.json"
    serve 1 --data memory
    load "run-$viewers-$round" --pid "$server" --admin "http://$admin" "${flags[@]}" --seconds $seconds --warmup $warmup
    end
  done
done
python3 benches/runs/forecast.py "$out" "$@"
