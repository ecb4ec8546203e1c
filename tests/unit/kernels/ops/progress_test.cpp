// A long op consists of bands, and each band bumps the progress counter, also on one thread: a
// watchdog must not mistake a large model on a slow machine for one that hangs.
#include "common/threads/progress.h"

#include <vector>

#include "kernels/layout/packed_layout.h"
#include "tests/unit/kernels/attention_support.h"
#include "tests/unit/kernels/isa_support.h"
#include "tests/unit/kernels/linear_support.h"

namespace lockstep::testing {
namespace {

std::vector<Isa> isas_with_bands() {
  std::vector<Isa> isas;
  for (Isa isa : available_isas()) {
    if (isa != Isa::kReference) isas.push_back(isa);
  }
  return isas;
}

struct CountedStream {
  explicit CountedStream(Isa isa) {
    const StreamLimits limits{.max_tokens = 256, .max_dim = 1024, .head_dim = kMaxHeadDim};
    stream = make_cpu_stream({.isa = isa, .limits = limits, .progress = progress}, ledger);
  }
  template <class Op>
  uint64_t count(const Op& op) {
    const uint64_t before = progress[0].count();
    op(*stream);
    return progress[0].count() - before;
  }

  MemoryLedger ledger;
  std::vector<ProgressCounter> progress{1};
  std::unique_ptr<Stream> stream;
};

TEST(Progress, ALinearOpMakesSomeWithEveryPanelOfRows) {
  constexpr int64_t kPanels = 40;
  SeededRandom random(1);
  for (WeightType type : {WeightType::kF16, WeightType::kQ8_0}) {
    const PackedMatrix packed =
        pack(random_matrix(random, type, kPanels * kPanelRows, 64), {1, 0, 1});
    TestActs acts(random.activations(3 * 64), 3, 64);
    for (Isa isa : isas_with_bands()) {
      CountedStream counted(isa);
      EXPECT_GE(counted.count([&](Stream& stream) { run_linear(packed, acts, stream); }),
                static_cast<uint64_t>(kPanels));
    }
  }
}

TEST(Progress, AttentionMakesSomeWithEveryTileOfKeys) {
  constexpr int64_t kKeys = 64 * 30;
  SeededRandom random(2);
  const AttentionShape shape;
  PagedCache cache(random, shape, 1, kKeys);
  const SequenceData data(random, shape, kKeys);
  data.put_into(cache, shape, 0);
  StepRows rows;
  rows.add(shape, data, 0, kKeys - 1, kKeys);
  for (Isa isa : isas_with_bands()) {
    CountedStream counted(isa);
    EXPECT_GE(counted.count([&](Stream& stream) { attend(stream, shape, cache, rows); }), 30u);
  }
}

TEST(Progress, AnOpIsSomeHoweverSmallItIs) {
  SeededRandom random(3);
  for (Isa isa : available_isas()) {
    CountedStream counted(isa);
    std::vector<float> x = random.activations(64), out(64);
    const std::vector<int32_t> row{0};
    EXPECT_GE(counted.count([&](Stream& stream) {
      gather_rows({.x = view(x.data(), {1, 64}),
                   .rows = view(row.data(), {1}),
                   .out = view(out.data(), {1, 64})},
                  stream);
    }),
              1u);
  }
}

}  // namespace
}  // namespace lockstep::testing
