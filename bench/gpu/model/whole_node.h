// WholeNode: a node without its service and without text: the engine over rank threads and a model.
// Its requests' ids and log-probabilities are collected. Used by one thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "node/engine/core/engine_core.h"
#include "node/model/model_file.h"
#include "node/model/rank/rank_group.h"

namespace lockstep::gpu_check {

struct NodeSetting {
  std::shared_ptr<const DeviceProvider> devices = cpu_devices();
  int n_ranks = 1;
  int threads_per_rank = 1;
  DType kv_dtype = DType::kK16V8;
  int32_t block_size = 16;
  int32_t chunk = 64;         // tokens of a step
  int32_t pool_tokens = 600;  // that the KV pool can hold
  int32_t host_tokens = 0;    // that the host tier can hold
  bool prefix_cache = true;
};

struct Answer {
  std::vector<int32_t> ids;
  std::vector<float> logprobs;
  std::string error;                           // empty if it has ended as it should
  bool operator==(const Answer& other) const;  // logprobs by their bits
};

// Ids without text.
class IdsOnly final : public Tokenizer {
 public:
  explicit IdsOnly(int64_t vocab_size) : vocab_size_(static_cast<int32_t>(vocab_size)) {}
  std::vector<int32_t> encode(std::string_view, bool, bool) const override { return {}; }
  std::vector<int32_t> encode_chat(const MarkedText&) const override { return {}; }
  std::string_view token_bytes(int32_t, bool) const override { return {}; }
  std::string decode(const std::vector<int32_t>&, bool) const override { return {}; }
  int32_t vocab_size() const override { return vocab_size_; }
  int32_t bos_id() const override { return -1; }
  int32_t eos_id() const override { return -1; }
  const std::vector<int32_t>& end_ids() const override { return none_; }
  const std::string& chat_template() const override { return empty_; }

 private:
  const int32_t vocab_size_;
  const std::vector<int32_t> none_;
  const std::string empty_;
};

class WholeNode final : public EngineSink {
 public:
  // `file` must outlive the node. Throws LoadError.
  WholeNode(const ModelFile& file, const NodeSetting& setting);

  // Greedy if the seed is even, else sampled; with penalties, which read the whole context.
  void ask(uint64_t id, const std::vector<int32_t>& prompt, int32_t n_outputs, uint64_t seed);
  void run();  // until all answers have ended
  const Answer& answer(uint64_t id) { return answers_[id]; }
  EngineSnapshot snapshot() const { return core_->snapshot(); }

  void on_events(const EventBatch& batch) override;

 private:
  const RankGroupConfig config_;
  MemoryLedger ledger_;
  RankGroup ranks_;
  const IdsOnly tokenizer_;
  const SteadyClock clock_;
  std::unique_ptr<EngineCore> core_;
  std::map<uint64_t, Answer> answers_;
};

}  // namespace lockstep::gpu_check
