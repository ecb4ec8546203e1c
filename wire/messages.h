// The messages of the wire protocol (docs/wire-protocol.md) as plain structs. On the wire, a
// message is one MessagePack map, {"v":1,"type":…,…}, in one ZeroMQ frame; codec.h encodes and
// decodes it. The member names below are the field names on the wire. The decoder skips unknown
// fields and gives absent optional fields their default. Plain data; docs/wire-protocol.md says
// which side sends which message.
#pragma once

#include <array>
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
  int64_t priority = 0;  // within kRetentionPriorityRange
  int64_t seconds = 0;   // within kRetentionSecondsRange
  friend bool operator==(const CacheRetention&, const CacheRetention&) = default;
};

// The output of one choice that the client already has.
struct EmittedChoice {
  std::vector<int32_t> ids;                  // all of the choice's output tokens so far
  std::optional<std::string> finish_reason;  // "stop" or "length" if the choice has ended
  // Not on the wire. Within a coordinator: the number of outputs that the client has, if it has
  // them from another coordinator, so that their ids are not known here.
  std::optional<uint32_t> count = std::nullopt;
  friend bool operator==(const EmittedChoice&, const EmittedChoice&) = default;
};

// A generation request. Its fields have the names of the HTTP API, without nesting. Exactly one of
// prompt_text, prompt_ids, messages is set. On the wire, prompt_text and prompt_ids are both named
// `prompt`: a string or an array of ids. `messages` is an array of maps.
struct Generate {
  std::string request_id;  // chosen by the sender, unique among its live requests, 1..128 bytes
  std::string model;
  std::optional<std::string> prompt_text;
  std::optional<std::vector<int32_t>> prompt_ids;
  std::optional<std::vector<ChatMessage>> messages;
  std::optional<int64_t> max_tokens;
  int64_t min_tokens = 0;
  // Absent: the node's default, which is the model file's if it has one, else the one that
  // docs/wire-protocol.md documents.
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
  double presence_penalty = 0.0;
  double frequency_penalty = 0.0;
  std::optional<uint64_t> seed;
  int64_t n = 1;  // number of choices: independent outputs for the one prompt
  // For a prompt that shares seed and n with other prompts of one HTTP request: the index of this
  // prompt's first choice among the choices of all those prompts. It makes every choice draw
  // different random numbers. Absent = 0.
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
  int64_t logprobs = -1;           // -1: none; 0: the sampled token's; n: the n best as well
  bool add_special_tokens = true;  // for a text prompt: the tokens that the tokenizer adds
  // [n], or empty if nothing was emitted. The node continues each choice behind these tokens. Sent
  // to nodes; a coordinator refuses it from a client.
  std::vector<EmittedChoice> emitted;
  uint32_t attempt = 0;  // runs of the request before this one; repeated in Tokens::attempt
  // For coordinators. Requests with equal keys go to the same node where that costs little; at most
  // kMaxPromptCacheKeyBytes.
  std::string prompt_cache_key;
  bool return_route_receipt = false;  // fills Accepted::route_receipt
  friend bool operator==(const Generate&, const Generate&) = default;
};

struct Accepted {
  std::string request_id;
  uint64_t seed = 0;
  std::string resume_token;               // for Attach; empty from a node
  std::vector<int32_t> prompt_token_ids;  // set if return_token_ids
  uint64_t prompt_tokens = 0;
  // The request's limit of output tokens per choice, or the node's if the request has none. A
  // resume must repeat it: nodes of one fingerprint may have room for different lengths.
  uint64_t max_tokens = 0;
  std::string fingerprint = {};  // of the nodes that may run the request; empty from a node
  // Why the coordinator chose the node: JSON (docs/routing.md). Set if return_route_receipt.
  std::string route_receipt = {};
};

// A request that goes on, at any coordinator, after the client lost the connection to the one that
// served it: the request as it was, and how much of its output the client has.
struct Attach : Generate {
  std::string resume_token;     // of the request's Accepted
  std::vector<uint32_t> index;  // [n]: the number of each choice's ids that the client has
};

struct TopLogprob {
  int32_t id = 0;
  std::string bytes;
  float logprob = 0;
};
struct TokenLogprobs {
  std::string bytes;  // the sampled token's bytes; may be part of a UTF-8 character
  float logprob = 0;
  std::vector<TopLogprob> top;
  bool special = false;  // a control token; the text omits it if skip_special_tokens is set
};

