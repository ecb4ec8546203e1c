// ControlServer: the verbs of operators on a node: empty the prefix cache, list live requests, say
// which settings are in effect. Asks the engine between two of its turns and gives requests the
// names that their peers know. Loop thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/result.h"
#include "node/engine/cache_control.h"
#include "node/service/model_front.h"
#include "node/service/request_server.h"
#include "wire/messages.h"

namespace lockstep {

class ControlServer {
 public:
  // Hands a task to the loop thread; false if the loop has ended.
  using Post = std::function<bool(std::function<void()>)>;
  template <class Answer>
  using Reply = std::function<void(Result<Answer>)>;

  // All must outlive this; the engine stops before the loop does.
  ControlServer(const ModelFront& model, RequestServer& requests, Post post);

  // The reply comes on the loop thread, at once if it is an error.
  void clear(const wire::ClearKvCache& ask, Reply<wire::KvCacheCleared> reply);
  void slots(const wire::SlotsRequest& ask, Reply<wire::SlotList> reply);
  wire::Description describe(const std::string& request_id) const;

 private:
  std::vector<wire::Slot> to_wire(const std::vector<SlotInfo>& slots);

  const ModelFront& model_;
  RequestServer& requests_;
  const Post post_;
};

}  // namespace lockstep
