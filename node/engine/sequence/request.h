// The engine's input and output: a GenerationRequest goes in; ChoiceEvents and one RequestEnd come
// out through an EngineSink. Plain data that knows no wire format and no JSON.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common/clock.h"
#include "common/error_code.h"
#include "common/ids.h"
#include "node/engine/sequence/cache_receipt.h"
#include "node/step/executor.h"
#include "node/text/stream/stream_decoder.h"

namespace lockstep {

struct SamplingParams {
  float temperature = 1.0f;  // 0 = greedy
  float top_p = 1.0f;
  float min_p = 0.0f;
  int32_t top_k = 0;  // 0 or -1 = off
  float repetition_penalty = 1.0f;
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  uint64_t seed = 0;
  int32_t n = 1;             // choices; choice i draws with (seed, first_choice + i)
  int32_t first_choice = 0;  // > 0 if prompts of one call share a seed and this is a later one
  int32_t max_tokens = -1;   // -1 = what is left: min(max_model_len, usable pool) - prompt
  int32_t min_tokens = 0;
  int32_t n_logprobs = -1;  // -1 = none; 0 = the sampled token's only; n = the top n as well
  std::vector<int32_t> stop_token_ids;
  bool ignore_eos = false;
  bool cache_prompt = true;
  std::string cache_salt;  // only prompts with equal salts share blocks; empty = no salt
  StopSpec stop;
};

// How long, and with which eviction priority, the blocks of a request are kept in the cache.
struct CacheRetention {
  int32_t priority = 0;  // 0 to 100; the lowest is evicted first
  std::chrono::seconds duration{0};
};

enum class FinishReason : uint8_t { kStop, kLength, kCancelled, kError };
std::string_view to_string(FinishReason reason);
// The reason with this name; nothing if there is none.
std::optional<FinishReason> finish_reason_from_string(std::string_view name);

// The output of one choice that the client already has, from a node that ran the request before.
struct EmittedOutput {
  std::vector<int32_t> ids;                   // all of the choice's output tokens so far
  std::optional<FinishReason> finished = {};  // kStop or kLength if the choice has ended
};

struct GenerationRequest {
  RequestId id{};
  std::vector<int32_t> prompt;
  SamplingParams sampling;
  int32_t tenant = 0;    // index into EngineConfig::tenants
  int32_t priority = 0;  // a lower number is served sooner
  // A request that has not ended by then ends with kDeadlineExceeded.
  std::optional<Clock::TimePoint> deadline = {};
  std::optional<CacheRetention> retention = {};
  std::vector<EmittedOutput> emitted = {};  // [n], or empty if nothing was emitted
};

struct Usage {
  uint64_t prompt_tokens = 0;      // counted once, whatever n is
  uint64_t cached_tokens = 0;      // prompt tokens read from the prefix cache
  uint64_t completion_tokens = 0;  // over all choices, emitted ones included
};

// One choice's output from one step. The spans point into the EventBatch.
struct ChoiceEvent {
  RequestId request{};
  uint32_t choice = 0;
  uint32_t first_index = 0;      // index of ids[0] among the choice's output tokens
  std::span<const int32_t> ids;  // may be empty when only held-back text is released
  std::string_view text;
  std::span<const float> logprobs;       // [ids.size()] if requested
  std::span<const TokenLogprob> top;     // [ids.size(), n_logprobs] if requested
  std::optional<FinishReason> finished;  // set if the choice has ended
  std::string_view stop_string;          // the stop string that ended the choice, if any
  int32_t stop_token = -1;               // the EOS or stop id that ended the choice; -1 = none
};

// A request's final message: exactly one per accepted request.
struct RequestEnd {
  RequestId request{};
  // Of choice 0, unless the request as a whole was cancelled or failed.
  FinishReason reason = FinishReason::kStop;
  Usage usage;
  std::optional<CacheReceipt> cache;       // of the first choice that ran, if one did
  ErrorCode error = ErrorCode::kInternal;  // valid when reason is kError
  std::string_view message;
};

// All events of one step, in order: choices first, then ends.
struct EventBatch {
  std::span<const ChoiceEvent> choices;
  std::span<const RequestEnd> ends;
};

// Receives the engine's events on the engine thread. on_events() must not block; the batch is
// invalid once it returns.
class EngineSink {
 public:
  virtual ~EngineSink() = default;
  virtual void on_events(const EventBatch& batch) = 0;
};

}  // namespace lockstep
