#!/usr/bin/env bash
# Many rooms: the real server with one, two and four shards, medians of three short rounds, as Markdown tables for
# docs/benchmarks.md. Takes about 11 minutes; nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
#   ROUNDS=1   a first look in 4 minutes
name=rooms port=18490
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-3}
prepare

measure() { # NAME SHARDS SETTINGS FLAGS…: starts a new server and loads it
  local name=$1 shards=$2 settings=$3
  shift 3
  # shellcheck disable=SC2086
  serve "$shards" --data memory $settings
  load "$name-$round" --pid "$server" --warmup 1 "$@"
  end
}

# No heartbeats and pings while an idle room is measured, so that only the room itself is measured.
silent="--set room.heartbeat_ms=3600000 --set connection.ping_ms=3600000 --set connection.idle_ms=7200000"
hot="hot=1x18000,comments=20,likes=100"
quiet="quiet=1000x1,comments=200"
# 9,900 rooms, not 10,000: 20,000 descriptors allow 19,900 connections.
for round in $(seq "$rounds"); do
  echo "round $round" >&2
  for shards in 1 2 4; do
    measure "tiny-$shards" "$shards" "" --group "rooms=9900x2,comments=2000" --seconds 5 --connect-rate 6000 --processes 2
    measure "small-$shards" "$shards" "" --group "rooms=1000x15,comments=500" --seconds 5 --processes 2
    measure "beside-$shards" "$shards" "" --group $hot --group $quiet --seconds 6 --processes 2
  done
  measure "quiet" 1 "" --group $quiet --seconds 6
  measure "one-5000" 1 "" --group "hot=1x5000,comments=20,likes=100" --seconds 6
  measure "one-18000" 1 "" --group $hot --seconds 6 --processes 2
  # shellcheck disable=SC2086
  serve 1 --data memory $silent
  python3 benches/runs/rooms.py idle "$server" 10 >"$out/idle-0-$round.json"
  end
  measure "idle-1000" 1 "$silent" --group "idle=1000x1" --seconds 10
  measure "idle-9900" 1 "$silent" --group "idle=9900x1" --seconds 10 --connect-rate 6000 --processes 2
  measure "idle-9900-default" 1 "" --group "idle=9900x1" --seconds 20 --connect-rate 6000 --processes 2
done
python3 benches/runs/rooms.py tables "$out"
