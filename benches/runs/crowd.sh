#!/usr/bin/env bash
# A crowded room: the real server with one shard, 5,000 comments/s, and a person who says half of everything. Prints what
# docs/benchmarks.md says of it, and exits 1 if something is above its bound. Takes about 2 minutes; nothing else should
# run meanwhile. Needs two cores, 20,000 descriptors.
#   VIEWERS, COMMENTS, SECONDS_MEASURED: another crowd than 10,000 viewers and 5,000 comments a second for 30 s.
name=crowd port=18500
. "$(dirname "$0")/lib.sh"
prepare

# The room takes more than its default rate, and as much in one tick. One console sees everything, so two renditions are
# encoded.
echo "the crowd" >&2
serve 1 --data memory --set room.batch_events_max=10000 \
  --set rates.comments_per_room.per_s=20000 --set rates.comments_per_room.burst=40000
load console --room crowd --viewers 1 --rendition full --comments 0 --likes 0 \
  --seconds $((${SECONDS_MEASURED:-30} + 6)) &
console=$!
load crowd --room crowd --viewers "${VIEWERS:-10000}" --comments "${COMMENTS:-5000}" --likes 0 --posts 20 \
  --texts tests/data/comment.xml --near-duplicates 50% --pid "$server" --admin "http://$admin" \
  --seconds "${SECONDS_MEASURED:-30}" --warmup 3
wait "$console"
end

# One of 101 people says half of everything, and nothing but fairness holds her back.
echo "the hog" >&2
serve 1 --data memory --set rates.comments_per_connection.per_s=1000 --set rates.comments_per_connection.burst=2000 \
  --set rates.comments_per_user.per_s=1000 --set rates.comments_per_user.burst=2000
load hog --room hog --viewers 101 --comments 600 --hog 50% --likes 0 --seconds 15
end

python3 benches/runs/crowd.py "$out"
