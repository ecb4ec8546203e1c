// FakeClock: a clock that only the test advances.
#pragma once

#include <atomic>

#include "common/clock.h"

namespace lockstep::testing {

class FakeClock final : public Clock {
 public:
  TimePoint now() const override { return TimePoint(std::chrono::nanoseconds(ns_.load())); }
  void advance(std::chrono::nanoseconds d) { ns_ += d.count(); }

 private:
  std::atomic<int64_t> ns_{1};
};

}  // namespace lockstep::testing
