#!/usr/bin/env bash
# Checks this machine's GPU and the CUDA kernels on it, in stages that each have a time limit: bits
# of every op, exact sums of tensor cores, ceilings, rates, whole models, NCCL, compute-sanitizer.
# Needs nvcc, CMake, Ninja, a C++ compiler and Python, or a build of this tree made elsewhere in
# build/gpu-check/bin; installs nothing. Prints results as they come and a table last, and writes
# DATE-DEVICE.json. Exit code 0: all that ran is right; 1: something is wrong, or nothing could run;
# 2: there is no GPU.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: deploy/gpu_check.sh [--probe] [--stages NAME,...] [--seconds N] [--out DIR]
  --probe         what the machine has, in five seconds
  --stages LIST   of probe, bits, carriers, ceilings, rates, models, nccl, sanitizer
  --seconds N     for all of it, the build included (default 300)
  --out DIR       for the results (default build/gpu-check, and bench/gpu/results)
 of tests, on a machine without a GPU:
  --program FILE --module FILE --nccl-library FILE --sizes small --ranks-as threads
  --sanitizer FILE"

build_dir="$root_dir/build/gpu-check"
stages=probe,bits,carriers,ceilings,rates,models,nccl,sanitizer
seconds=300 out="" probe_only="" program="" sanitizer="" sizes=large
arguments=()  # of every stage
command_line="deploy/gpu_check.sh $*"
while [ $# -gt 0 ]; do
  [ "$1" = --probe ] || [ $# -gt 1 ] || die "$usage"
  case "$1" in
    --probe) probe_only=1 stages=probe ;;
    --stages) stages=$2; shift ;;
    --seconds) seconds=$2; shift ;;
    --out) out=$2; shift ;;
    --program) program=$(realpath "$2"); shift ;;
    --sanitizer) sanitizer=$2; shift ;;
    --sizes) sizes=$2; shift ;;
    --module | --nccl-library) arguments+=("$1" "$(realpath "$2")"); shift ;;
    --ranks-as) arguments+=("$1" "$2"); shift ;;
    *) die "$usage" ;;
  esac
  shift
done
arguments+=(--sizes "$sizes")
folder=$(realpath -m "${out:-$build_dir}")
lines="$folder/gpu_check.jsonl"
mkdir -p "$folder"
rm -f "$lines"

