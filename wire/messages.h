// The wire's vocabulary (docs/wire-protocol.md): one MessagePack map per ZeroMQ message,
// {"v":1,"type":…,…}. Plain structs here; codec.h turns them into bytes and back. Field names on
// the wire are the member names below. Unknown fields are skipped, absent optional ones defaulted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "common/error_code.h"

namespace lockstep::wire {

inline constexpr int kProtocolVersion = 1;

struct ChatMessage {
  std::string role;
  std::string content;
  std::string name;
  friend bool operator==(const ChatMessage&, const ChatMessage&) = default;
};

struct CacheRetention {
  int64_t priority = 0;  // 0 to kMaxRetentionPriority
  int64_t seconds = 0;   // 1 to kMaxRetentionSeconds
  friend bool operator==(const CacheRetention&, const CacheRetention&) = default;
};

// HTTP field names, flat. Exactly one of prompt_text, prompt_ids, messages is set; on the wire
// `prompt` is a string or an array of ids, `messages` an array of maps.
struct Generate {
  std::string request_id;  // chosen by the sender, unique among its live requests, 1..128 bytes
  std::string model;
  std::optional<std::string> prompt_text;
  std::optional<std::vector<int32_t>> prompt_ids;
  std::optional<std::vector<ChatMessage>> messages;
  std::optional<int64_t> max_tokens;
  int64_t min_tokens = 0;
  // Absent: the node's default, which is the model file's or SamplingParams'.
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::optional<uint64_t> seed;
  int64_t n = 1;
  // Of a prompt that shares seed and n with others of one request: the number of its first choice
  // among all of theirs, so that no two draw alike. Absent = 0.
  std::optional<int64_t> first_choice;
  std::vector<std::string> stop;
  std::vector<int32_t> stop_token_ids;
  bool include_stop_str_in_output = false;
  bool skip_special_tokens = true;
  bool ignore_eos = false;
  bool cache_prompt = true;
  std::string cache_salt;           // at most kMaxCacheSaltBytes; empty = none
  std::string tenant;               // at most kMaxTenantBytes; empty = "default"
  std::optional<int64_t> priority;  // lower = sooner; absent = 0
  std::optional<int64_t> deadline_ms;
  std::optional<CacheRetention> cache_retention;
  bool return_token_ids = false;
  int64_t logprobs = -1;           // -1 none, 0 the sampled token's, n the top n as well
  bool add_special_tokens = true;  // text prompts of completions
  friend bool operator==(const Generate&, const Generate&) = default;
};

struct Accepted {
  std::string request_id;
  uint64_t seed = 0;
  std::string resume_token;               // empty until exact resume exists
  std::vector<int32_t> prompt_token_ids;  // if return_token_ids
  uint64_t prompt_tokens = 0;
};

struct TopLogprob {
  int32_t id = 0;
  std::string bytes;
  float logprob = 0;
};
struct TokenLogprobs {
  std::string bytes;  // of the sampled token; may be part of a UTF-8 character
  float logprob = 0;
  std::vector<TopLogprob> top;
  bool special = false;  // a control token: in the text only without skip_special_tokens
};

// News of one choice. finish_reason is set on a choice's last message.
struct Tokens {
  std::string request_id;
  uint32_t choice = 0;
  uint32_t first_index = 0;
  std::vector<int32_t> ids;
  std::string text;  // this piece only
  uint64_t epoch = 0;
  uint32_t attempt = 0;
  std::vector<TokenLogprobs> logprobs;       // [ids.size()] if asked for
  std::optional<std::string> finish_reason;  // "stop", "length", "cancelled", "error"
  std::optional<std::string> stop_string;    // what stopped it, if a stop string did
  std::optional<int32_t> stop_token;         // what stopped it, if a token did
};

// All of a step's news for one peer, in one message (node to coordinator).
struct TokensBatch {
  std::vector<Tokens> items;
};

struct Usage {
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t completion_tokens = 0;
};

// What a prompt found in the prefix cache, and why not more.
struct CacheReceipt {
  std::string outcome;                    // "hit", "never_seen", "evicted", "not_committed", "off"
  uint64_t matched_tokens = 0;            // of the prompt, read from the cache
  uint64_t divergent_at = 0;              // position of the first token that was not cached
  std::optional<double> evicted_seconds;  // how long ago, if it was evicted
};

struct Done {  // the final message of a request that ran; `reason` is choice 0's finish_reason
  std::string request_id;
  std::string reason;
  Usage usage;
  std::optional<CacheReceipt> cache_receipt = std::nullopt;  // of a request that ran
};

struct ErrorReply {  // the final message of a request that did not; request_id empty: of the
                     // message
  std::string request_id;
  ErrorCode code = ErrorCode::kInternal;
  std::string message;
  std::string param;
};

struct Cancel {
  std::string request_id;
};

struct StatusRequest {
  std::string request_id;
};
struct ModelsRequest {
  std::string request_id;
};
// What a request gets for the fields of the same names that it leaves out; absent: as documented.
struct SamplingDefaults {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
};
struct ModelInfo {
  std::string id;
  uint64_t created = 0;  // seconds since 1970
  uint64_t max_model_len = 0;
  std::optional<SamplingDefaults> default_sampling_params = std::nullopt;  // if there are any
};
struct Models {
  std::string request_id;
  std::vector<ModelInfo> models;
};

struct Tokenize {  // exactly one of prompt, messages
  std::string request_id;
  std::string model;
  std::optional<std::string> prompt;
  std::optional<std::vector<ChatMessage>> messages;
  bool add_special_tokens = true;
  bool return_token_strs = false;
  friend bool operator==(const Tokenize&, const Tokenize&) = default;
};
struct Tokenized {
  std::string request_id;
  std::vector<int32_t> tokens;
  std::vector<std::string> token_strs;
  uint64_t max_model_len = 0;
};
struct Detokenize {
  std::string request_id;
  std::string model;
  std::vector<int32_t> tokens;
  friend bool operator==(const Detokenize&, const Detokenize&) = default;
};
struct Detokenized {
  std::string request_id;
  std::string prompt;
};

struct Setting {
  std::string name;  // as a key of the settings file
  std::string value;
};
struct RankSettings {
  int64_t rank = 0;
  std::vector<Setting> settings;  // as the rank has them in effect
};
struct NodeDescription {
  std::string endpoint;  // as the coordinator calls it; empty from a node itself
  std::string model;
  std::vector<Setting> settings;  // as the node has them in effect
  std::vector<RankSettings> ranks;
  std::string state = {};  // from a coordinator, as in cluster_status; empty from a node itself
};

// A coordinator introduces itself to a node; the node answers Welcome.
struct Hello {
  std::vector<int64_t> versions = {kProtocolVersion};
  std::string role = "coordinator";
};
struct Welcome {
  int64_t version = kProtocolVersion;
  uint64_t epoch = 0;  // differs after every restart of the node
  std::string fingerprint;
  std::vector<ModelInfo> models;
  int64_t block_size = 16;
  int64_t n_kv_blocks = 0;
  int64_t max_num_seqs = 0;
  std::string backend;
  bool new_peer = false;  // the first on this connection: what an earlier one carried was cancelled
  std::string events,
      events_replay;  // endpoints of the KV events, as the node binds them; or empty
  std::optional<NodeDescription> description = {};  // a node's, for coordinators
  std::optional<int64_t> max_num_queued_reqs = {};  // a node's: requests that may wait at once
};

// Every 250 ms from a node to each coordinator that said hello; also the reply to StatusRequest
// (then with its request_id). Counters only grow within an epoch.
struct Heartbeat {
  std::string request_id;
  uint64_t epoch = 0;
  uint64_t step = 0;
  int64_t n_running = 0, n_waiting = 0;
  int64_t n_blocks_total = 0, n_blocks_free = 0, n_blocks_cached = 0, n_blocks_active = 0;
  uint64_t n_prompt_tokens = 0, n_cached_tokens = 0, n_output_tokens = 0;
  bool draining = false;
  // KV event batches so far, and the sum of the hashes of what is resident after them.
  uint64_t kv_seq = 0, kv_digest = 0;
  // Grows with every turn of the engine and every band of work inside a step, and stands still
  // while the node is idle or hangs. 0 = the node does not say.
  uint64_t progress = 0;

