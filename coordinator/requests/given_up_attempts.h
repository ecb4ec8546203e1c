// GivenUpAttempts: remembers for a while why attempts were given up, so that tokens that still
// arrive for them are counted by cause. The nodes of these attempts were sent a cancel, which a
// node may not have received yet. Bounded: the oldest attempts are forgotten first. I/O thread
// only.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace lockstep {

// Why tokens that a node sampled did not reach the client.
enum class Waste : unsigned char {
  kZombie,        // the request had left the node
  kDisconnected,  // the client had disconnected
  kEnded,         // the request had ended otherwise, or the attempt is not known any more
  kDuplicate,     // the tokens had been received before
  kReplay,        // a node sampled them again as the proof of a resume
  kAttach,        // the client had them before it sent the request to this coordinator
};

inline constexpr std::string_view kWasteNames[] = {"zombie",    "disconnected", "ended",
                                                   "duplicate", "replay",       "attach"};
inline std::string_view to_string(Waste waste) { return kWasteNames[static_cast<size_t>(waste)]; }

class GivenUpAttempts {
 public:
  explicit GivenUpAttempts(size_t n_max = 16384) : n_max_(n_max) {}

  void add(const std::string& upstream_id, Waste cause) {
    if (!cause_of_.emplace(upstream_id, cause).second) return;
    order_.push_back(upstream_id);
    if (order_.size() <= n_max_) return;
    cause_of_.erase(order_.front());
    order_.pop_front();
  }
  Waste cause_of(const std::string& upstream_id) const {
    const auto found = cause_of_.find(upstream_id);
    return found == cause_of_.end() ? Waste::kEnded : found->second;
  }

 private:
  const size_t n_max_;
  std::unordered_map<std::string, Waste> cause_of_;
  std::deque<std::string> order_;  // oldest first
};

}  // namespace lockstep