# json NAME VALUE...: an object of strings, for the file of results.
json() {
  local separator="{"
  while [ $# -gt 0 ]; do
    printf '%s"%s": "%s"' "$separator" "$1" \
      "$(tr -d '\\"' <<<"$2" | tr '\n\t' '  ' | sed 's/ *$//')"
    separator=", "
    shift 2
  done
  echo "}"
}

# fact NAME VALUE: prints and records what the machine has.
fact() {
  echo "$1: $2"
  json stage probe fact "$1" value "$2" >>"$lines"
}

# last_line STAGE STATUS SUMMARY: of a stage that did not write its own.
last_line() {
  echo "$2: $3"
  json stage "$1" status "$2" summary "$3" |
    sed 's/}$/, "seconds": '"${stage_seconds:-0}}/" >>"$lines"
}

find_sanitizer() {
  local name
  for name in ${sanitizer:-compute-sanitizer /usr/local/cuda/bin/compute-sanitizer}; do
    command -v "$name" && return 0
  done
  return 1
}

version_of() { timeout 3 "$@" 2>/dev/null | grep -oE '[0-9]+\.[0-9.]+' | head -n 1 || true; }

# smi NAME: state and clocks of the GPUs.
smi() {
  local fields=name,driver_version,memory.total,memory.used,clocks.sm,clocks.max.sm,clocks.mem
  fields+=,temperature.gpu,power.draw,power.limit,compute_mode,mig.mode.current
  command -v nvidia-smi >/dev/null || { fact "$1" "not found"; return 0; }
  fact "$1" "$(timeout 4 nvidia-smi --query-gpu=$fields --format=csv 2>&1 || true)"
}

probe_machine() {
  smi nvidia-smi
  fact processors "$(nproc) x $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
  fact memory "$(sed -n 's/^MemTotal: *//p' /proc/meminfo)"
  fact tools "nvcc $(version_of nvcc --version), cmake $(version_of cmake --version), ninja \
$(version_of ninja --version), g++ $(version_of g++ --version), glibc $(version_of ldd --version)"
  fact compute-sanitizer "$(find_sanitizer || echo "not found")"
}

# The folders in which Python wheels keep NCCL and cuBLASLt, if there are any.
python=$(command -v python3 || true)
if [ -n "$python" ]; then
  while IFS= read -r place; do arguments+=(--search-in "$place"); done < <(
    "$python" -c 'import glob, site
for place in site.getsitepackages(): print(*glob.glob(place + "/nvidia/*/lib"), sep="\n")' |
      sed '/^$/d')
fi

# A digest of what the program is built from. bin/sources.txt holds that of the build beside it.
sources_digest() {
  (cd "$root_dir" && find CMakeLists.txt CMakePresets.json bench/gpu common kernels node parallel \
    -type f \( -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh' -o -name 'CMake*' \) \
    -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum |
    cut -c 1-16)
}

# Sets `program` to a build of this tree: one that was brought along and runs, or one made here.
find_program() {
  local built="$build_dir/bin/lockstep-gpu-check" digest code=0
  digest=$(sources_digest)
  if [ "$(cat "$build_dir/bin/sources.txt" 2>/dev/null)" = "$digest" ]; then
    timeout 20 "$built" --stage probe >/dev/null 2>&1 || code=$?
    if [ "$code" = 0 ] || [ "$code" = 2 ]; then
      program=$built
      fact program "a build of this tree"
      return 0
    fi
  fi
  [ -z "$probe_only" ] || { fact program "none; it would be built"; return 0; }
  command -v nvcc >/dev/null || die "nvcc is not on PATH"
  say "building for the GPU"
  # For the GPU that is here; without one, for the architectures of the preset.
  local architecture
  architecture=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | head -n 1 | tr -d '. ' || true)
  build gpu-check lockstep-gpu-check lockstep_cuda -- ${python:+"-DLOCKSTEP_PYTHON=$python"} \
    ${architecture:+"-DCMAKE_CUDA_ARCHITECTURES=$architecture"}
  echo "$digest" >"$build_dir/bin/sources.txt"
  git -C "$root_dir" describe --always --dirty --abbrev=12 >"$build_dir/bin/commit.txt" \
    2>/dev/null || true
  program=$built
  fact program "built here in $SECONDS s"
}

wrong=0 no_gpu=0

# stage NAME SECONDS COMMAND...: runs the command as a stage, for at most so many seconds.
stage() {
  local name=$1 limit=$2 begin=$SECONDS code=0; shift 2
  [[ ",$stages," = *",$name,"* ]] || return 0
  say "== $name"
  stage_seconds=0
  if [ "$no_gpu" = 1 ]; then last_line "$name" skipped "no GPU"; return 0; fi
  local left=$((seconds - SECONDS))
  if [ "$left" -lt 5 ]; then last_line "$name" skipped "no time is left"; return 0; fi
  [ "$limit" -le "$left" ] || limit=$left
  "$@" "$name" "$limit" || code=$?
  stage_seconds=$((SECONDS - begin))
  case "$code" in
    0) ;;
    1) wrong=1 ;;
    2) no_gpu=1 ;;
    124 | 137) wrong=1; last_line "$name" failed "did not end in $limit s" ;;
    *) wrong=1; last_line "$name" failed "ended with exit code $code" ;;
  esac
}

