// Generator: text for a prompt or a conversation, from an engine in this process or over the wire.
// What `chat` and `complete` are written against.
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
  // Absent: the model's own.
  std::optional<double> temperature, top_p;
  std::optional<int64_t> top_k;
  int64_t max_tokens = 0;  // 0 = whatever is left
  std::optional<int64_t> seed;
  std::vector<std::string> stop;
};

// Exactly one of the two.
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
  // Calls on_text with each piece as it comes, on the calling thread.
  virtual Result<GenerationOutcome> generate(
      const GenerationInput& input, const GenerationOptions& options,
      const std::function<void(std::string_view)>& on_text) = 0;
  virtual Result<KvOccupancy> kv_occupancy() = 0;
};

// Loads the model into this process; throws LoadError.
std::unique_ptr<Generator> make_local_generator(const NodeConfig& config);
// Talks to a coordinator or a node. `model` may be empty when the cluster serves just one.
Result<std::unique_ptr<Generator>> make_remote_generator(const std::string& endpoint,
                                                         const std::string& model);

}  // namespace lockstep
