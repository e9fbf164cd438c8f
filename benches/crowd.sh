#!/usr/bin/env bash
# A crowded room: the real server on core 0 with one shard, the load generator on core 1. Says what docs/benchmarks.md says of it, and
# exits 1 if something is above its bound. Takes about 2 minutes; nothing else should run meanwhile. Needs two cores, 20,000 descriptors.
#   VIEWERS, COMMENTS, SECONDS_MEASURED: another crowd than 10,000 viewers and 5,000 comments a second for 30 s.
set -euo pipefail
cd "$(dirname "$0")/.."
public=127.0.0.1:18500 admin=127.0.0.1:18501
out=target/crowd
rm -rf "$out"
mkdir -p "$out"

echo "building" >&2
cargo build --release --workspace --quiet

serve() { # SETTINGS…: a fresh server; sets $server
  taskset -c 0 ./target/release/volley --listen $public --admin $admin --shards 1 --data memory "$@" >/dev/null 2>"$out/server.log" &
  server=$!
  until curl -sf "http://$admin/readyz" >/dev/null; do read -rt 0.1 <> <(:) || true; done
}

end() {
  kill -TERM "$server"
  wait "$server" || true
}
trap 'kill "$server" 2>/dev/null || true' EXIT

load() { # NAME ARGS…
  local name=$1
  shift
  taskset -c 1 ./target/release/loadgen --url ws://$public --pid "$server" --admin http://$admin --quiet --likes 0 \
    --texts tests/data/comment.xml --near-duplicates 50% "$@" --json "$out/$name.json" >"$out/$name.txt" 2>&1 ||
    echo "$name: loadgen found something wrong, see $out/$name.txt" >&2
}

# The room takes more than its default rate, and as much in one tick. One console sees everything, so two renditions are encoded.
echo "the crowd" >&2
serve --set rates.comments_per_room.per_s=20000 --set rates.comments_per_room.burst=40000 --set room.batch_events_max=10000
taskset -c 1 ./target/release/loadgen --url ws://$public --room crowd --viewers 1 --rendition full --comments 0 --likes 0 --quiet \
  --seconds $((${SECONDS_MEASURED:-30} + 6)) --json "$out/console.json" >"$out/console.txt" 2>&1 &
console=$!
load crowd --room crowd --viewers "${VIEWERS:-10000}" --comments "${COMMENTS:-5000}" --posts 20 \
  --seconds "${SECONDS_MEASURED:-30}" --warmup 3
wait "$console" || echo "console: loadgen found something wrong, see $out/console.txt" >&2
end

# One of 101 people says half of everything, and nothing but fairness holds her back.
echo "the hog" >&2
serve --set rates.comments_per_connection.per_s=1000 --set rates.comments_per_connection.burst=2000 \
  --set rates.comments_per_user.per_s=1000 --set rates.comments_per_user.burst=2000
taskset -c 1 ./target/release/loadgen --url ws://$public --room hog --viewers 101 --comments 600 --hog 50% --likes 0 --quiet \
  --seconds 15 --json "$out/hog.json" >"$out/hog.txt" 2>&1 || echo "hog: loadgen found something wrong, see $out/hog.txt" >&2
end

python3 benches/crowd.py "$out"
