// ControlServer: the operators' verbs on a node: clear the prefix cache, list live requests, show
// the effective settings. Its tasks run on the engine's thread between two turns, and it reports
// requests under their peers' ids. I/O thread only.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "common/result.h"
#include "common/threads/completions.h"
#include "node/engine/report/cache_control.h"
#include "node/service/requests/request_server.h"
#include "node/service/requests/served_model.h"
#include "wire/messages.h"

namespace lockstep {

class ControlServer {
 public:
  static constexpr size_t kMaxOpen = 64;  // verbs at the engine; further ones are refused

  template <class Answer>
  using Reply = std::function<void(Result<Answer>)>;

  // All of them must outlive this object; the engine stops before the loop does.
  ControlServer(const ServedModel& model, RequestServer& requests, Completions& completions);

  // The reply runs on the I/O thread, at once if it is an error.
  void clear(const wire::ClearKvCache& ask, const Reply<wire::KvCacheCleared>& reply);
  void slots(const wire::SlotsRequest& ask, const Reply<wire::SlotList>& reply);
  wire::Description describe(const std::string& request_id) const;

 private:
  // Runs a task on the engine's thread and replies on the I/O thread. False if too many are open.
  template <class Answer>
  bool ask_engine(const std::function<Answer(EngineCore&)>& ask,
                  const std::function<void(Answer&&)>& finish);
  std::vector<wire::Slot> to_wire(const std::vector<SlotInfo>& slots);

  const ServedModel& model_;
  RequestServer& requests_;
  Completions& completions_;
  size_t n_open_ = 0;
};

}  // namespace lockstep
