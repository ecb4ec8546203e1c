// NodeConfig: every setting of a node, each named once; and what they come to for one model.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "common/machine.h"
#include "node/engine/core/engine.h"
#include "node/model/model_file.h"
#include "node/model/rank/rank_group.h"
#include "node/service/config/tenant_settings.h"

namespace lockstep {

// max_num_queued_tokens: 16 * max_model_len * max_num_seqs.
inline constexpr int64_t kQueuedTokensByLength = -1;

struct NodeConfig {
  std::string model;
  std::string served_model_name;
  std::string listen = "tcp://127.0.0.1:5556";
  std::string admin = "127.0.0.1:0";
  std::string events, events_replay;
  int64_t tensor_parallel_size = 1;
  int64_t threads_per_rank = 0;
  int64_t num_kv_blocks = 0;
  int64_t kv_cache_memory_bytes = 0;
  double kv_cache_memory_fraction = 0;
  int64_t host_kv_bytes = 0;
  int64_t block_size = 16;
  int64_t max_model_len = 0;
  int64_t max_num_seqs = 16;
  int64_t max_num_batched_tokens = 512;
  int64_t itl_target_ms = 100;
  std::string generation_config = "auto";
  std::string kv_cache_dtype = "f16";
  bool kv_cache = true;
  bool context_shift = false;
  int64_t keep = 0;
  bool prefix_cache = true;
  std::string eviction_policy = "lru";
  bool sanitize_kv = false;
  int64_t max_num_queued_reqs = 1024;
  int64_t max_num_queued_tokens = kQueuedTokensByLength;
  std::vector<TenantSetting> tenants;
  bool allow_control_tokens_in_content = false;
  double defrag_thold = 0;
  int64_t cache_reuse = 0;
  double swap_space = 0;
  int64_t verbosity = 1;
  bool inspect_text = false;
  bool insecure = false;

