// The sampler's runs of rows, and rows that name what is not there.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "bench/gpu/side.h"
#include "kernels/cuda/device/devices.h"
#include "kernels/cuda/device/launches.h"
#include "kernels/sampling.h"
#include "tests/cuda_emulation/emulator.h"

namespace lockstep {
namespace {

using cuda_emulation::KernelFault;
using gpu_check::DeviceSide;
using gpu_check::Random;
using gpu_check::ReferenceSide;
using gpu_check::Side;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Rows of a small vocabulary, some with penalties, and what sampling them takes.
struct Rows {
  static constexpr int64_t kRows = 7, kVocab = 40, kModelLen = 16;
  Random random{1};
  std::vector<float> logits = random.activations(kRows * kVocab);
  std::vector<SamplingRow> rows{static_cast<size_t>(kRows)};
  std::vector<int32_t> token_ids = std::vector<int32_t>(kRows * kModelLen, 3);
  std::vector<int32_t> banned{5}, ids = std::vector<int32_t>(kRows, -1);
  std::vector<int32_t> top_ids = std::vector<int32_t>(kRows * kMaxTopLogprobs, -1);
  std::vector<float> logprobs = std::vector<float>(kRows, -1.0f);
  std::vector<float> top_logprobs = std::vector<float>(top_ids.size(), -1.0f);
  std::vector<uint8_t> finite = std::vector<uint8_t>(kRows, 9);

  Rows() {
    for (int32_t i = 0; i < kRows; ++i) {
      SamplingRow& row = rows[static_cast<size_t>(i)];
      row.seq_slot = i;
      row.n_known = 4;
      row.n_logprobs = 3;
      row.seed = static_cast<uint64_t>(i);
      row.presence_penalty = i % 2 == 0 ? 1.0f : 0.0f;
      row.top_k = i % 3 == 0 ? 5 : 0;
    }
  }
  SampleArgs args(Side& side) {
    SampleArgs args;
    args.logits = side.in(logits, {kRows, kVocab});
    args.rows = side.place(rows);
    args.banned = side.in(banned, {1});
    args.needs = needs_of(rows);
    args.token_ids = side.out("token_ids", token_ids, {kRows, kModelLen});
    args.ids = side.out("ids", ids, {kRows});
    args.logprobs = side.out("logprobs", logprobs, {kRows});
    args.top_ids = side.out("top_ids", top_ids, {kRows, kMaxTopLogprobs});
    args.top_logprobs = side.out("top_logprobs", top_logprobs, {kRows, kMaxTopLogprobs});
    args.finite = side.out("finite", finite, {kRows});
    return args;
  }
};

class CudaSample : public testing::Test {
 protected:
  // Rows of which `change` has changed the second one end in a trap.
  template <class Change>
  void expect_trap(const Change& change) {
    Rows rows;
    change(rows.rows[1]);
    EXPECT_THAT(
        [&] {
          DeviceSide side(*device_, *stream_);
          sample(rows.args(side), *stream_);
        },
        ThrowsMessage<KernelFault>(HasSubstr("trap: device_check")));
  }
  MemoryLedger ledger_;
  std::unique_ptr<Device> device_ = cuda::open_device(0);
  std::unique_ptr<Stream> stream_ =
      device_->make_stream({.max_samples = Rows::kRows, .vocab_size = Rows::kVocab}, ledger_);
};

TEST_F(CudaSample, ScratchOfAnySizeGivesTheSameIds) {
  Rows rows;
  ReferenceSide reference;
  sample(rows.args(reference), reference.stream());
  const auto expected = reference.outputs();
  for (const int64_t n_rows : {1, 2, 5, 100}) {
    Rows again;
    DeviceSide side(*device_, *stream_);
    std::vector<float> scratch(
        static_cast<size_t>(n_rows * cuda::sample_scratch_floats(Rows::kVocab)), NAN);
    cuda::sample(again.args(side), {scratch.data(), std::ssize(scratch)}, nullptr);
    const auto difference = gpu_check::compare(expected, side.outputs());
    EXPECT_EQ(difference.n_different, 0) << n_rows << " rows, first " << difference.first;
  }
}

TEST_F(CudaSample, ARowOutsideTheTokensOrTheBannedIdsTraps) {
  expect_trap([](SamplingRow& row) { row.seq_slot = Rows::kRows; });
  expect_trap([](SamplingRow& row) { row.seq_slot = -1; });
  expect_trap([](SamplingRow& row) { row.n_known = Rows::kModelLen; });
  expect_trap([](SamplingRow& row) { row.n_known = -1; });
  expect_trap([](SamplingRow& row) { row.n_banned = 2; });
  expect_trap([](SamplingRow& row) { row.banned_first = row.n_banned = 1; });
}

}  // namespace
}  // namespace lockstep