// New output of one choice. finish_reason is set on the choice's last message.
struct Tokens {
  std::string request_id;
  uint32_t choice = 0;
  uint32_t first_index = 0;  // number of the choice's ids that were sent before
  std::vector<int32_t> ids;
  std::string text;                          // the text of this message only
  uint64_t epoch = 0;                        // of the node process, as in Welcome
  uint32_t attempt = 0;                      // as in Generate
  std::vector<TokenLogprobs> logprobs;       // [ids.size()] if requested
  std::optional<std::string> finish_reason;  // "stop", "length", "cancelled", "error"
  std::optional<std::string> stop_string;    // the stop string that ended the choice, if one did
  std::optional<int32_t> stop_token;         // the token that ended the choice, if one did
};

// The output of one or more engine steps for all of a coordinator's requests, in one message (node
// to coordinator).
struct TokensBatch {
  std::vector<Tokens> items;
};

struct Usage {
  uint64_t prompt_tokens = 0;
  uint64_t cached_tokens = 0;
  uint64_t completion_tokens = 0;
};

// How much of a prompt was found in the prefix cache, and why not more.
struct CacheReceipt {
  std::string outcome;                    // "hit", "never_seen", "evicted", "not_committed", "off"
  uint64_t matched_tokens = 0;            // prompt tokens that were read from the cache
  uint64_t divergent_at = 0;              // position of the first token that was not cached
  std::optional<double> evicted_seconds;  // if evicted: seconds since the eviction
};

// The final message of a request that ran to its end or was cancelled. `reason` is choice 0's
// finish_reason, or "cancelled".
struct Done {
  std::string request_id;
  std::string reason;
  Usage usage;
  std::optional<CacheReceipt> cache_receipt = std::nullopt;  // absent if the request never ran
};

// The final message of a request that was refused or failed. An empty request_id means that the
// error is about a message without a readable id.
struct ErrorReply {
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

// The defaults for fields of the same names that a request leaves out. An absent member means the
// documented default.
struct DefaultSamplingParams {
  std::optional<double> temperature, top_p, min_p;
  std::optional<int64_t> top_k;
  std::optional<double> repetition_penalty;
};
struct ModelInfo {
  std::string id;
  uint64_t created = 0;  // seconds since 1970
  uint64_t max_model_len = 0;
  // Absent if the model's file recommends no parameters.
  std::optional<DefaultSamplingParams> default_sampling_params = std::nullopt;
};
struct Models {
  std::string request_id;
  std::vector<ModelInfo> models;
};

// Exactly one of prompt and messages is set.
struct Tokenize {
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
  std::string name;  // the key in the settings file
  std::string value;
};
struct RankSettings {
  int64_t rank = 0;
  std::vector<Setting> settings;  // the values in effect at the rank
};
struct NodeDescription {
  std::string endpoint;  // the endpoint in the coordinator's settings; empty from a node itself
  std::string model;
  std::vector<Setting> settings;  // the values in effect at the node
  std::vector<RankSettings> ranks;
  std::string state = {};  // as in cluster_status; empty from a node itself
};

// The first message of a coordinator to a node. The node answers with Welcome.
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
  // The first welcome on this connection; the requests of an earlier connection were cancelled.
  bool new_peer = false;
  // The endpoints of the KV events as the node binds them; empty if it publishes none.
  std::string events, events_replay;
  std::optional<NodeDescription> description = {};  // from nodes to coordinators only
  std::optional<int64_t> max_num_queued_reqs = {};  // from nodes: requests that may wait at once
  // From nodes: the hash of the data in TextDescription; empty if the node publishes none.
  std::string text_fingerprint = {};
};

// A node's own estimate of how long an engine step takes, in milliseconds, fitted to its latest
// steps:
//   base + prompt_token · Σ p + prompt_context · Σ p·(c + p/2) + sequence · n + context · Σ length
// over the chunks of prompts in the step (p tokens behind c tokens of context), and over its n
// decoding sequences. A node sends finite values >= 0; a receiver ignores any others.
struct StepTimes {
  double base = 0, prompt_token = 0, prompt_context = 0, sequence = 0, context = 0;

  bool operator==(const StepTimes&) const = default;
};

