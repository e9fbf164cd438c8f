#!/usr/bin/env bash
# Welcomes under a storm: 15,000 joins in 10 s into a room where 500 comments/s are said, that has a pinned notice, a poll, a product card
# and an announcement. The server on core 0 with one shard, the load generator on core 1. Says what docs/benchmarks.md says of it, and
# exits 1 if a welcome is not whole or a join costs more than its bound. Takes about a minute; nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
public=127.0.0.1:18510 admin=127.0.0.1:18511
out=target/welcomes
rm -rf "$out"
mkdir -p "$out"

echo "building" >&2
cargo build --release --workspace --quiet

taskset -c 0 ./target/release/volley --listen $public --admin $admin --shards 1 --data memory \
  --set admission.connections_per_address_max=1000 >/dev/null 2>"$out/server.log" &
server=$!
trap 'kill "$server" 2>/dev/null || true' EXIT
until curl -sf "http://$admin/readyz" >/dev/null; do read -rt 0.1 <> <(:) || true; done

curl -sf -X POST "http://$admin/v1/rooms/storm/events" -H 'Content-Type: application/json' -o "$out/posted.json" -d '{"events":[
  {"pin":{"text":"Questions in the last ten minutes"}},
  {"poll":{"id":"p1","question":"Which colour?","options":["red","blue"]}},
  {"custom":{"type":"shop.product","data":{"sku":"B-17","price":1999},"sticky":true}},
  {"announcement":{"text":"Back in five minutes","until":4102444800000}}]}'

echo "the room gets busy" >&2
taskset -c 1 ./target/release/loadgen --url ws://$public --room storm --viewers 300 --comments 500 --likes 100 --quiet --warmup 0 \
  --texts tests/data/comment.xml --near-duplicates 50% --seconds 40 --json "$out/busy.json" >"$out/busy.txt" 2>&1 &
busy=$!
read -rt 5 <> <(:) || true

echo "the storm" >&2
taskset -c 1 ./target/release/loadgen --url ws://$public --room storm --viewers 15000 --connect-rate 1500 --comments 0 --likes 0 --quiet \
  --warmup 1 --seconds 8 --pid "$server" --admin http://$admin --json "$out/storm.json" >"$out/storm.txt" 2>&1 ||
  echo "storm: loadgen found something wrong, see $out/storm.txt" >&2
wait "$busy" || echo "busy: loadgen found something wrong, see $out/busy.txt" >&2
kill -TERM "$server"
wait "$server" || true
python3 benches/welcomes.py "$out/storm.json"
