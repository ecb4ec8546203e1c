// PromptPreparer: gives each new generation its PreparedPrompt, or leaves the request as it came:
// where no ids can be had, the node encodes the prompt or refuses it. Holds a prompt once: with the
// job while it is being encoded, then in the request as ids, or as the client sent it. I/O thread
// only.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "coordinator/cluster/node_table.h"
#include "coordinator/probes.h"
#include "coordinator/prompts/prompt_encoder.h"
#include "coordinator/requests/inflight_table.h"

namespace lockstep {

class PromptPreparer {
 public:
  // All references, and `encoder` if it is not null, must outlive this object; without an encoder,
  // text is sent as it came. `on_prepared`: for a request whose prompt took a while and that is
  // still live.
  PromptPreparer(const NodeTable& nodes, InflightTable& table, PromptEncoder* encoder,
                 CoordinatorProbes& probes, std::function<void(Inflight&)> on_prepared);

  // The request is in the table and has no node. Returns false if its prompt is being encoded;
  // on_prepared follows.
  bool prepare(Inflight& request);

 private:
  void on_done(const std::string& client_key, const std::string& request_id,
               const std::shared_ptr<PromptJob>& job);
  void finish(Inflight& request, PromptJob& job);
  bool use_ids(Inflight& request, PromptJob& job);

  const NodeTable& nodes_;
  InflightTable& table_;
  PromptEncoder* const encoder_;
  CoordinatorProbes& probes_;
  const std::function<void(Inflight&)> on_prepared_;
};

}  // namespace lockstep
