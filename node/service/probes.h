// NodeProbes: the metrics of a node for Prometheus. probes.cpp names and registers them; other
// code only calls its functions. Counts of the engine are read from its snapshot at each scrape and
// never stored twice. Any thread.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/memory/ledger.h"
#include "node/engine/core/engine.h"
#include "node/kv/report/block_event_log.h"
#include "parallel/devices/device_monitor.h"

namespace lockstep {

// Constants of a loaded model: labels of lockstep_build_info and lockstep_model_info.
struct NodeFacts {
  std::string model;
  std::string backend;
  std::string fingerprint;
};

class NodeProbes {
 public:
  using Duration = Clock::TimePoint::duration;

  NodeProbes();
  ~NodeProbes();
  NodeProbes(const NodeProbes&) = delete;
  NodeProbes& operator=(const NodeProbes&) = delete;

  // `outcome`: a finish_reason or an error code.
  void request_ended(std::string_view outcome);
  void first_token(Duration since_arrival);
  void next_tokens(Duration since_last, size_t n_tokens);
  void bad_message();
  void prompt_received(std::string_view form);  // "text", "chat" or "ids"
  void events_replayed(std::string_view kind);  // "replay" or "snapshot"

  using DeviceStates = std::vector<DeviceState>;  // by rank
  // Call once the model is loaded. `snapshot`, the ledger, the events (null: not published) and
  // `devices` (null: CPUs) are read on the thread that calls text(), by one call at a time, and
  // must outlive the last such call.
  void attach(NodeFacts facts, std::function<EngineSnapshot()> snapshot, const MemoryLedger& ledger,
              const BlockEventLog* events = nullptr,
              std::function<DeviceStates()> devices = nullptr);

  std::string text() const;  // Prometheus text format 0.0.4

 private:
  struct Impl;
  const std::unique_ptr<Impl> impl_;
};

}  // namespace lockstep
