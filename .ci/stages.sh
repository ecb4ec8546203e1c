# Stages of .ci/run (sourced): each is timed, and all of them are printed as a table at the end, also
# when one has failed.
stage_rows=()

stage_times=$(mktemp)

# cpu_of FILE: seconds that ended children took, user and system, of what `times` wrote. (In a $(…)
# `times` would report the subshell.)
cpu_of() {
  awk 'NR == 2 { gsub(/[ms]/, " "); print int($1 * 60 + $2 + $3 * 60 + $4) }' "$1"
}

# Cases of the reports that are there so far (tests/count_cases.py).
cases_so_far() {
  local folders=() folder
  for folder in build/{,asan/,tsan/}test-results; do
    [ -d "$folder" ] && folders+=("$folder")
  done
  [ ${#folders[@]} -eq 0 ] && { echo 0; return; }
  python3 tests/count_cases.py "${folders[@]}"
}

# stage NAME COMMAND...
stage() {
  local name=$1 wall=$SECONDS cases code=0 cpu; shift
  say "== $name"
  cases=$(cases_so_far)
  times >"$stage_times"; cpu=$(cpu_of "$stage_times")
  ("$@") || code=$?
  times >"$stage_times"
  stage_rows+=("$(printf '%-26s %6d s %7d s %6d%s' "$name" $((SECONDS - wall)) \
    $(($(cpu_of "$stage_times") - cpu)) $(($(cases_so_far) - cases)) \
    "$([ "$code" = 0 ] || echo "  failed ($code)")")")
  return "$code"
}

print_stages() {
  local budget=$1 row
  printf '\n%-26s %8s %9s %6s\n' stage wall CPU cases
  for row in "${stage_rows[@]}"; do printf '%s\n' "$row"; done
  printf '%-26s %6d s\n' "all" "$SECONDS"
  [ "$SECONDS" -le $((budget * 60)) ] || echo "warning: more than the budget of $budget minutes"
}
