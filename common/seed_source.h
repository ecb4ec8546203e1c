// SeedSource: the seed of a request that brings none: the configured one, or one drawn at random.
// Whoever takes a request from a client asks it once (a coordinator's Forwarder; a node's
// RequestServer for those that come to it directly), and everybody behind keeps what it said. Any
// thread.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <random>

namespace lockstep {

class SeedSource {
 public:
  explicit SeedSource(std::optional<uint64_t> fixed) : fixed_(fixed) {}

  // 53 bits when drawn: exact in every language's JSON.
  uint64_t next() {
    if (fixed_) return *fixed_;
    std::lock_guard lock(mutex_);
    return random_() >> 11;
  }

 private:
  const std::optional<uint64_t> fixed_;
  // guarded by mutex_
  std::mutex mutex_;
  std::mt19937_64 random_{std::random_device()()};
};

}  // namespace lockstep
