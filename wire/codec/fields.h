// Lists the fields of every message, each named once. The encoder and the decoder are visitors of
// these lists. A visitor has these functions:
//   request_id(f)      always written; must be present, 1..kMaxRequestIdBytes bytes
//   required(name, f)  always written; must be present
//   field(name, f)     may be absent or nil, then the struct's default stays; an empty string, an
//                      empty list and an unset optional are not written
//   bytes(name, f)     as field, but a byte string: not necessarily UTF-8, and written when empty
//   prompt(…)          one field that holds either a text or a list of token ids
#pragma once

#include "wire/limits.h"
#include "wire/messages.h"

namespace lockstep::wire {

template <class M>
struct Fields;

template <>
struct Fields<ChatMessage> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("role", m.role);
    v.required("content", m.content);
    v.field("name", m.name);
  }
};

template <>
struct Fields<CacheRetention> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("priority", m.priority);
    v.required("seconds", m.seconds);
  }
};

template <>
struct Fields<EmittedChoice> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("ids", m.ids);
    v.field("finish_reason", m.finish_reason);
  }
};

template <>
struct Fields<Generate> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("model", m.model);
    v.prompt("prompt", m.prompt_text, m.prompt_ids);
    v.field("messages", m.messages);
    v.field("max_tokens", m.max_tokens);
    v.field("min_tokens", m.min_tokens);
    v.field("temperature", m.temperature);
    v.field("top_p", m.top_p);
    v.field("min_p", m.min_p);
    v.field("top_k", m.top_k);
    v.field("repetition_penalty", m.repetition_penalty);
    v.field("presence_penalty", m.presence_penalty);
    v.field("frequency_penalty", m.frequency_penalty);
    v.field("seed", m.seed);
    v.field("n", m.n);
    v.field("first_choice", m.first_choice);
    v.field("stop", m.stop);
    v.field("stop_token_ids", m.stop_token_ids);
    v.field("include_stop_str_in_output", m.include_stop_str_in_output);
    v.field("skip_special_tokens", m.skip_special_tokens);
    v.field("ignore_eos", m.ignore_eos);
    v.field("cache_prompt", m.cache_prompt);
    v.field("cache_salt", m.cache_salt);
    v.field("tenant", m.tenant);
    v.field("priority", m.priority);
    v.field("deadline_ms", m.deadline_ms);
    v.field("cache_retention", m.cache_retention);
    v.field("return_token_ids", m.return_token_ids);
    v.field("logprobs", m.logprobs);
    v.field("add_special_tokens", m.add_special_tokens);
    v.field("prompt_cache_key", m.prompt_cache_key);
    v.field("return_route_receipt", m.return_route_receipt);
    v.field("emitted", m.emitted);
    v.field("attempt", m.attempt);
  }
};

template <>
struct Fields<Attach> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    Fields<Generate>::visit(v, m);
    v.required("resume_token", m.resume_token);
    v.required("index", m.index);
  }
};

template <>
struct Fields<Accepted> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("seed", m.seed);
    v.field("resume_token", m.resume_token);
    v.field("prompt_token_ids", m.prompt_token_ids);
    v.required("prompt_tokens", m.prompt_tokens);
    v.field("max_tokens", m.max_tokens);
    v.field("fingerprint", m.fingerprint);
    v.field("route_receipt", m.route_receipt);
  }
};

template <>
struct Fields<TopLogprob> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("id", m.id);
    v.bytes("bytes", m.bytes);
    v.required("logprob", m.logprob);
  }
};

template <>
struct Fields<TokenLogprobs> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.bytes("bytes", m.bytes);
    v.required("logprob", m.logprob);
    v.field("top", m.top);
    v.field("special", m.special);
  }
};

template <>
struct Fields<Tokens> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("choice", m.choice);
    v.required("first_index", m.first_index);
    v.required("ids", m.ids);
    v.required("text", m.text);
    v.field("epoch", m.epoch);
    v.field("attempt", m.attempt);
    v.field("logprobs", m.logprobs);
    v.field("finish_reason", m.finish_reason);
    v.field("stop_string", m.stop_string);
    v.field("stop_token", m.stop_token);
  }
};

template <>
struct Fields<TokensBatch> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("items", m.items);
  }
};

template <>
struct Fields<Usage> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("prompt_tokens", m.prompt_tokens);
    v.required("cached_tokens", m.cached_tokens);
    v.required("completion_tokens", m.completion_tokens);
  }
};

template <>
struct Fields<CacheReceipt> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("outcome", m.outcome);
    v.required("matched_tokens", m.matched_tokens);
    v.required("divergent_at", m.divergent_at);
    v.field("evicted_seconds", m.evicted_seconds);
  }
};

template <>
struct Fields<Done> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("reason", m.reason);
    v.required("usage", m.usage);
    v.field("cache_receipt", m.cache_receipt);
  }
};

template <>
struct Fields<ErrorReply> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.field("request_id", m.request_id);
    v.required("code", m.code);
    v.required("message", m.message);
    v.field("param", m.param);
  }
};

template <>
struct Fields<Cancel> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
  }
};

template <>
struct Fields<StatusRequest> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
  }
};

template <>
struct Fields<ModelsRequest> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
  }
};

template <>
struct Fields<DefaultSamplingParams> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.field("temperature", m.temperature);
    v.field("top_p", m.top_p);
    v.field("min_p", m.min_p);
    v.field("top_k", m.top_k);
    v.field("repetition_penalty", m.repetition_penalty);
  }
};

