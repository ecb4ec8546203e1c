#!/usr/bin/env bash
# Builds the CUDA kernels alone and checks them on this machine's GPU: bits against the reference,
# then speed. Needs only nvcc, CMake, Ninja and a C++ compiler; installs nothing. Takes under five
# minutes. Exit code 0: every bit is right; 1: a bit is wrong, or the check could not be made; 2:
# there is no GPU.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage="usage: deploy/gpu_check.sh [JSON FILE]"
[ $# -le 1 ] || die "$usage"
case "${1:-}" in -*) die "$usage" ;; esac
json=$(realpath -m "${1:-$root_dir/build/gpu-check/gpu_check.json}")

command -v nvcc >/dev/null || die "nvcc is not on PATH"
say "building for the GPU"
build gpu-check lockstep-gpu-check lockstep_cuda

# The folders in which Python wheels keep NCCL and cuBLASLt, if there are any.
search=()
while IFS= read -r folder; do search+=(--search-in "$folder"); done < <(
  python3 -c 'import glob, site
for place in site.getsitepackages(): print(*glob.glob(place + "/nvidia/*/lib"), sep="\n")' |
    sed '/^$/d')
say "checking"
"$root_dir/build/gpu-check/bin/lockstep-gpu-check" "${search[@]}" --json "$json"
say "$json"
