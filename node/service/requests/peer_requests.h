// PeerRequests: the requests between their arrival and their final message, found by the engine's
// id, or by peer and request id. I/O thread only.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "common/clock.h"
#include "common/ids.h"

namespace lockstep {

struct PeerRequest {
  RequestId id{};
  std::string peer;
  std::string request_id;  // the peer's
  uint32_t attempt = 0;    // repeated in the request's tokens
  bool submitted = false;  // to the engine; if false, the prompt is still being encoded
  bool muted = false;      // its peer reads too slowly: no more tokens, then an error
  Clock::TimePoint arrived;
  std::vector<std::optional<Clock::TimePoint>> last_token;  // [n_choices]
  // [n_choices]: the last token of the choice so far, or of its prompt; -1 = none
  std::vector<int32_t> previous;
};

class PeerRequests {
 public:
  // Null if the peer already has a live request with this id.
  PeerRequest* add(const std::string& peer, const std::string& request_id, size_t n_choices,
                   Clock::TimePoint now) {
    const auto [place, is_new] = by_name_.try_emplace({peer, request_id}, RequestId{next_id_});
    if (!is_new) return nullptr;
    PeerRequest request;
    request.id = RequestId{next_id_++};
    request.peer = peer;
    request.request_id = request_id;
    request.arrived = now;
    request.last_token.resize(n_choices);
    request.previous.resize(n_choices, -1);
    return &by_id_.emplace(request.id, std::move(request)).first->second;
  }
  PeerRequest* find(RequestId id) {
    const auto found = by_id_.find(id);
    return found == by_id_.end() ? nullptr : &found->second;
  }
  PeerRequest* find(const std::string& peer, const std::string& request_id) {
    const auto found = by_name_.find({peer, request_id});
    return found == by_name_.end() ? nullptr : find(found->second);
  }
  std::vector<RequestId> of_peer(const std::string& peer) const {
    std::vector<RequestId> ids;
    for (auto it = by_name_.lower_bound({peer, ""}); it != by_name_.end(); ++it) {
      if (it->first.first != peer) break;
      ids.push_back(it->second);
    }
    return ids;
  }
  void erase(RequestId id) {
    const auto found = by_id_.find(id);
    if (found == by_id_.end()) return;
    by_name_.erase({found->second.peer, found->second.request_id});
    by_id_.erase(found);
  }
  size_t size() const { return by_id_.size(); }

 private:
  std::unordered_map<RequestId, PeerRequest> by_id_;
  std::map<std::pair<std::string, std::string>, RequestId> by_name_;  // (peer, request_id)
  uint64_t next_id_ = 1;
};

}  // namespace lockstep
