#!/usr/bin/env bash
# A crowded room: the real server with one shard, 5,000 comments/s, and a person who sends half of all comments. Prints
# the figures of docs/benchmarks.md, and exits 1 if one is above its bound. Takes about 2 minutes; nothing else should
# run meanwhile. Needs two cores, 20,000 descriptors.
#   VIEWERS, COMMENTS, SECONDS_MEASURED: a crowd other than 10,000 viewers and 5,000 comments a second for 30 s.
name=crowd port=18500
. "$(dirname "$0")/lib.sh"
prepare

# The limits of the room allow more than the default rate, in total and per tick. One console gets every event, so two
# renditions are encoded.
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

# One of 101 people sends half of all comments, and only the fair choice limits that person.
echo "the hog" >&2
serve 1 --data memory --set rates.comments_per_connection.per_s=1000 --set rates.comments_per_connection.burst=2000 \
  --set rates.comments_per_user.per_s=1000 --set rates.comments_per_user.burst=2000
load hog --room hog --viewers 101 --comments 600 --hog 50% --likes 0 --seconds 15
end

python3 benches/runs/crowd.py "$out"
