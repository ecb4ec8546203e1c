# Functions by which the scripts show their progress on standard error (sourced, not run). On a
# terminal a counter is written over in place; elsewhere plain lines are printed, at most one for
# each tenth of the work.
#   progress_begin TITLE               a stage begins
#   progress WHAT DONE TOTAL [DETAIL]  how far the stage is; TOTAL 0 = unknown
#   progress_end [RESULT]              the stage has ended; prints how long it took

on_terminal() { [ -t 2 ] && [ "${TERM:-dumb}" != dumb ]; }

say() {
  if on_terminal; then printf '\033[1m%s\033[0m\n' "$*" >&2; else printf '%s\n' "$*" >&2; fi
}
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# Microseconds since 1970. The separator is the locale's.
now_us() { printf '%s' "${EPOCHREALTIME/[.,]/}"; }

progress_begin() {
  progress_start=$(now_us)
  progress_what='' progress_tenth=-1
  say "$1"
}

progress_end() {
  local tenths=$((($(now_us) - progress_start) / 100000))
  if on_terminal; then printf '\r\033[K' >&2; fi
  printf '  %s in %d.%d s\n' "${1:-done}" $((tenths / 10)) $((tenths % 10)) >&2
}

progress() {
  local what=$1 n_done=$2 n_total=$3 detail=${4:-} tenth=0 count=''
  if [ "$n_total" -gt 0 ]; then
    count=" [$n_done/$n_total]"
  elif [ "$n_done" -gt 0 ]; then
    count=" [$n_done]"
  fi
  if on_terminal; then
    printf '\r\033[K  %s%s %s' "$what" "$count" "${detail:0:48}" >&2
    return 0
  fi
  [ "$n_total" -le 0 ] || tenth=$((n_done * 10 / n_total))
  if [ "$what" = "$progress_what" ] && [ "$tenth" -le "$progress_tenth" ]; then return 0; fi
  progress_what=$what progress_tenth=$tenth
  printf '  %s%s\n' "$what" "$count" >&2
}

# Each function below reads a program's output and shows how far the program is.

# apt-get install, in the C locale.
show_apt() {
  local line n_total=0 n_got=0 n_set_up=0
  while IFS= read -r line; do
    if [[ $line =~ ^([0-9]+)\ upgraded,\ ([0-9]+)\ newly\ installed ]]; then
      n_total=$((BASH_REMATCH[1] + BASH_REMATCH[2]))
    elif [[ $line =~ ^Get:[0-9]+\ [^\ ]+\ [^\ ]+\ [^\ ]+\ ([^\ ]+) ]]; then
      n_got=$((n_got + 1))
      progress "downloading packages" "$n_got" "$n_total" "${BASH_REMATCH[1]}"
    elif [[ $line =~ ^Setting\ up\ ([^\ ]+) ]]; then
      n_set_up=$((n_set_up + 1))
      progress "installing packages" "$n_set_up" "$n_total" "${BASH_REMATCH[1]}"
    fi
  done
}

# pip install; the number of packages is known only at the end.
show_pip() {
  local line n=0 names
  while IFS= read -r line; do
    if [[ $line =~ ^Collecting\ ([^\ ]+) ]]; then
      n=$((n + 1))
      progress "collecting Python packages" "$n" 0 "${BASH_REMATCH[1]}"
    elif [[ $line =~ ^Installing\ collected\ packages:\ (.*) ]]; then
      read -ra names <<<"${BASH_REMATCH[1]}"
      progress "installing Python packages" "${#names[@]}" 0
    fi
  done
}

# ninja, also by way of cmake --build: "[k/n] Building …".
show_ninja() {
  local line
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+)/([0-9]+)\]\ (.*) ]] || continue
    progress "compiling" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}" "${BASH_REMATCH[3]##*/}"
  done
}

# show_bytes PID FOLDER TOTAL: the megabytes in FOLDER, until the process ends.
show_bytes() {
  local pid=$1 folder=$2 total=$3 n_bytes
  while kill -0 "$pid" 2>/dev/null; do
    n_bytes=$(du -sb "$folder" 2>/dev/null | cut -f1) || true
    [ "${n_bytes:-0}" -le "$total" ] || n_bytes=$total
    progress "downloading MB" $((${n_bytes:-0} / 1000000)) $((total / 1000000))
    sleep 0.2
  done
}
