#!/usr/bin/env bash
# Welcomes during many joins: 15,000 joins in 10 s into a room with 500 comments/s, a pinned notice, a poll, a product
# card and an announcement. Prints the figures of docs/benchmarks.md, and exits 1 if a welcome is incomplete or a join
# costs more than its bound. Takes about a minute; nothing else should run meanwhile. Needs two cores, 20,000
# descriptors.
#   VIEWERS: a different number of joins, at the same rate
name=welcomes port=18510
. "$(dirname "$0")/lib.sh"
prepare
serve 1 --data memory --set admission.connections_per_address_max=1000

curl -sf -X POST "http://$admin/v1/rooms/storm/events" -H 'Content-Type: application/json' -o "$out/posted.json" -d '{"events":[
  {"pin":{"text":"Questions in the last ten minutes"}},
  {"poll":{"id":"p1","question":"Which colour?","options":["red","blue"]}},
  {"custom":{"type":"shop.product","data":{"sku":"B-17","price":1999},"sticky":true}},
  {"announcement":{"text":"Back in five minutes","until":4102444800000}}]}'

echo "filling the room with comments" >&2
load busy --room storm --viewers 300 --comments 500 --likes 100 --warmup 0 --texts tests/data/comment.xml \
  --near-duplicates 50% --seconds 40 &
busy=$!
pause 5

echo "the joins" >&2
load storm --room storm --viewers "${VIEWERS:-15000}" --connect-rate 1500 --comments 0 --likes 0 --warmup 1 --seconds 8 \
  --pid "$server" --admin "http://$admin"
wait "$busy"
end
python3 benches/runs/welcomes.py "$out/storm.json"
