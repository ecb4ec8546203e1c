#include "common/fault_points.h"

#ifdef LOCKSTEP_FAULT_POINTS

#include <charconv>
#include <string_view>

#include "common/check.h"

namespace lockstep {
namespace {

constexpr std::array<const char*, kNFaults> kNames = {
    "allocator-refuses",
    "rank-throws",
    "rank-is-late",
    "rank-stalls",
    "row-is-nan",
    "key-is-nan",
    "slow-copies",
    "host-bit-flip",
    "thread-refused",
    "last-token-only",
    "mask-dropped",
    "position-reset",
    "old-length-kept",
    "square-mask",
    "copy-layer-zero",
    "clear-layer-zero",
    "freed-early",
    "freed-not-poisoned",
    "cached-from-processed",
    "cached-from-past",
    "cached-less-discarded",
    "published-when-planned",
    "host-not-verified",
    "rank-configured-otherwise",
    "engine-configured-otherwise",
    "settings-not-compared",
    "emitted-id-lost",
    "emitted-id-twice",
    "zombie-let-through",
    "resume-index-from-zero",
    "stop-cut-at-seam",
};
static_assert(kNames.back() != nullptr, "every fault has a name");

struct Wanted {
  Fault fault;
  FaultRange range;
};

Error unknown(std::string_view what) {
  std::string message = "--fault: '" + std::string(what) + "' is not NAME[=FIRST[..LAST]] of";
  for (const char* name : kNames) message += std::string(" ") + name;
  return Error{ErrorCode::kInvalidRequest, std::move(message), "fault"};
}

std::optional<uint64_t> number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<FaultRange> range_of(std::string_view text) {
  const size_t dots = text.find("..");
  const auto first = number(text.substr(0, dots));
  const auto last = dots == text.npos ? first : number(text.substr(dots + 2));
  if (!first || !last || *last < *first) return std::nullopt;
  return FaultRange{*first, *last};
}

Result<Wanted> parse(std::string_view spec) {
  const size_t equals = spec.find('=');
  for (size_t i = 0; i < kNames.size(); ++i) {
    if (spec.substr(0, equals) != kNames[i]) continue;
    const auto range = equals == spec.npos ? FaultRange{} : range_of(spec.substr(equals + 1));
    if (!range) return unknown(spec);
    return Wanted{static_cast<Fault>(i), *range};
  }
  return unknown(spec);
}

void arm(fault_points::Point& point, const FaultRange& range) {
  CHECK(!point.is_armed);
  point.first = range.first;
  point.last = range.last;
  point.n_asked = point.n_fired = 0;
  point.is_armed = true;
}

}  // namespace

const char* to_string(Fault fault) { return kNames[static_cast<size_t>(fault)]; }

namespace fault_points {

std::array<Point, kNFaults> points;

bool fires(Point& point, std::optional<uint64_t> number) {
  if (!point.is_armed.load(std::memory_order_acquire)) return false;
  const uint64_t n_asked = ++point.n_asked;
  const uint64_t at = number.value_or(n_asked);
  if (at < point.first || at > point.last) return false;
  ++point.n_fired;
  return true;
}

}  // namespace fault_points

ArmedFault::ArmedFault(Fault which, const FaultRange& range)
    : point_(fault_points::points[static_cast<size_t>(which)]) {
  arm(point_, range);
}

ArmedFault::~ArmedFault() { point_.is_armed = false; }

Status take_fault_flags(int& argc, char** argv) {
  constexpr std::string_view kFlag = "--fault";
  int n_kept = 0;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument = argv[i];
    const bool has_value = argument.starts_with("--fault=");
    if (argument != kFlag && !has_value) {
      argv[n_kept++] = argv[i];
      continue;
    }
    if (!has_value && ++i == argc) return unknown("");
    TRY(const Wanted wanted,
        parse(has_value ? argument.substr(kFlag.size() + 1) : std::string_view(argv[i])));
    fault_points::Point& point = fault_points::points[static_cast<size_t>(wanted.fault)];
    if (point.is_armed) {
      return Error{ErrorCode::kInvalidRequest,
                   std::string("--fault: ") + to_string(wanted.fault) + " is given twice", "fault"};
    }
    arm(point, wanted.range);
  }
  argc = n_kept;
  argv[argc] = nullptr;
  return Ok{};
}

}  // namespace lockstep

#endif
