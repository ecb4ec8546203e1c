#include "bench/gpu/model/whole_node.h"

#include <cstring>
#include <utility>

#include "common/units.h"
#include "node/engine/queue/admission.h"

namespace lockstep::gpu_check {
namespace {

constexpr int32_t kMaxSeqs = 4;
constexpr int32_t kMaxModelLen = 320;

RankGroupConfig config_of(const NodeSetting& s) {
  RankGroupConfig config;
  config.devices = s.devices;
  config.n_ranks = s.n_ranks;
  config.threads_per_rank = s.threads_per_rank;
  config.kv_dtype = s.kv_dtype;
  config.n_kv_blocks = static_cast<int32_t>(ceil_div(s.pool_tokens, s.block_size));
  config.collective_ticks = 200;  // 20 s
  config.limits = {.max_tokens = std::max(s.chunk, kMaxSeqs),
                   .max_seqs = kMaxSeqs,
                   .max_samples = kMaxSeqs,
                   .max_model_len = kMaxModelLen,
                   .block_size = s.block_size,
                   .max_banned = 4,
                   .n_host_kv_blocks = static_cast<int32_t>(ceil_div(s.host_tokens, s.block_size))};
  return config;
}

}  // namespace

bool Answer::operator==(const Answer& other) const {
  return ids == other.ids && error == other.error && logprobs.size() == other.logprobs.size() &&
         std::memcmp(logprobs.data(), other.logprobs.data(), logprobs.size() * sizeof(float)) == 0;
}

WholeNode::WholeNode(const ModelFile& file, const NodeSetting& setting)
    : config_(config_of(setting)),
      ranks_(file, config_, ledger_),
      tokenizer_(file.config().shape.vocab_size) {
  core_ =
      std::make_unique<EngineCore>(EngineConfig{.limits = config_.limits,
                                                .n_kv_blocks = config_.n_kv_blocks,
                                                .max_steps_in_flight = ranks_.max_steps_in_flight(),
                                                .prefix_cache = setting.prefix_cache},
                                   ranks_, tokenizer_, clock_, *this);
}

void WholeNode::ask(uint64_t id, const std::vector<int32_t>& prompt, int32_t n_outputs,
                    uint64_t seed) {
  SamplingParams sampling;
  sampling.temperature = seed % 2 == 0 ? 0.0f : 0.8f;
  sampling.repetition_penalty = 1.2f;
  sampling.presence_penalty = 0.3f;
  sampling.seed = seed;
  sampling.max_tokens = n_outputs;
  sampling.n_logprobs = 0;
  sampling.ignore_eos = true;
  GenerationRequest request{RequestId{id}, prompt, sampling};
  CHECK(Admission(config_.limits, config_.n_kv_blocks, tokenizer_).check(request));
  answers_[id] = {};
  core_->accept(std::make_unique<LiveRequest>(std::move(request), kMaxModelLen));
}

void WholeNode::run() {
  while (!core_->idle()) {
    core_->start();
    core_->finish();
  }
}

void WholeNode::on_events(const EventBatch& batch) {
  for (const ChoiceEvent& event : batch.choices) {
    Answer& to = answers_[static_cast<uint64_t>(event.request)];
    to.ids.insert(to.ids.end(), event.ids.begin(), event.ids.end());
    to.logprobs.insert(to.logprobs.end(), event.logprobs.begin(), event.logprobs.end());
  }
  for (const RequestEnd& end : batch.ends) {
    if (end.reason == FinishReason::kLength) continue;
    answers_[static_cast<uint64_t>(end.request)].error =
        end.message.empty() ? "it ended early" : end.message;
  }
}

}  // namespace lockstep::gpu_check
