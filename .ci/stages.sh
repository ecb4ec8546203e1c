# The stages of .ci/run (sourced, not run). Each stage is timed, and all of them are printed as a
# table at the end, also when one has failed.
stage_rows=()

stage_times=$(mktemp)

# cpu_of FILE: prints the CPU seconds, user and system, of the ended children. FILE holds the output
# of `times`, because `times` inside a $(…) would report the subshell.
cpu_of() {
  awk 'NR == 2 { gsub(/[ms]/, " "); print int($1 * 60 + $2 + $3 * 60 + $4) }' "$1"
}

# cases_so_far: prints the number of test cases in the reports so far (tests/count_cases.py).
cases_so_far() {
  local folders=() folder
  for folder in build/{,asan/,tsan/}test-results; do
    [ -d "$folder" ] && folders+=("$folder")
  done
  [ ${#folders[@]} -eq 0 ] && { echo 0; return; }
  python3 tests/count_cases.py "${folders[@]}"
}

# stage NAME COMMAND...: runs the command as a stage, and returns its exit code.
stage() {
  local name=$1 wall=$SECONDS cases code=0 cpu; shift
  say "== $name"
  cases=$(cases_so_far)
  times >"$stage_times"; cpu=$(cpu_of "$stage_times")
  ("$@") || code=$?
  times >"$stage_times"
  stage_rows+=("$(printf '%-28s %6d s %7d s %6d%s' "$name" $((SECONDS - wall)) \
    $(($(cpu_of "$stage_times") - cpu)) $(($(cases_so_far) - cases)) \
    "$([ "$code" = 0 ] || echo "  failed ($code)")")")
  return "$code"
}

print_stages() {
  local budget=$1 row
  printf '\n%-28s %8s %9s %6s\n' stage wall CPU cases
  for row in "${stage_rows[@]}"; do printf '%s\n' "$row"; done
  printf '%-28s %6d s\n' "all" "$SECONDS"
  [ "$SECONDS" -le $((budget * 60)) ] || echo "warning: more than the budget of $budget minutes"
}