  bool operator==(const Heartbeat&) const = default;
};

// The coordinator's reply to StatusRequest.
struct NodeStatus {
  std::string endpoint;
  std::string state;  // "connecting", "ready", "stalled", "suspect", "dead", "draining"
  std::string model;
  std::string fingerprint;
  Heartbeat load;
};
struct ClusterStatus {
  std::string request_id;
  std::vector<NodeStatus> nodes;
  int64_t n_requests_running = 0;
};

// Frees cached blocks: of everything ("all"), of one model ("model", with `model`), charged to one
// tenant ("tenant", with `tenant`), or of the prompts with one cache_salt ("salt", with
// `cache_salt`; empty = those without).
struct ClearKvCache {
  std::string request_id;
  std::string scope = "all";
  std::string model;
  std::string tenant;
  std::string cache_salt;
};
struct Slot {  // a choice of a live request
  std::string request_id;
  uint32_t choice = 0;
  std::string state;  // "waiting", "prefilling", "decoding", "retiring"
  uint64_t prompt_tokens = 0, cached_tokens = 0, computed_tokens = 0, output_tokens = 0;
  int64_t n_blocks = 0;
};
struct KvCacheCleared {
  std::string request_id;
  int64_t n_cleared = 0;       // blocks that were cached and are free now
  int64_t n_host_cleared = 0;  // likewise, of host memory
  int64_t n_busy = 0;          // blocks that stay: running sequences use them
  std::vector<Slot> busy;      // those sequences
};

struct SlotsRequest {
  std::string request_id;
};
struct SlotList {  // running ones first
  std::string request_id;
  std::vector<Slot> slots;
};

struct DescribeRequest {
  std::string request_id;
};
struct Description {
  std::string request_id;
  std::vector<NodeDescription> nodes;
};

using Message = std::variant<Generate, Accepted, Tokens, TokensBatch, Done, ErrorReply, Cancel,
                             StatusRequest, ModelsRequest, Models, Tokenize, Tokenized, Detokenize,
                             Detokenized, Hello, Welcome, Heartbeat, ClusterStatus, ClearKvCache,
                             KvCacheCleared, SlotsRequest, SlotList, DescribeRequest, Description>;

// The `type` on the wire, in the variant's order: "generate", "accepted", "tokens",
// "tokens_batch", "done", "error", "cancel", "status", "list_models", "models", "tokenize",
// "tokenized", "detokenize", "detokenized", "hello", "welcome", "heartbeat", "cluster_status",
// "clear_kv_cache", "kv_cache_cleared", "slots", "slot_list", "describe", "description".
const char* type_name(const Message& message);

}  // namespace lockstep::wire
