#!/usr/bin/env bash
# Takes a fresh Debian 12 to an answer: installs what is missing, builds, fetches SmolLM2, starts a
# coordinator and a node with two tensor-parallel ranks, and streams one answer through both.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
source "$root_dir/deploy/examples.sh"

usage="usage: deploy/quickstart.sh [--prompt TEXT] [--model PATH] [--tensor-parallel-size N] [--serve]"
prompt="Who was the first person to walk on the moon?"
ranks=2
own_model=false
serve=false
while [ $# -gt 0 ]; do
  case "$1" in
    --prompt) prompt=${2:?$usage}; shift 2 ;;
    --model) model=${2:?$usage}; own_model=true; shift 2 ;;
    --tensor-parallel-size) ranks=${2:?$usage}; shift 2 ;;
    --serve) serve=true; shift ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) die "unknown argument '$1'; $usage" ;;
  esac
done
if [ "$own_model" = true ]; then
  [ -e "$model" ] || die "no such model: $model"
  model=$(realpath "$model")
fi

install_apt "${build_packages[@]}"
if [ ! -e "$model" ] || [ "$serve" = true ]; then install_pip pyzmq msgpack openai; fi
if [ "$serve" = true ]; then install_apt curl; fi
[ "$own_model" = true ] || fetch_model
build release lockstep lockstep-node lockstep-coordinator -- \
  -DLOCKSTEP_TESTS=OFF -DLOCKSTEP_FAULT_POINTS=OFF
bin="$root_dir/build/bin"
"$bin/lockstep-node" "$model" --tensor-parallel-size "$ranks" --check >/dev/null

run_dir=$(mktemp -d)
pids=()
stop() {
  trap '' INT TERM
  kill -TERM "${pids[@]}" 2>/dev/null || true
  wait "${pids[@]}" 2>/dev/null || true
  rm -rf "$run_dir"
}
trap stop EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# start NAME PROGRAM ARGUMENT...: runs the program in the background, with a log.
start() {
  local name=$1; shift
  "$@" >"$run_dir/$name.log" 2>&1 &
  pids+=($!)
}
fail() { cat "$run_dir"/*.log >&2; die "$1"; }

http=127.0.0.1:0
zmq="ipc://$run_dir/clients"
if [ "$serve" = true ]; then http=127.0.0.1:8000; zmq=tcp://127.0.0.1:5555; fi
progress_begin "starting a coordinator and a node"
start node "$bin/lockstep-node" "$model" --listen "ipc://$run_dir/node" \
  --tensor-parallel-size "$ranks"
start coordinator "$bin/lockstep-coordinator" --http "$http" --zmq "$zmq" \
  --node "ipc://$run_dir/node"

"$bin/lockstep" status --connect "$zmq" --wait-ready 60 >/dev/null 2>&1 &
ready=$!
code=0
wait -n -p first "$ready" "${pids[@]}" || code=$?
if [ "$first" != "$ready" ]; then
  kill "$ready" 2>/dev/null || true
  fail "a process of the cluster ended at once, with code $code"
fi
[ "$code" = 0 ] || fail "the cluster did not become ready within 60 s"

progress_end ready
say "> $prompt"
"$bin/lockstep" chat --connect "$zmq" --prompt "$prompt" --max-tokens 128 --temperature 0 --stats

if [ "$serve" = true ]; then
  name=$(basename "$model" .gguf)
  say "Serving. Three things to try in another shell (Ctrl-C stops everything):"
  printf '\n%s\n' "$(curl_example "$http" "$name")" \
    "$(client_example "$zmq" "$name" "$venv/bin/python" "$root_dir")" \
    "$(openai_example "$http" "$name" "$venv/bin/python")" >&2
  wait -n "${pids[@]}" || true
  fail "a process of the cluster ended"
fi