# run_stage NAME SECONDS: the program writes the last line of its stage itself.
run_stage() {
  timeout -k 5 $(($2 + 10)) "$program" --stage "$1" --seconds "$2" --results "$lines" \
    "${arguments[@]}"
}

# sanitize TOOL SECONDS OP: the cases of the ops whose names begin so, under a tool of
# compute-sanitizer. Prints and records what it found; its exit code is that of a stage.
sanitize() {
  local tool=$1 limit=$2 op=$3 log="$folder/$1-$3.log" code=0 n_cases reports
  timeout -k 5 "$limit" "$sanitizer" --tool "$tool" --report-api-errors no --error-exitcode 9 \
    "$program" --stage bit-cases "${arguments[@]}" --sizes small --op "$op" >"$log" 2>&1 || code=$?
  n_cases=$(grep -c '^done ' "$log" || true)
  reports=$(grep '^=========' "$log" | grep -cvE 'COMPUTE-SANITIZER|SUMMARY' || true)
  local what="$tool, ${op:-all ops}: $n_cases cases, $reports lines of reports"
  [ "$code" != 124 ] || what+=", cut short after $limit s"
  echo "$what"
  json stage sanitizer what "$what" >>"$lines"
  if [ "$reports" -gt 0 ]; then grep '^=========' "$log" | head -n 20; return 1; fi
  [ "$code" = 0 ] || [ "$code" = 124 ] || { tail -n 5 "$log"; return 1; }
  [ "$n_cases" -gt 0 ]
}

# sanitizer_stage NAME SECONDS: memcheck over everything, then racecheck over the ops whose threads
# meet in shared memory.
sanitizer_stage() {
  local begin=$SECONDS end=$((SECONDS + $2)) all=0 op
  sanitizer=$(find_sanitizer || true)
  if [ -z "$sanitizer" ]; then last_line "$1" skipped "no compute-sanitizer"; return 0; fi
  sanitize memcheck $(($2 * 2 / 5)) "" || all=1
  for op in attention linear sample add_rms_norm rms_norm; do
    [ $((end - SECONDS)) -lt 5 ] || sanitize racecheck $(((end - SECONDS) / 2)) "$op" || all=1
  done
  stage_seconds=$((SECONDS - begin))
  if [ "$all" = 0 ]; then last_line "$1" ok "no report of memcheck or racecheck"
  else last_line "$1" failed "see $folder/*check-*.log"; fi
  return "$all"
}

# probe_stage NAME SECONDS
probe_stage() {
  probe_machine
  [ -n "$program" ] || find_program
  [ -z "$program" ] || run_stage "$@"
}

fact date "$(date -u +%Y-%m-%dT%H:%M:%SZ)"
fact command "$command_line"
fact commit "$(git -C "$root_dir" describe --always --dirty --abbrev=12 2>/dev/null ||
  cat "$build_dir/bin/commit.txt" 2>/dev/null || echo unknown)"
stage probe 10 probe_stage
stage bits 60 run_stage
stage carriers 10 run_stage
stage ceilings 25 run_stage
stage rates 60 run_stage
[ "$no_gpu" = 1 ] || [ -n "$probe_only" ] || smi "nvidia-smi after the rates"
stage models 60 run_stage
stage nccl 30 run_stage
stage sanitizer 50 sanitizer_stage

say "== table"
if [ -n "$python" ]; then
  "$python" "$root_dir/bench/gpu/report.py" table "$lines"
  if [ "$no_gpu" = 0 ] && [ -z "$probe_only" ]; then
    written=$("$python" "$root_dir/bench/gpu/report.py" collect "$lines" "$folder")
    if [ -z "$out" ]; then
      mkdir -p "$root_dir/bench/gpu/results"
      cp "$written" "$root_dir/bench/gpu/results/"
    fi
    say "$written"
  fi
else
  grep '"status"' "$lines"
fi
[ "$wrong" = 0 ] || exit 1
[ "$no_gpu" = 0 ] || exit 2