template <>
struct Fields<ModelInfo> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("id", m.id);
    v.field("created", m.created);
    v.field("max_model_len", m.max_model_len);
    v.field("default_sampling_params", m.default_sampling_params);
  }
};

template <>
struct Fields<Models> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("models", m.models);
  }
};

template <>
struct Fields<Tokenize> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("model", m.model);
    v.field("prompt", m.prompt);
    v.field("messages", m.messages);
    v.field("add_special_tokens", m.add_special_tokens);
    v.field("return_token_strs", m.return_token_strs);
  }
};

template <>
struct Fields<Tokenized> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("tokens", m.tokens);
    v.bytes("token_strs", m.token_strs);
    v.required("max_model_len", m.max_model_len);
  }
};

template <>
struct Fields<Detokenize> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("model", m.model);
    v.required("tokens", m.tokens);
  }
};

template <>
struct Fields<Detokenized> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("prompt", m.prompt);
  }
};

template <>
struct Fields<Hello> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("versions", m.versions);
    v.required("role", m.role);
  }
};

template <>
struct Fields<Welcome> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("version", m.version);
    v.required("epoch", m.epoch);
    v.required("fingerprint", m.fingerprint);
    v.required("models", m.models);
    v.required("block_size", m.block_size);
    v.required("n_kv_blocks", m.n_kv_blocks);
    v.required("max_num_seqs", m.max_num_seqs);
    v.field("backend", m.backend);
    v.field("description", m.description);
    v.field("new_peer", m.new_peer);
    v.field("events", m.events);
    v.field("events_replay", m.events_replay);
    v.field("max_num_queued_reqs", m.max_num_queued_reqs);
    v.field("text_fingerprint", m.text_fingerprint);
  }
};

template <>
struct Fields<StepTimes> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("base", m.base);
    v.required("prompt_token", m.prompt_token);
    v.required("prompt_context", m.prompt_context);
    v.required("sequence", m.sequence);
    v.required("context", m.context);
  }
};

template <>
struct Fields<Heartbeat> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.field("request_id", m.request_id);
    v.required("epoch", m.epoch);
    v.required("step", m.step);
    v.field("n_running", m.n_running);
    v.field("n_waiting", m.n_waiting);
    v.field("n_blocks_total", m.n_blocks_total);
    v.field("n_blocks_free", m.n_blocks_free);
    v.field("n_blocks_cached", m.n_blocks_cached);
    v.field("n_blocks_active", m.n_blocks_active);
    v.field("n_prompt_tokens", m.n_prompt_tokens);
    v.field("n_cached_tokens", m.n_cached_tokens);
    v.field("n_output_tokens", m.n_output_tokens);
    v.field("draining", m.draining);
    v.field("kv_seq", m.kv_seq);
    v.field("kv_digest", m.kv_digest);
    v.field("step_times", m.step_times);
    v.field("n_prompt_tokens_pending", m.n_prompt_tokens_pending);
    v.field("n_context_tokens", m.n_context_tokens);
    v.field("progress", m.progress);
  }
};

template <>
struct Fields<NodeStatus> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("endpoint", m.endpoint);
    v.required("state", m.state);
    v.field("model", m.model);
    v.field("fingerprint", m.fingerprint);
    v.field("load", m.load);
  }
};

template <>
struct Fields<ClusterStatus> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("nodes", m.nodes);
    v.field("n_requests_running", m.n_requests_running);
  }
};

template <>
struct Fields<ClearKvCache> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.field("scope", m.scope);
    v.field("model", m.model);
    v.field("tenant", m.tenant);
    v.field("cache_salt", m.cache_salt);
  }
};

template <>
struct Fields<Slot> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("choice", m.choice);
    v.required("state", m.state);
    v.required("prompt_tokens", m.prompt_tokens);
    v.required("cached_tokens", m.cached_tokens);
    v.required("computed_tokens", m.computed_tokens);
    v.required("output_tokens", m.output_tokens);
    v.required("n_blocks", m.n_blocks);
  }
};

template <>
struct Fields<KvCacheCleared> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("n_cleared", m.n_cleared);
    v.required("n_host_cleared", m.n_host_cleared);
    v.required("n_busy", m.n_busy);
    v.field("busy", m.busy);
  }
};

template <>
struct Fields<SlotsRequest> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
  }
};

template <>
struct Fields<SlotList> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("slots", m.slots);
  }
};

template <>
struct Fields<DescribeRequest> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
  }
};

template <>
struct Fields<Setting> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("name", m.name);
    v.required("value", m.value);
  }
};

template <>
struct Fields<RankSettings> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.required("rank", m.rank);
    v.required("settings", m.settings);
  }
};

template <>
struct Fields<NodeDescription> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.field("endpoint", m.endpoint);
    v.required("model", m.model);
    v.required("settings", m.settings);
    v.required("ranks", m.ranks);
    v.field("state", m.state);
  }
};

template <>
struct Fields<Description> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("nodes", m.nodes);
  }
};

template <>
struct Fields<DescribeText> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
  }
};

template <>
struct Fields<TextDescription> {
  template <class V, class M>
  static void visit(V& v, M& m) {
    v.request_id(m.request_id);
    v.required("text_fingerprint", m.text_fingerprint);
    v.bytes("data", m.data);
  }
};

}  // namespace lockstep::wire
