// embed, add_rms_norm, gather_rows, concat_columns, resolve_tokens, copy_blocks, finite_rows, and
// the streams themselves.
#include <algorithm>
#include <limits>

#include "kernels/cpu/cpu_ops.h"
#include "tests/support/equal_bits.h"
#include "tests/unit/kernels/isa_support.h"
#include "tests/unit/kernels/linear_support.h"

namespace lockstep::testing {
namespace {

template <class Fn>
void for_each_stream_and_reference(const Fn& fn) {
  fn(*make_stream(Isa::kReference, 1));
  for_each_stream(fn);
}

TEST(Streams, EveryInstructionSetOffersEveryOp) {
  for (Isa isa : {Isa::kReference, Isa::kPortable, Isa::kAvx2, Isa::kAvx512Vnni}) {
    const CpuOps& ops = cpu_ops(isa);
    EXPECT_TRUE(ops.embed && ops.rms_norm && ops.quantize && ops.linear && ops.add_rms_norm &&
                ops.rope_store && ops.attention && ops.silu_mul && ops.head_norm &&
                ops.gather_rows && ops.concat_columns && ops.resolve_tokens && ops.copy_blocks &&
                ops.finite_rows && ops.sample)
        << to_string(isa);
  }
}

TEST(Streams, AreNamedAfterTheirInstructionSet) {
  EXPECT_STREQ(make_stream(Isa::kPortable, 1)->name(), "cpu/portable");
  const auto isas = available_isas();
  EXPECT_EQ(isas[0], Isa::kReference);
  EXPECT_EQ(isas[1], Isa::kPortable);
  EXPECT_EQ(isas.back(), best_isa());
  for (Isa isa : isas) {
    EXPECT_EQ(std::string("cpu/") + to_string(isa), make_stream(isa, 2)->name());
  }
}

TEST(Embed, RowsAreDequantisedScaledAndNeverNegativeZero) {
  SeededRandom random(40);
  for (WeightType type : kAllTypes) {
    FileMatrix matrix = random_matrix(random, type, 30, 64);
    const PackedMatrix table = pack(matrix, {1, 0, 1});
    const std::vector<int32_t> ids{105, 100, 129, 99, 130, -1, 112, 105};
    std::vector<float> expected;
    for (int32_t id : ids) {
      std::vector<float> row(64, 0.0f);
      if (id >= 100 && id < 130) unpack_row(table.weights, id - 100, row);
      for (float& v : row) v = v * 3.5f + 0.0f;
      expected.insert(expected.end(), row.begin(), row.end());
    }
    for_each_stream_and_reference([&](Stream& stream) {
      std::vector<float> out(ids.size() * 64, -7.0f);
      embed({.ids = view(ids.data(), {8}),
             .table = table.weights,
             .first_row = 100,
             .scale = 3.5f,
             .out = view(out.data(), {8, 64})},
            stream);
      EXPECT_TRUE(equal_bits(expected, out)) << to_string(type);
      for (float v : out) EXPECT_FALSE(v == 0.0f && std::signbit(v));
    });
  }
}

// Each rank gives its own rows and zeros elsewhere. The sum over the ranks is the result of one
// rank that has all rows.
TEST(Embed, SlicesOfTheVocabularyAddUpToTheWhole) {
  SeededRandom random(41);
  const FileMatrix matrix = random_matrix(random, WeightType::kQ4_1, 40, 32);
  const PackedMatrix whole = pack(matrix, {1, 0, 1});
  FileMatrix half = matrix;
  half.n_rows = 20;
  const PackedMatrix low = pack(half, {1, 0, 1});
  half.bytes.erase(half.bytes.begin(), half.bytes.begin() + 20 * matrix.row_bytes());
  const PackedMatrix high = pack(half, {1, 0, 1});
  std::vector<int32_t> ids(40);
  for (int i = 0; i < 40; ++i) ids[i] = i;
  auto stream = make_stream(best_isa(), 2);
  const auto run = [&](const PackedMatrix& table, int64_t first_row) {
    std::vector<float> out(40 * 32);
    embed({.ids = view(ids.data(), {40}),
           .table = table.weights,
           .first_row = first_row,
           .out = view(out.data(), {40, 32})},
          *stream);
    return out;
  };
  const std::vector<float> a = run(low, 0), b = run(high, 20);
  std::vector<float> sum(a.size());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = a[i] + b[i];
  EXPECT_TRUE(equal_bits(run(whole, 0), sum));
}

TEST(AddRmsNorm, AddsTheTreeToTheResidualAndNormalisesIt) {
  SeededRandom random(42);
  for (int64_t dim : {1, 37, 128, 300, 576}) {
    for (int64_t n_tokens : {1, 5}) {
      const std::vector<Subtree> layout{{4, 2}, {0, 0}, {2, 2}, {0, 2}, {6, 1}};  // of 7
      const int64_t n = std::ssize(layout);
      std::vector<float> partials = random.activations(n * n_tokens * dim);
      std::fill_n(partials.begin() + n_tokens * dim, n_tokens * dim,
                  std::numeric_limits<float>::quiet_NaN());  // padding is never read
      const std::vector<float> before = random.activations(n_tokens * dim);
      const std::vector<float> bias = random.activations(dim);
      for (bool with_bias : {false, true}) {
        std::vector<float> residual;
        const auto run = [&](Stream& stream) {
          residual = before;
          AddPartialsArgs args{.partials = view(partials.data(), {n, n_tokens, dim}),
                               .layout = layout,
                               .n_leaves = 7,
                               .residual = view(residual.data(), {n_tokens, dim})};
          if (with_bias) args.bias = view(bias.data(), {dim});
          return add_and_norm(args, stream);
        };
        std::vector<float> expected = before;
        const auto part = [&](int i, size_t at) { return partials[i * n_tokens * dim + at]; };
        for (size_t at = 0; at < expected.size(); ++at) {
          float y = (part(3, at) + part(2, at)) + (part(0, at) + part(4, at));
          if (with_bias) y = y + bias[at % dim];
          expected[at] = expected[at] + y;
        }
        const std::vector<float> ones(dim, 1.0f);
        std::vector<float> normed(expected.size());
        rms_norm({.x = view(expected.data(), {n_tokens, dim}),
                  .weight = view(ones.data(), {dim}),
                  .out = {.f32 = view(normed.data(), {n_tokens, dim})}},
                 *reference_stream());
        for_each_stream_and_reference([&](Stream& stream) {
          EXPECT_TRUE(equal_bits(normed, run(stream)));
          EXPECT_TRUE(equal_bits(expected, residual));
        });
      }
    }
  }
}

TEST(GatherRows, CopiesTheNamedRows) {
  SeededRandom random(43);
  const std::vector<float> x = random.activations(6 * 10);
  const std::vector<int32_t> rows{5, 0, 0, 3};
  for_each_stream_and_reference([&](Stream& stream) {
    std::vector<float> out(4 * 10);
    gather_rows({.x = view(x.data(), {6, 10}),
                 .rows = view(rows.data(), {4}),
                 .out = view(out.data(), {4, 10})},
                stream);
    for (int i = 0; i < 4; ++i) {
      EXPECT_TRUE(std::equal(&out[10 * i], &out[10 * i] + 10, &x[10 * rows[i]]));
    }
  });
}

TEST(ConcatColumns, PutsTheSlicesSideBySide) {
  constexpr int64_t kCols[] = {4, 3, 0, 2};
  std::vector<float> parts(4 * 5 * 4);
  for (size_t i = 0; i < parts.size(); ++i) parts[i] = static_cast<float>(i);
  for_each_stream_and_reference([&](Stream& stream) {
    std::vector<float> out(5 * 9, -1.0f);
    concat_columns(
        {.parts = view(parts.data(), {4, 5, 4}), .n_cols = kCols, .out = view(out.data(), {5, 9})},
        stream);
    for (int row = 0; row < 5; ++row) {
      int at = 0;
      for (int rank = 0; rank < 4; ++rank) {
        for (int c = 0; c < kCols[rank]; ++c) {
          EXPECT_EQ(out[row * 9 + at++], parts[(rank * 5 + row) * 4 + c]);
        }
      }
    }
  });
}

TEST(ResolveTokens, KnownIdsAreRememberedAndUnknownOnesLookedUp) {
  for_each_stream_and_reference([&](Stream& stream) {
    std::vector<int32_t> history(3 * 8, 0);
    history[2 * 8 + 4] = 777;
    const std::vector<int32_t> ids{11, 12, -1, 0};
    const std::vector<int32_t> slots{0, 0, 2, 1};
    const std::vector<int32_t> positions{0, 1, 4, 7};
    std::vector<int32_t> tokens(4, -5);
    resolve_tokens({.ids = view(ids.data(), {4}),
                    .seq_slots = view(slots.data(), {4}),
                    .positions = view(positions.data(), {4}),
                    .token_ids = view(history.data(), {3, 8}),
                    .tokens = view(tokens.data(), {4})},
                   stream);
    EXPECT_EQ(tokens, (std::vector<int32_t>{11, 12, 777, 0}));
    EXPECT_EQ(history[0], 11);
    EXPECT_EQ(history[1], 12);
    EXPECT_EQ(history[2 * 8 + 4], 777);
    EXPECT_EQ(history[1 * 8 + 7], 0);
  });
}

TEST(CopyBlocks, CopiesInOrderAndNothingElse) {
  for_each_stream_and_reference([&](Stream& stream) {
    std::vector<std::byte> data(5 * 3);
    for (size_t i = 0; i < data.size(); ++i) data[i] = std::byte(i);
    const int32_t from[] = {1, 3}, to[] = {3, 0};  // a copied block is copied again
    copy_blocks({.kv = {.data = data.data(), .n_blocks = 5, .block_bytes = 3},
                 .from = view(from, {2}),
                 .to = view(to, {2})},
                stream);
    const auto block = [&](int64_t i) {
      return std::vector<int>{int(data[i * 3]), int(data[i * 3 + 1]), int(data[i * 3 + 2])};
    };
    EXPECT_EQ(block(0), (std::vector<int>{3, 4, 5}));
    EXPECT_EQ(block(1), (std::vector<int>{3, 4, 5}));
    EXPECT_EQ(block(2), (std::vector<int>{6, 7, 8}));
    EXPECT_EQ(block(3), (std::vector<int>{3, 4, 5}));
    EXPECT_EQ(block(4), (std::vector<int>{12, 13, 14}));
  });
}

// In rows of every width and at every place of a row. Values between strided rows belong to no row
// and must not count.
TEST(FiniteRows, OneValueAtAnyPlaceTakesItsRowsFlagAndNoOther) {
  constexpr float kInf = std::numeric_limits<float>::infinity();
  constexpr float kLimit = 1000.0f, kBelow = 999.5f;
  const std::vector<float> bad{std::numeric_limits<float>::quiet_NaN(), kInf, -kInf, kLimit,
                               -kLimit};
  for_each_stream_and_reference([&](Stream& stream) {
    for (int64_t dim : {1, 7, 8, 16, 33, 64}) {
      for (int64_t at = 0; at < dim; ++at) {
        std::vector<float> x(static_cast<size_t>(3 * (dim + 2)), kInf);
        View rows = view(x.data(), {3, dim});
        rows.row_stride = dim + 2;
        for (int64_t row = 0; row < 3; ++row) {
          for (int64_t i = 0; i < dim; ++i) rows.row<float>(row)[i] = i % 2 ? kBelow : -kBelow;
        }
        rows.row<float>(1)[at] = bad[static_cast<size_t>(at) % bad.size()];
        std::vector<uint8_t> finite{1, 1, 0};
        finite_rows({.x = rows, .limit = kLimit, .finite = view(finite.data(), {3})}, stream);
        EXPECT_EQ(finite, (std::vector<uint8_t>{1, 0, 0})) << dim << ", " << at;
      }
    }
  });
}

TEST(RowOpsDeathTest, RowsAndSlotsOutsideTheirTablesEndTheProcess) {
  std::vector<float> x(20), out(20);
  const int32_t rows[] = {2};
  auto stream = make_stream(best_isa(), 1);
  EXPECT_DEATH(
      gather_rows(
          {.x = view(x.data(), {2, 10}), .rows = view(rows, {1}), .out = view(out.data(), {1, 10})},
          *stream),
      "CHECK|move_rows.cpp");
  std::vector<int32_t> history(8), tokens(1);
  const int32_t id[] = {-1}, slot[] = {0}, position[] = {8};
  EXPECT_DEATH(resolve_tokens({.ids = view(id, {1}),
                               .seq_slots = view(slot, {1}),
                               .positions = view(position, {1}),
                               .token_ids = view(history.data(), {1, 8}),
                               .tokens = view(tokens.data(), {1})},
                              *stream),
               "move_rows.cpp");
  std::byte block[1];
  const int32_t outside[] = {1};
  EXPECT_DEATH(copy_blocks({.kv = {.data = block, .n_blocks = 1, .block_bytes = 1},
                            .from = view(slot, {1}),
                            .to = view(outside, {1})},
                           *stream),
               "move_rows.cpp");
}

}  // namespace
}  // namespace lockstep::testing
