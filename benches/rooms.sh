#!/usr/bin/env bash
# Many rooms: the real server on core 0, the load generator on core 1, medians of three short rounds, as Markdown tables for
# docs/benchmarks.md. Takes about 11 minutes; nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${ROUNDS:-3}
public=127.0.0.1:18490 admin=127.0.0.1:18491
out=target/rooms
rm -rf "$out"
mkdir -p "$out"

echo "building" >&2
cargo build --release --workspace --quiet

serve() { # SHARDS SETTINGS…: a fresh server; sets $server
  local shards=$1
  shift
  taskset -c 0 ./target/release/volley --listen $public --admin $admin --shards "$shards" --data memory "$@" >/dev/null 2>"$out/server.log" &
  server=$!
  until curl -sf "http://$admin/readyz" >/dev/null; do read -rt 0.1 <> <(:) || true; done
}

end() {
  kill -TERM "$server"
  wait "$server" || true
}

load() { # NAME SHARDS SETTINGS ARGS…: loads a fresh server; keeps the JSON of this round
  local name=$1 shards=$2 settings=$3
  shift 3
  # shellcheck disable=SC2086
  serve "$shards" $settings
  taskset -c 1 ./target/release/loadgen --url ws://$public --pid "$server" --quiet --warmup 1 "$@" \
    --json "$out/$name-$round.json" >"$out/$name-$round.txt" 2>&1 ||
    echo "$name, round $round: loadgen found something wrong, see $out/$name-$round.txt" >&2
  end
}

# No heartbeats and pings while an idle room is measured: what is left is the room itself.
silent="--set room.heartbeat_ms=3600000 --set connection.ping_ms=3600000 --set connection.idle_ms=7200000"
hot="hot=1x18000,comments=20,likes=100"
quiet="quiet=1000x1,comments=200"
# 9,900 rooms, not 10,000: 20,000 descriptors are 19,900 connections.
for round in $(seq "$rounds"); do
  echo "round $round" >&2
  for shards in 1 2 4; do
    load "tiny-$shards" "$shards" "" --group "rooms=9900x2,comments=2000" --seconds 5 --connect-rate 6000 --processes 2
    load "small-$shards" "$shards" "" --group "rooms=1000x15,comments=500" --seconds 5 --processes 2
    load "beside-$shards" "$shards" "" --group $hot --group $quiet --seconds 6 --processes 2
  done
  load "quiet" 1 "" --group $quiet --seconds 6
  load "one-5000" 1 "" --group "hot=1x5000,comments=20,likes=100" --seconds 6
  load "one-18000" 1 "" --group $hot --seconds 6 --processes 2
  serve 1 $silent
  python3 benches/rooms.py idle "$server" 10 >"$out/idle-0-$round.json"
  end
  load "idle-1000" 1 "$silent" --group "idle=1000x1" --seconds 10
  load "idle-9900" 1 "$silent" --group "idle=9900x1" --seconds 10 --connect-rate 6000 --processes 2
  load "idle-9900-default" 1 "" --group "idle=9900x1" --seconds 20 --connect-rate 6000 --processes 2
done
python3 benches/rooms.py tables "$out"
