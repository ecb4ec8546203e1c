#include <gtest/gtest.h>

#include <thread>

#include "common/error_code.h"
#include "common/ids.h"
#include "common/memory/buffer.h"
#include "common/result.h"
#include "common/threads/bounded_queue.h"
#include "common/units.h"

namespace lockstep {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return Error{ErrorCode::kInvalidRequest, "odd", "n"};
  return n / 2;
}

Result<int> quarter(int n) {
  TRY(const int h, half(n));
  return half(h);
}

TEST(Result, TryReturnsTheErrorToTheCaller) {
  EXPECT_EQ(quarter(8).value(), 2);
  EXPECT_EQ(quarter(6).error().message, "odd");
  EXPECT_EQ(quarter(3).error().param, "n");
}

TEST(ErrorCode, NamesRoundTripAndHaveAnHttpStatus) {
  for (int i = 0; i <= static_cast<int>(ErrorCode::kModelLoadFailed); ++i) {
    const auto code = static_cast<ErrorCode>(i);
    EXPECT_EQ(error_code_from_string(to_string(code)), code);
    EXPECT_GE(http_status(code), 400);
    EXPECT_FALSE(openai_error_type(code).empty());
  }
  EXPECT_EQ(error_code_from_string("no_such_code"), std::nullopt);
}

TEST(MemoryLedger, BuffersAreBookedUntilTheyDie) {
  MemoryLedger ledger;
  {
    Buffer a(ledger, MemoryTag::kKv, 100);
    EXPECT_EQ(ledger.bytes(MemoryTag::kKv), 128);
    Buffer b = std::move(a);
    EXPECT_EQ(ledger.bytes(MemoryTag::kKv), 128);
    EXPECT_EQ(b.as<char>()[99], 0);
    a = Buffer(ledger, MemoryTag::kKv, 64);
    EXPECT_EQ(ledger.bytes(MemoryTag::kKv), 192);
  }
  EXPECT_EQ(ledger.bytes(MemoryTag::kKv), 0);
  EXPECT_EQ(ledger.peak_bytes(MemoryTag::kKv), 192);
}

TEST(BoundedQueue, RefusesWhenFullAndDrainsAfterClose) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.try_push(1));
  EXPECT_TRUE(queue.try_push(2));
  EXPECT_FALSE(queue.try_push(3));
  queue.close();
  EXPECT_EQ(queue.wait_pop(), 1);
  EXPECT_EQ(queue.wait_pop(), 2);
  EXPECT_EQ(queue.wait_pop(), std::nullopt);
  EXPECT_FALSE(queue.try_push(4));
}

TEST(BoundedQueue, HandsEveryValueOverOnceAndInOrderPerProducer) {
  BoundedQueue<std::pair<int, int>> queue(4);
  constexpr int kPerThread = 2000;
  std::vector<std::thread> producers;
  for (int t = 0; t < 3; ++t) {
    producers.emplace_back([&, t] {
      for (int i = 0; i < kPerThread; ++i) {
        while (!queue.try_push({t, i})) std::this_thread::yield();
      }
    });
  }
  std::vector<int> next(3, 0);
  for (int n = 0; n < 3 * kPerThread; ++n) {
    const auto value = queue.wait_pop();
    ASSERT_TRUE(value.has_value());
    EXPECT_EQ(value->second, next[value->first]++);
  }
  for (std::thread& producer : producers) producer.join();
}

TEST(Units, RoundUpReachesTheNextMultiple) {
  EXPECT_EQ(round_up(0, 64), 0);
  EXPECT_EQ(round_up(65, 64), 128);
  EXPECT_EQ(ceil_div(7, 2), 4);
  EXPECT_EQ(2_MiB, 2097152);
}

// Strong ids: a SeqSlot is not a BlockId.
template <class To, class From>
concept Converts = requires(From from, void (*take)(To)) {
  take(from);
};
static_assert(Converts<BlockId, BlockId>);
static_assert(!Converts<BlockId, SeqSlot>);
static_assert(!Converts<BlockId, int>);

}  // namespace
}  // namespace lockstep
