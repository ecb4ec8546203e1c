#!/usr/bin/env bash
# From a fresh Debian 12 to an answer: installs what is missing, builds, fetches SmolLM2, starts a
# coordinator and a node with two tensor-parallel ranks, and streams one answer through both.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: deploy/quickstart.sh [--prompt TEXT] [--model GGUF] [--tensor-parallel-size N] [--serve]"
prompt="In one sentence: what is a distributed system?"
ranks=2
serve=false
while [ $# -gt 0 ]; do
  case "$1" in
    --prompt) prompt=${2:?$usage}; shift 2 ;;
    --model) model=$(realpath "${2:?$usage}"); shift 2 ;;
    --tensor-parallel-size) ranks=${2:?$usage}; shift 2 ;;
    --serve) serve=true; shift ;;
    -h | --help) echo "$usage"; exit 0 ;;
    *) die "unknown argument '$1'; $usage" ;;
  esac
done

install_apt "${build_packages[@]}"
if [ ! -f "$model" ] || [ "$serve" = true ]; then install_pip pyzmq msgpack openai; fi
fetched="$cache_dir/SmolLM2-135M-Instruct.Q4_1.gguf"
[ "$model" != "$fetched" ] || fetch_model
[ -f "$model" ] || die "no such model: $model"
say "building"
build release lockstep lockstep-node lockstep-coordinator -- -DLOCKSTEP_TESTS=OFF

run_dir=$(mktemp -d)
pids=()
stop() {
  for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
  for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
  rm -rf "$run_dir"
}
trap stop EXIT

bin="$root_dir/build/bin"
http=127.0.0.1:0
zmq="ipc://$run_dir/clients"
if [ "$serve" = true ]; then http=127.0.0.1:8000; zmq=tcp://127.0.0.1:5555; fi
"$bin/lockstep-node" "$model" --listen "ipc://$run_dir/node" --tensor-parallel-size "$ranks" \
  >"$run_dir/node.log" 2>&1 & pids+=($!)
"$bin/lockstep-coordinator" --http "$http" --zmq "$zmq" --node "ipc://$run_dir/node" \
  >"$run_dir/coordinator.log" 2>&1 & pids+=($!)

"$bin/lockstep" status --connect "$zmq" --wait-ready 60 >/dev/null || {
  cat "$run_dir"/*.log >&2; die "the cluster did not become ready within 60 s"; }
say "> $prompt"
"$bin/lockstep" chat --connect "$zmq" --prompt "$prompt" --max-tokens 128 --temperature 0 --stats

if [ "$serve" = true ]; then
  name=$(basename "$model" .gguf)
  cat >&2 <<TRY

Serving. Three things to try (Ctrl-C stops everything):

  curl -N http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"model":"$name","stream":true,"messages":[{"role":"user","content":"Hello!"}]}'

  PYTHONPATH=$root_dir/clients/python $venv/bin/python -c "
  from lockstep_client import Client
  with Client('$zmq') as c:
      for piece in c.stream(model='$name', messages=[{'role': 'user', 'content': 'Hello!'}]):
          print(piece.text, end='', flush=True)"

  $venv/bin/python -c "
  from openai import OpenAI
  client = OpenAI(base_url='http://127.0.0.1:8000/v1', api_key='none')
  print(client.chat.completions.create(model='$name',
      messages=[{'role': 'user', 'content': 'Hello!'}]).choices[0].message.content)"
TRY
  wait -n "${pids[@]}" || true
fi
