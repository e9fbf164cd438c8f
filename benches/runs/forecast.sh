#!/usr/bin/env bash
# Holds `loadgen plan` against real runs: this machine is measured, a show is planned, and then the real server (one shard,
# the log in memory) serves it to loadgen's viewers. Fails when CPU, egress or resident memory of a run is over 20 % off the
# plan. Takes about 3 minutes; nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
#
#   benches/runs/forecast.sh                 5,000 viewers with 200 comments/s and 15,000 with 50
#   benches/runs/forecast.sh 8000:100 …      others: VIEWERS:COMMENTS
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
    # What grows with the show has grown for the warm-up and the measured time at the end of a run.
    "$bin/loadgen" plan "${flags[@]}" --calibrate --data memory --after $((seconds + warmup)) --json \
      >"$out/plan-$viewers-$round.json"
    serve 1 --data memory
    load "run-$viewers-$round" --pid "$server" --admin "http://$admin" "${flags[@]}" --seconds $seconds --warmup $warmup
    end
  done
done
python3 benches/runs/forecast.py "$out" "$@"
