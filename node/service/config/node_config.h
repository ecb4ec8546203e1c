// NodeConfig: every setting of a node, each named once, and the checked settings that follow for
// one model and machine. Plain data, read by main() before other threads start.
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

// The value of max_num_queued_tokens that stands for 16 * max_model_len * max_num_seqs.
inline constexpr int64_t kQueuedTokensByLength = -1;

struct NodeConfig {
  std::string model;
  std::string served_model_name;
  std::string listen = "tcp://127.0.0.1:5556";
  std::string admin = "127.0.0.1:0";
  std::string events, events_replay;
  std::string device = "auto";
  std::string cuda_module, nccl_library;
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
  std::string kv_cache_dtype = "auto";
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
  int64_t verbosity = 1;
  bool inspect_text = false;
  bool insecure = false;

  // The settings of the engine, without addresses. `lockstep chat MODEL` has only these.
  template <class V>
  void visit_engine_fields(V& v) {
    v.group("Model");
    v(model, "model", "PATH", "Path of the model: a GGUF file, or a folder of Hugging Face.");
    v(served_model_name, "served_model_name", "",
      "Name under which requests address the model. An empty name stands for the name of the file "
      "or folder without .gguf.");
    v.group("Parallelism");
    v(device, "device", "auto|cpu|cuda",
      "Devices that the model runs on. With auto, these are GPUs if there is one for each rank, "
      "and "
      "otherwise the CPU.");
    v(cuda_module, "cuda_module", "PATH",
      "File of the CUDA module, for tests. An empty path stands for liblockstep_cuda.so beside the "
      "program.");
    v(nccl_library, "nccl_library", "PATH",
      "File of the NCCL library, for tests. An empty path stands for libnccl.so.2 where the system "
      "finds it.");
    v(tensor_parallel_size, "tensor_parallel_size", "ranks",
      "Number of ranks that share the model's weights.");
    v(threads_per_rank, "threads_per_rank", "threads",
      "Number of threads of each rank. 0 divides the processors that this process may use by the "
      "number of ranks.");
    v.group("KV cache");
    v(num_kv_blocks, "num_kv_blocks", "blocks",
      "Size of the KV pool in blocks. 0 makes room for 4 sequences of max_model_len, in at most a "
      "quarter of the memory that this process may still use; on GPUs, 0 takes 90 % of the memory "
      "that weights, activations and a reserve for CUDA and NCCL leave.");
    v(kv_cache_memory_bytes, "kv_cache_memory_bytes", "bytes",
      "Size of the KV pool in bytes, over all ranks, instead of num_kv_blocks. 0 leaves it unset.");
    v(kv_cache_memory_fraction, "kv_cache_memory_fraction", "",
      "Size of the KV pool as a fraction (0 to 1) of the memory that this process may still use at "
      "start, instead of num_kv_blocks; on GPUs, of what weights, activations and a reserve for "
      "CUDA and NCCL leave. 0 leaves it unset.");
    v(host_kv_bytes, "host_kv_bytes", "bytes",
      "Host memory in bytes, over all ranks, that keeps evicted KV blocks until they are loaded "
      "again. 0 keeps none.");
    v(block_size, "block_size", "tokens",
      "Number of tokens in a KV block; a power of two, at most 256.");
    v(kv_cache_dtype, "kv_cache_dtype", "auto|f16|bf16|f32|q8_0|k16v8|k16v16",
      "Data type of the keys and values in the KV cache. The types k16v8 and k16v16 hold whole "
      "numbers with scales: 16 bits for keys, 8 or 16 for values. The value auto stands for k16v8 "
      "if the layers' weights are quantised, and for k16v16 if they are not.");
    v(kv_cache, "kv_cache", "",
      "Keep keys and values between tokens. If false, one sequence runs at a time and is computed "
      "again for each token.");
    v(prefix_cache, "prefix_cache", "",
      "Keep the KV blocks of prompts and answers, so that requests with the same prefix reuse "
      "them.",
      "no_cache_prompt");
    v(eviction_policy, "eviction_policy", "lru|gdsf|priority",
      "Policy that picks the cached KV blocks to evict if room is needed.");
    v(sanitize_kv, "sanitize_kv", "",
      "Check every account of the KV cache after every step, and fill freed blocks with NaN. This "
      "is slow.");
    v.group("Scheduling");
    v(max_model_len, "max_model_len", "tokens",
      "Maximum number of tokens of one request, prompt and output together. 0 stands for the "
      "model's context length, but at most 8192.");
    v(max_num_seqs, "max_num_seqs", "sequences",
      "Maximum number of sequences that run at once; others wait.");
    v(max_num_batched_tokens, "max_num_batched_tokens", "tokens",
      "Maximum number of tokens in one step. A long prompt is prefilled in chunks of what the "
      "decoding sequences leave of it.");
    v(itl_target_ms, "itl_target_ms", "ms",
      "Maximum predicted duration in ms of a step that prefills beside decoding sequences; prompts "
      "are cut into smaller chunks to meet it. 0 sets no target.");
    v(max_num_queued_reqs, "max_num_queued_reqs", "requests",
      "Maximum number of requests that wait; more are refused as overloaded.");
    v(max_num_queued_tokens, "max_num_queued_tokens", "tokens",
      "Maximum number of prompt tokens that wait; more are refused as overloaded, unless no other "
      "request waits. -1 stands for 16 * max_model_len * max_num_seqs; 0 sets no limit.");
    v(tenants, "tenants", "MAP",
      "Tenants that requests may name, each with a share of the KV pool and of the prefill; the "
      "flag is given once per tenant. A request without a tenant belongs to the tenant default.");
    v(context_shift, "context_shift", "",
      "Let an output grow beyond max_model_len. A full context then loses the older half of what "
      "follows its first keep tokens, and the rest is computed again.");
    v(keep, "keep", "tokens",
      "Number of tokens at the start of the prompt that stay in a shifted context. -1 keeps the "
      "whole prompt. The setting needs context_shift.");
    v.group("Sampling and text");
    v(generation_config, "generation_config", "auto|none",
      "Source of temperature, top_p, min_p, top_k and repetition_penalty where a request leaves "
      "them out. With auto, the model file's values (general.sampling.*) apply; with none, the "
      "documented defaults apply.");
    v(allow_control_tokens_in_content, "allow_control_tokens_in_content", "",
      "Read control tokens that a message's text spells as control tokens. If false, they are "
      "plain text, and only the chat template makes control tokens.");
    v.group("Observability");
    v(verbosity, "verbosity", "",
      "Detail of the log: 0 logs warnings, 1 also events, 2 also details, and 3 also one line per "
      "request and, under load, one per second.");
    v.unneeded("defrag_thold", "the KV cache is paged, so any free block serves any sequence");
    v.unneeded("cache_reuse",
               "prefixes are reused to the exact token, so nothing is shifted into place");
    v.unneeded("swap_space",
               "a preempted sequence is computed again, or its blocks are kept by the host tier");
  }
  template <class V>
  void visit_event_fields(V& v) {
    v.group("KV events");
    v(events, "events", "ENDPOINT",
      "ZeroMQ endpoint that publishes what the prefix cache stores and evicts, token ids included. "
      "An empty endpoint publishes nothing.");
    v(events_replay, "events_replay", "ENDPOINT",
      "ZeroMQ endpoint that serves past KV events and snapshots. The setting needs events.");
  }
  template <class V>
  void visit_admin_fields(V& v) {
    v.group("Observability");
    v(inspect_text, "inspect_text", "",
      "Show on the admin port how the most reused prompts begin.");
  }
  template <class V>
  void visit_fields(V& v) {
    visit_engine_fields(v);
    v.group("Network");
    v(listen, "listen", "ENDPOINT", "ZeroMQ endpoint that coordinators and clients connect to.");
    v(admin, "admin", "HOST:PORT",
      "Address of health checks and metrics. Port 0 picks a free port, which is printed.");
    v(insecure, "insecure", "",
      "Allow listening on addresses other than loopback, and requests under any Host header.");
    visit_event_fields(v);
    visit_admin_fields(v);
  }
};

// Checks the settings and fills in every default from the model and the machine. Throws LoadError,
// which names field and numbers.
RankGroupConfig resolve_rank_config(const NodeConfig& config, const ModelFile& file,
                                    const Machine& machine = Machine());

// Returns max_num_queued_tokens as a number of tokens; 0 = no limit.
int64_t queued_tokens(const NodeConfig& config, const StepLimits& limits);

// Returns the engine's part of the settings for ranks with the settings `ranks`.
EngineConfig resolve_engine_config(const NodeConfig& config, const RankGroupConfig& ranks);

// Returns served_model_name, or the file's name without directory and .gguf. Throws LoadError,
// which names the field, if the name is not UTF-8, because JSON and the wire carry it as text.
std::string served_name(const NodeConfig& config);

}  // namespace lockstep