// A node sends a heartbeat every 250 ms to each coordinator that sent a hello. It is also a node's
// reply to StatusRequest, then with the request's request_id. Counters only grow within an epoch.
struct Heartbeat {
  std::string request_id;
  uint64_t epoch = 0;
  uint64_t step = 0;  // steps that the engine has run, failed ones included
  int64_t n_running = 0, n_waiting = 0;
  int64_t n_blocks_total = 0, n_blocks_free = 0, n_blocks_cached = 0, n_blocks_active = 0;
  uint64_t n_prompt_tokens = 0, n_cached_tokens = 0, n_output_tokens = 0;
  bool draining = false;
  // The number of KV event batches so far, and the sum of the hashes of the blocks that are
  // resident after those batches.
  uint64_t kv_seq = 0, kv_digest = 0;
  // Grows with every turn of the engine loop and every band of work inside a step. It stands still
  // while the node is idle or hangs. 0 = the node does not report it.
  uint64_t progress = 0;
  std::optional<StepTimes> step_times = std::nullopt;  // absent until enough steps have run
  // Prompt tokens that are still to be computed, of running and waiting sequences. Tokens that are
  // known to be cached do not count.
  int64_t n_prompt_tokens_pending = 0;
  int64_t n_context_tokens = 0;  // tokens of context of the sequences that decode

  bool operator==(const Heartbeat&) const = default;
};

// One node in ClusterStatus.
struct NodeStatus {
  std::string endpoint;
  std::string state;  // "connecting", "ready", "stalled", "suspect", "dead", "draining"
  std::string model;
  std::string fingerprint;
  Heartbeat load;
};

// The coordinator's reply to StatusRequest.
struct ClusterStatus {
  std::string request_id;
  std::vector<NodeStatus> nodes;
  int64_t n_requests_running = 0;
};

// Frees cached blocks. `scope` selects them: "all" blocks, those of one model ("model", with
// `model`), those charged to one tenant ("tenant", with `tenant`), or those of the prompts with one
// cache_salt ("salt", with `cache_salt`; empty = prompts without a salt).
struct ClearKvCache {
  std::string request_id;
  std::string scope = "all";
  std::string model;
  std::string tenant;
  std::string cache_salt;
};

// One choice of a live request, as llama.cpp's /slots shows it. (Not the SeqSlot of a sequence, nor
// a slot of the KV cache.)
struct Slot {
  std::string request_id;
  uint32_t choice = 0;
  std::string state;  // "waiting", "prefilling", "decoding", "retiring"
  uint64_t prompt_tokens = 0, cached_tokens = 0, computed_tokens = 0, output_tokens = 0;
  int64_t n_blocks = 0;
};
struct KvCacheCleared {
  std::string request_id;
  int64_t n_cleared = 0;       // blocks that were cached and are free now
  int64_t n_host_cleared = 0;  // blocks in host memory that were cached and are free now
  int64_t n_busy = 0;          // blocks that stay, because running sequences use them
  std::vector<Slot> busy;      // the running sequences that use them
};

struct SlotsRequest {
  std::string request_id;
};
struct SlotList {
  std::string request_id;
  std::vector<Slot> slots;  // running sequences first
};

struct DescribeRequest {
  std::string request_id;
};
struct Description {
  std::string request_id;
  std::vector<NodeDescription> nodes;
};

// A coordinator asks a node for what it needs to turn text into token ids as the node does.
struct DescribeText {
  std::string request_id;
};
struct TextDescription {
  std::string request_id;
  std::string text_fingerprint;  // as in Welcome
  std::string data;              // bytes: write_text_data of node/text/prompt/text_data.h
};

using Message =
    std::variant<Generate, Accepted, Tokens, TokensBatch, Done, ErrorReply, Cancel, StatusRequest,
                 ModelsRequest, Models, Tokenize, Tokenized, Detokenize, Detokenized, Hello,
                 Welcome, Heartbeat, ClusterStatus, ClearKvCache, KvCacheCleared, SlotsRequest,
                 SlotList, DescribeRequest, Description, Attach, DescribeText, TextDescription>;

// The `type` of each message on the wire, in the order of the variant.
inline constexpr std::array<const char*, std::variant_size_v<Message>> kTypeNames = {
    "generate",      "accepted",        "tokens",         "tokens_batch",   "done",
    "error",         "cancel",          "status",         "list_models",    "models",
    "tokenize",      "tokenized",       "detokenize",     "detokenized",    "hello",
    "welcome",       "heartbeat",       "cluster_status", "clear_kv_cache", "kv_cache_cleared",
    "slots",         "slot_list",       "describe",       "description",    "attach",
    "describe_text", "text_description"};

inline const char* type_name(const Message& message) { return kTypeNames[message.index()]; }

}  // namespace lockstep::wire
