// SeedSource: chooses the seed of a request without a seed: the configured seed, or a random one.
// The component that receives the request from the client calls it once: a coordinator's Forwarder,
// or a node's RequestServer for requests of direct clients. All later components use that seed. Any
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

  // A random seed has 53 bits, so that JSON numbers represent it exactly in every language.
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
