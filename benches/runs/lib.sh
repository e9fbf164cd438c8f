# Shared by the runs in this folder: the programs, one server on core 0, the load generator on core 1, and a folder for
# the reports. A run sets `name` and `port` and sources this file; the shell is then in the repository's root.
#
#   BIN=FOLDER benches/runs/….sh    takes `volley`, `loadgen` and examples from FOLDER, and builds nothing
#
# shellcheck shell=bash
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
bin=${BIN:-target/release}
public=127.0.0.1:$port admin=127.0.0.1:$((port + 1))
out=target/$name
server=
# The server ends with the run, even after a failure.
trap 'end' EXIT

# Empties $out and builds both programs.
prepare() {
  rm -rf "$out"
  mkdir -p "$out"
  if [ -z "${BIN:-}" ]; then
    echo "building" >&2
    cargo build --release --workspace --quiet
  fi
}

pause() { # SECONDS
  read -rt "$1" <> <(:) || true
}

# Starts a server and waits until it is ready; sets $server.
serve() { # SHARDS FLAGS…
  local shards=$1
  shift
  taskset -c 0 "$bin/volley" --listen "$public" --admin "$admin" --shards "$shards" "$@" >/dev/null 2>"$out/server.log" &
  server=$!
  until kill -0 "$server" 2>/dev/null && curl -sf "http://$admin/readyz" >/dev/null; do
    if ! kill -0 "$server" 2>/dev/null; then
      echo "the server did not start:" >&2
      tail -n 5 "$out/server.log" >&2
      exit 1
    fi
    pause 0.1
  done
}

# Stops the server if it runs.
end() {
  if [ -n "$server" ]; then
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" || true
    server=
  fi
}

generate() { # FLAGS…
  taskset -c 1 "$bin/loadgen" --url "ws://$public" --quiet "$@"
}

# One load of the server; its report is $out/NAME.json, its table $out/NAME.txt.
load() { # NAME FLAGS…
  local name=$1
  shift
  generate "$@" --json "$out/$name.json" >"$out/$name.txt" 2>&1 ||
    echo "$name: loadgen found something wrong, see $out/$name.txt" >&2
}