  // What the engine needs, without the addresses; `lockstep chat MODEL` has these only.
  template <class V>
  void visit_engine_fields(V& v) {
    v(model, "model", "", "the model file (GGUF)");
    v(served_model_name, "served_model_name", "",
      "name that requests give; empty = the file's name without .gguf");
    v(tensor_parallel_size, "tensor_parallel_size", "ranks", "ranks that share the weights");
    v(threads_per_rank, "threads_per_rank", "threads",
      "of each rank; 0 = processors that this process may use / ranks");
    v(num_kv_blocks, "num_kv_blocks", "blocks",
      "KV pool; 0 = 4 sequences of max_model_len, at most a quarter of the memory that this "
      "process "
      "may still use");
    v(kv_cache_memory_bytes, "kv_cache_memory_bytes", "bytes",
      "KV pool, of all ranks together, instead of num_kv_blocks; 0 = not given");
    v(kv_cache_memory_fraction, "kv_cache_memory_fraction", "",
      "KV pool as a part of the memory that this process may still use at start, instead of "
      "num_kv_blocks; 0 = not given");
    v(host_kv_bytes, "host_kv_bytes", "bytes",
      "of host memory, of all ranks together, for KV blocks that are evicted; 0 = none");
    v(block_size, "block_size", "tokens", "per KV block; a power of two, at most 256");
    v(max_model_len, "max_model_len", "tokens",
      "prompt and output of one request; 0 = the model's, at most 8192");
    v(max_num_seqs, "max_num_seqs", "sequences", "that run at once; others wait");
    v(max_num_batched_tokens, "max_num_batched_tokens", "tokens",
      "of one step; long prompts are prefilled in chunks of what decoding leaves of it");
    v(itl_target_ms, "itl_target_ms", "ms",
      "that a step beside decoding sequences may take, as predicted; longer prompts are cut "
      "smaller; "
      "0 = no target");
    v(generation_config, "generation_config", "",
      "auto: what a request leaves out of temperature, top_p, min_p, top_k and repetition_penalty "
      "is "
      "as the model's file says (general.sampling.*); none: as documented, whatever the file says");
    v(kv_cache_dtype, "kv_cache_dtype", "", "f16, bf16, f32 or q8_0");
    v(kv_cache, "kv_cache", "",
      "false: nothing is kept between tokens; one sequence at a time is computed anew for each");
    v(context_shift, "context_shift", "",
      "true: an output may outgrow max_model_len; half of a full context is dropped, the rest "
      "computed anew");
    v(keep, "keep", "tokens",
      "of the prompt's head that stay when a context is cut; -1 = the whole prompt; needs "
      "context_shift");
    v(prefix_cache, "prefix_cache", "",
      "keep the KV blocks of prompts and answers for requests that begin alike", "no_cache_prompt");
    v(eviction_policy, "eviction_policy", "",
      "whose cached blocks go when room is needed: lru, gdsf or priority");
    v(sanitize_kv, "sanitize_kv", "",
      "check every account of the KV cache after every step and fill freed blocks with NaN; slow");
    v(max_num_queued_reqs, "max_num_queued_reqs", "requests",
      "that may wait; more are refused as overloaded");
    v(max_num_queued_tokens, "max_num_queued_tokens", "tokens",
      "of prompts that may wait, but for a single one; more are refused as overloaded; -1 = 16 * "
      "max_model_len * max_num_seqs, 0 = no limit");
    v(tenants, "tenants", "",
      "a list of {name, floor, ceiling, weight}: KV blocks that nobody else can take, KV blocks "
      "that it can hold (0 = all), weight of its prefill among others'");
    v(allow_control_tokens_in_content, "allow_control_tokens_in_content", "",
      "true: control tokens that a message's text spells count as such; else they are plain text, "
      "and only the chat template makes control tokens");
    v(defrag_thold, "defrag_thold", "", "taken and without effect: paging leaves no holes");
    v(cache_reuse, "cache_reuse", "", "taken and without effect: reuse is exact to the token");
    v(swap_space, "swap_space", "GiB",
      "taken and without effect: what is preempted is computed again");
    v(verbosity, "verbosity", "",
      "0 = warnings, 1 = also what happens, 2 = also details, 3 = also a line a request and, while "
      "busy, a second");
  }
  template <class V>
  void visit_event_fields(V& v) {
    v(events, "events", "",
      "ZeroMQ endpoint that publishes what the prefix cache stores and evicts, token ids included; "
      "empty = none");
    v(events_replay, "events_replay", "",
      "ZeroMQ endpoint of past KV events and snapshots; needs events");
  }
  template <class V>
  void visit_admin_fields(V& v) {
    v(inspect_text, "inspect_text", "",
      "show on the admin port how the prompts that are reused most begin");
  }
  template <class V>
  void visit_fields(V& v) {
    visit_engine_fields(v);
    v(listen, "listen", "", "ZeroMQ endpoint for coordinators and clients");
    v(admin, "admin", "", "HOST:PORT of health and metrics; port 0 = a free one, printed");
    visit_event_fields(v);
    visit_admin_fields(v);
    v(insecure, "insecure", "",
      "allow listening on other addresses than loopback, and requests under any Host");
  }
};

// The settings, checked and with every default filled in from the model and the machine. Throws
// LoadError naming field and numbers.
RankGroupConfig resolve_rank_config(const NodeConfig& config, const ModelFile& file,
                                    const Machine& machine = Machine());

// max_num_queued_tokens as a number of tokens; 0 = no limit.
int64_t queued_tokens(const NodeConfig& config, const StepLimits& limits);

// The engine's part of the settings, for ranks with these.
EngineConfig resolve_engine_config(const NodeConfig& config, const RankGroupConfig& ranks);

// served_model_name, or the file's name without directory and .gguf. Throws LoadError naming the
// field if it is not UTF-8: it travels in JSON and as text on the wire.
std::string served_name(const NodeConfig& config);

}  // namespace lockstep
