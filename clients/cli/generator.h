// Generator: generates text for a prompt or a conversation, with an engine in this process or over
// the wire. `chat` and `complete` use this interface. One thread at a time.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.h"
#include "node/service/config/node_config.h"
#include "node/text/jinja/chat_template.h"

namespace lockstep {

struct GenerationOptions {
  // Absent: the model's default.
  std::optional<double> temperature, top_p;
  std::optional<int64_t> top_k;
  int64_t max_tokens = 0;  // 0 = all tokens that the context has left
  std::optional<int64_t> seed;
  std::vector<std::string> stop;
};

// Exactly one of `prompt` and `messages` is set.
struct GenerationInput {
  std::string prompt;
  std::vector<ChatMessage> messages;
};

struct GenerationOutcome {
  std::string finish_reason;  // "stop", "length"
  uint64_t prompt_tokens = 0;
  uint64_t completion_tokens = 0;
  std::chrono::duration<double> to_first_token{0};
  std::chrono::duration<double> total{0};
};

struct KvOccupancy {
  int64_t n_blocks_used = 0;
  int64_t n_blocks_total = 0;
};

class Generator {
 public:
  virtual ~Generator() = default;
  // Blocks until the end of the request. Calls on_text with each piece as it arrives, on the
  // calling thread.
  virtual Result<GenerationOutcome> generate(
      const GenerationInput& input, const GenerationOptions& options,
      const std::function<void(std::string_view)>& on_text) = 0;
  virtual Result<KvOccupancy> kv_occupancy() = 0;
};

// Loads the model into this process. Throws LoadError on failure.
std::unique_ptr<Generator> make_local_generator(const NodeConfig& config);
// Connects to a coordinator or a node. With several endpoints, of coordinators of one cluster, an
// answer goes on at the next one when its coordinator is lost. `model` may be empty if the cluster
// serves only one model.
Result<std::unique_ptr<Generator>> make_remote_generator(const std::vector<std::string>& endpoints,
                                                         const std::string& model);

}  // namespace lockstep
