// One message of every type with every field set to a value other than its default, so that a lost
// field is detected.
#pragma once

#include <vector>

#include "wire/messages.h"

namespace lockstep::wire::testing {

inline Generate full_generate() {
  Generate m;
  m.request_id = "r-1";
  m.model = "tiny";
  m.messages = {{"user", "héllo", "ann"}, {"assistant", "", ""}};
  m.max_tokens = 7;
  m.min_tokens = 2;
  m.temperature = 0.5;
  m.top_p = 0.9;
  m.min_p = 0.05;
  m.top_k = -1;
  m.repetition_penalty = 1.1;
  m.presence_penalty = -0.5;
  m.frequency_penalty = 0.25;
  m.seed = 0xFFFFFFFFFFFFFFFFu;
  m.n = 3;
  m.first_choice = 6;
  m.stop = {"\n\n", "END"};
  m.stop_token_ids = {2, 100000};
  m.include_stop_str_in_output = true;
  m.skip_special_tokens = false;
  m.ignore_eos = true;
  m.cache_prompt = false;
  m.cache_salt = "acmé";
  m.tenant = "gold";
  m.priority = 3;
  m.deadline_ms = 1500;
  m.cache_retention = {80, 60};
  m.return_token_ids = true;
  m.logprobs = 5;
  m.add_special_tokens = false;
  m.emitted = {{{5, 49151}, std::nullopt}, {{}, std::nullopt}, {{7}, "stop"}};
  m.attempt = 2;
  m.prompt_cache_key = "séance";
  m.return_route_receipt = true;
  return m;
}

inline Attach full_attach() {
  Attach m;
  static_cast<Generate&>(m) = full_generate();
  m.resume_token = "token";
  m.index = {17, 0, 300};
  return m;
}

inline Tokens full_tokens() {
  Tokens m;
  m.request_id = "r-1";
  m.choice = 2;
  m.first_index = 40;
  m.ids = {5, 49151};
  m.text = " Paris";
  m.epoch = uint64_t{1} << 40;
  m.attempt = 1;
  m.logprobs = {{"\xE2\x82", -0.25f, {{5, "\xE2\x82", -0.25f}, {6, "x", -2.5f}}},
                {"", -1.0f, {}, true}};
  m.finish_reason = "stop";
  m.stop_string = "END";
  m.stop_token = 2;
  return m;
}

inline Heartbeat full_heartbeat() {
  Heartbeat m = {"s-1", 9, 100, 3, 4, 128, 50, 10, 68, 1000, 200, 3000, true, 17, 1ull << 63, 9000};
  m.step_times = {6.5, 0.125, 0.00025, 0.75, 0.0005};
  m.n_prompt_tokens_pending = 70000;
  m.n_context_tokens = 5000;
  return m;
}

inline Slot full_slot() { return {"r-1", 2, "decoding", 40, 32, 45, 6, 3}; }

inline NodeDescription full_description() {
  return {"tcp://n", "tiny", {{"block_size", "16"}}, {{1, {{"kv_cache_dtype", "f16"}}}}, "ready"};
}

inline std::vector<Message> one_of_each() {
  return {
      full_generate(),
      Accepted{"r-1", 77, "token", {1, 2, 3}, 3, 64, "abc"},
      full_tokens(),
      TokensBatch{{full_tokens(), full_tokens()}},
      Done{"r-1", "length", {10, 8, 20}, CacheReceipt{"evicted", 8, 9, 1.5}},
      ErrorReply{"r-1", ErrorCode::kContextLengthExceeded, "2048 > 1024", "max_tokens"},
      Cancel{"r-1"},
      StatusRequest{"s-1"},
      ModelsRequest{"s-2"},
      Models{"s-2", {{"tiny", 1700000000, 2048, DefaultSamplingParams{0.6, 0.95, 0.1, 20, 1.05}}}},
      Tokenize{"t-1", "tiny", "text", std::nullopt, false, true},
      Tokenized{"t-1", {1, 2}, {"ok", "\xFF"}, 2048},
      Detokenize{"d-1", "tiny", {1, 2}},
      Detokenized{"d-1", "text"},
      Hello{{1, 2}, "observer"},
      Welcome{1,
              9,
              "abc",
              {{"tiny", 1, 2}},
              32,
              64,
              8,
              "cpu/avx2",
              true,
              "tcp://127.0.0.1:5557",
              "tcp://127.0.0.1:5558",
              full_description(),
              1024,
              "0123456789abcdef"},
      full_heartbeat(),
      ClusterStatus{"s-1", {{"tcp://127.0.0.1:5556", "ready", "tiny", "abc", full_heartbeat()}}, 2},
      ClearKvCache{"c-1", "salt", "tiny", "gold", "acme"},
      KvCacheCleared{"c-1", 12, 7, 3, {full_slot()}},
      SlotsRequest{"c-2"},
      SlotList{"c-2", {full_slot(), full_slot()}},
      DescribeRequest{"c-3"},
      Description{"c-3", {full_description()}},
      full_attach(),
      DescribeText{"x-1"},
      TextDescription{"x-1", "0123456789abcdef", std::string("\xFF\0tokens", 8)},
  };
}

}  // namespace lockstep::wire::testing
