#!/usr/bin/env bash
# Makes the figures of docs/benchmarks.md: the real server with one shard, medians of three rounds. Takes about 18 minutes;
# nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
#
#   benches/runs/figures.sh              all loads
#   benches/runs/figures.sh LOAD…        only these loads; their names are below
#   ROUNDS=1                             one round instead of three
name=figures port=18480
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-3}
prepare
wanted=" $* "

is_wanted() { # LOAD
  [[ "$wanted" == "  " || "$wanted" == *" $1 "* ]]
}

# Starts a new server in each round, and prints the medians.
measure() { # LOAD SETTINGS FLAGS…
  local name=$1 settings=$2 round
  shift 2
  is_wanted "$name" || return 0
  for round in $(seq "$rounds"); do
    rm -rf "$out/data"
    # shellcheck disable=SC2086
    serve 1 $settings
    load "$name-$round" --pid "$server" "$@"
    end
  done
  python3 benches/runs/figures.py "$name" "$out/$name"-[0-9]*.json
}

memory="--data memory" disk="--data $out/data"
measure 10000-viewers-200-comments "$memory" --viewers 10000 --comments 200 --likes 500 --seconds 15
measure 10000-viewers-200-comments-on-disk "$disk" --viewers 10000 --comments 200 --likes 500 --seconds 15
# Acknowledgements: with 300 viewers they do not wait for the fan-out.
measure 2000-comments-on-disk "$disk --no-rate-limits" --viewers 300 --comments 2000 --likes 0 --seconds 20
measure 2000-comments-in-memory "$memory --no-rate-limits" --viewers 300 --comments 2000 --likes 0 --seconds 20
measure 18000-viewers-50-comments "$memory" --viewers 18000 --comments 50 --likes 200 --seconds 15
measure "10000-viewers-10%-stalled" "$memory" --viewers 10000 --comments 20 --likes 100 --stall 10% --stall-seconds 20

# The handshake at three rates, each beside the smallest server that loadgen can connect to.
floor() { # RATE
  local rate=$1 round
  is_wanted "floor-$rate" || return 0
  [ -n "${BIN:-}" ] || cargo build --release --quiet --example bare_handshake
  for round in $(seq "$rounds"); do
    taskset -c 0 "$bin/examples/bare_handshake" "$public" &
    server=$!
    pause 0.3
    # The floor sends no frames, so loadgen finds nothing missing.
    generate --pid "$server" --room load --viewers 10000 --comments 0 --likes 0 --seconds 1 --connect-rate "$rate" \
      --json "$out/floor-$rate-$round.json" >"$out/floor-$rate-$round.txt" 2>&1 || true
    end
  done
  python3 benches/runs/figures.py "floor of a handshake at $rate/s" "$out/floor-$rate"-*.json
}
for rate in 2000 10000 20000; do
  # Without the counters that the room sends to all its viewers each second: those are deliveries, counted above.
  measure "10000-viewers-at-$rate" "$memory --set room.counters_ms=60000" \
    --viewers 10000 --comments 1 --likes 0 --seconds 2 --connect-rate "$rate"
  floor "$rate"
done

if is_wanted fanout; then
  echo "fan-out over real sockets, beside a bare send loop"
  cargo bench --quiet --bench fanout
fi
if is_wanted disk_log; then
  echo "the log on disk: commits, many rooms, start-up, beside the device's own sync"
  cargo bench --quiet --bench disk_log
fi
