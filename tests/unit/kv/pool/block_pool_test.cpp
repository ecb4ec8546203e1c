// BlockPool: blocks are handed out and returned, reservations hold, and the counts always sum.
// The pool is also compared with a naive allocator.
#include "node/kv/pool/block_pool.h"

#include <gtest/gtest.h>

#include <map>
#include <set>
#include <type_traits>

#include "tests/support/random.h"

namespace lockstep {
namespace {

using testing::SeededRandom;

// Strong ids: these must not compile.
template <class Id>
concept NamesABlock = requires(const BlockPool& pool, Id id) {
  pool.state(id);
};
static_assert(NamesABlock<BlockId>);
static_assert(!NamesABlock<SeqSlot> && !NamesABlock<int32_t>);
static_assert(!std::is_copy_constructible_v<BlockPool> &&
              !std::is_copy_constructible_v<BlockReservation>);

BlockRef take_one(BlockPool& pool) { return pool.reserve(1)->take(); }

TEST(BlockPool, StartsWithEveryBlockFree) {
  BlockPool pool(5);
  EXPECT_EQ(pool.n_blocks_total(), 5);
  EXPECT_EQ(pool.n_blocks_free(), 5);
  EXPECT_EQ(pool.n_blocks(BlockState::kActive), 0);
  EXPECT_EQ(pool.check_invariants(true), 0);
}

TEST(BlockPool, LastReferenceReturnsTheBlock) {
  BlockPool pool(2);
  BlockRef first = take_one(pool);
  BlockRef second = first;
  EXPECT_EQ(pool.n_refs(first.id()), 2u);
  first = BlockRef();
  EXPECT_EQ(pool.n_blocks_free(), 1);
  EXPECT_EQ(pool.state(second.id()), BlockState::kActive);
  const BlockId id = second.id();
  second = BlockRef();
  EXPECT_EQ(pool.n_blocks_free(), 2);
  EXPECT_EQ(pool.state(id), BlockState::kFree);
  EXPECT_EQ(pool.check_invariants(true), 0);
}

TEST(BlockPool, MovingAReferenceCountsItOnce) {
  BlockPool pool(1);
  BlockRef from = take_one(pool);
  const BlockRef to = std::move(from);
  EXPECT_EQ(pool.n_refs(to.id()), 1u);
}

TEST(BlockPool, AssigningAReferenceToItselfKeepsIt) {
  BlockPool pool(1);
  BlockRef block = take_one(pool);
  const BlockRef& same = block;
  block = same;
  EXPECT_EQ(pool.n_refs(block.id()), 1u);
}

TEST(BlockPool, GenerationTellsTwoLivesOfABlockApart) {
  BlockPool pool(1);
  const BlockId id = take_one(pool).id();
  const uint32_t before = pool.generation(id);
  const BlockRef again = take_one(pool);
  ASSERT_EQ(again.id(), id);
  EXPECT_EQ(pool.generation(id), before + 1);
}

TEST(BlockPool, ReservationsAreAllOrNothing) {
  BlockPool pool(3);
  auto reservation = pool.reserve(2);
  ASSERT_TRUE(reservation);
  EXPECT_EQ(pool.n_blocks_available(), 1);
  EXPECT_FALSE(pool.reserve(2));
  EXPECT_EQ(pool.n_blocks_available(), 1);
  EXPECT_TRUE(pool.reserve(1));
  EXPECT_TRUE(pool.reserve(0));
}

TEST(BlockPool, WhatWasNotTakenGoesBackWithTheReservation) {
  BlockPool pool(4);
  auto reservation = pool.reserve(3);
  ASSERT_TRUE(reservation);
  const BlockRef block = reservation->take();
  EXPECT_EQ(pool.n_blocks_free(), 3);
  EXPECT_EQ(pool.n_blocks_reserved(), 2);
  reservation.reset();
  EXPECT_EQ(pool.n_blocks_reserved(), 0);
  EXPECT_EQ(pool.n_blocks_available(), 3);
}

TEST(BlockPool, AnAssignedReservationReturnsTheOldOne) {
  BlockPool pool(4);
  BlockReservation reservation = std::move(*pool.reserve(3));
  reservation = std::move(*pool.reserve(1));
  EXPECT_EQ(reservation.n_blocks_left(), 1);
  EXPECT_EQ(pool.n_blocks_reserved(), 1);
}

TEST(BlockPool, AKeptBlockIsCachedUntilItIsShared) {
  BlockPool pool(2);
  BlockRef block = take_one(pool);
  const BlockId id = block.id();
  pool.keep(id);
  block = BlockRef();
  EXPECT_EQ(pool.state(id), BlockState::kCached);
  EXPECT_EQ(pool.n_blocks_cached(), 1);
  EXPECT_EQ(pool.n_blocks_free(), 1);
  EXPECT_EQ(pool.check_invariants(true), 0);
  BlockRef again = pool.share(id);
  BlockRef twice = pool.share(id);
  EXPECT_EQ(pool.state(id), BlockState::kActive);
  EXPECT_EQ(pool.n_refs(id), 2u);
  EXPECT_EQ(pool.check_invariants(true), 0);
}

TEST(BlockPool, AWatcherHearsWhatIsCachedAndWhatIsShared) {
  struct Watcher final : CachedBlockWatcher {
    void on_cached(BlockId id) override { heard.push_back(raw(id)); }
    void on_shared(BlockId id) override { heard.push_back(-1 - raw(id)); }
    std::vector<int32_t> heard;  // id: cached, -1 - id: shared
  } watcher;
  BlockPool pool(4);
  pool.watch(&watcher);
  take_one(pool);  // released without having been kept
  BlockRef block = take_one(pool);
  const int32_t id = raw(block.id());
  pool.keep(block.id());
  block = BlockRef();
  block = pool.share(BlockId{id});
  BlockRef twice = pool.share(BlockId{id});
  block = twice = BlockRef();
  pool.evict(BlockId{id});
  EXPECT_EQ(watcher.heard, (std::vector<int32_t>{id, -1 - id, id}));
  EXPECT_EQ(pool.n_blocks_free(), 4);
}

TEST(BlockPool, ABlockIsChargedToTheTenantThatTookIt) {
  const std::vector<TenantConfig> tenants{{}, {.floor = 2}, {.ceiling = 3}};
  BlockPool pool(8, tenants);
  EXPECT_EQ(pool.n_blocks_available(0), 6);
  EXPECT_EQ(pool.n_blocks_available(1), 8);
  EXPECT_EQ(pool.n_blocks_available(2), 3);
  BlockRef block = pool.reserve(1, 2)->take();
  const BlockId id = block.id();
  pool.keep(id);
  const BlockRef other = pool.share(id, 1);  // the block is active already
  EXPECT_EQ(pool.owner(id), 2);
  EXPECT_EQ(pool.ledger().n_used(2), 1);
  EXPECT_EQ(pool.ledger().n_used(1), 0);
  block = BlockRef();
  EXPECT_EQ(pool.owner(id), 2);
}

TEST(BlockPool, ACachedBlockIsChargedToTheTenantThatSharesItNext) {
  const std::vector<TenantConfig> tenants(2);
  BlockPool pool(8, tenants);
  BlockRef block = pool.reserve(1, 1)->take();
  const BlockId id = block.id();
  pool.keep(id);
  block = BlockRef();
  EXPECT_EQ(pool.ledger().n_cached(1), 1);
  block = pool.share(id, 0);
  EXPECT_EQ(pool.ledger().n_cached(1), 0);
  EXPECT_EQ(pool.ledger().n_used(0), 1);
  EXPECT_EQ(pool.check_invariants(true), 0);
}

TEST(BlockPool, ReservationsMayCountOnCachedBlocks) {
  BlockPool pool(3);
  BlockRef block = take_one(pool);
  const BlockId id = block.id();
  pool.keep(id);
  block = BlockRef();
  EXPECT_EQ(pool.n_blocks_available(), 3);
  auto reservation = pool.reserve(3);
  ASSERT_TRUE(reservation);
  EXPECT_FALSE(pool.reserve(1));
  pool.evict(id);
  std::vector<BlockRef> taken;
  for (int i = 0; i < 3; ++i) taken.push_back(reservation->take());
  EXPECT_EQ(pool.check_invariants(true), 0);
}

TEST(BlockPoolDeathTest, ACachedBlockThatIsReservedIsNotShared) {
  BlockPool pool(1);
  BlockRef block = take_one(pool);
  const BlockId id = block.id();
  pool.keep(id);
  block = BlockRef();
  auto reservation = pool.reserve(1);
  EXPECT_DEATH(pool.share(id), "n_blocks_available");
}

TEST(BlockPoolDeathTest, ALeakedBlockIsLoud) {
  BlockRef leaked;
  EXPECT_DEATH(
      {
        BlockPool pool(1);
        leaked = take_one(pool);
      },
      "BlockState::kActive");
}

TEST(BlockPoolDeathTest, TakingMoreThanReservedIsABug) {
  BlockPool pool(2);
  auto reservation = pool.reserve(1);
  const BlockRef block = reservation->take();
  EXPECT_DEATH(reservation->take(), "n_left_");
}

TEST(BlockPoolDeathTest, AnIdOutsideThePoolIsABug) {
  BlockPool pool(2);
  EXPECT_DEATH((void)pool.state(BlockId{2}), "n_blocks_total");
  EXPECT_DEATH((void)pool.state(BlockId{-1}), "n_blocks_total");
}

// Random reservations, takes, shares and drops, compared with a map that counts references.
TEST(BlockPool, AgreesWithANaiveAllocator) {
  SeededRandom random(20240611);
  constexpr int kBlocks = 13;
  BlockPool pool(kBlocks);
  std::vector<BlockReservation> reservations;
  std::vector<BlockRef> refs;
  std::map<BlockId, uint32_t> n_refs;
  int32_t n_reserved = 0;
  const auto drop = [&](auto& list, int64_t i) {
    std::swap(list[static_cast<size_t>(i)], list.back());
    list.pop_back();
  };
  const auto any = [&](const auto& list) {
    return random.integer(0, static_cast<int64_t>(list.size()) - 1);
  };
  for (int op = 0; op < 100000; ++op) {
    const int64_t kind = random.integer(0, 4);
    if (kind == 0) {
      const auto n = static_cast<int32_t>(random.integer(0, 4));
      auto reservation = pool.reserve(n);
      const auto n_used = static_cast<int32_t>(n_refs.size());
      ASSERT_EQ(reservation.has_value(), n <= kBlocks - n_used - n_reserved);
      if (!reservation) continue;
      n_reserved += n;
      reservations.push_back(std::move(*reservation));
    } else if (kind == 1 && !reservations.empty()) {
      BlockReservation& reservation = reservations[static_cast<size_t>(any(reservations))];
      if (reservation.n_blocks_left() == 0) continue;
      refs.push_back(reservation.take());
      --n_reserved;
      ASSERT_EQ(++n_refs[refs.back().id()], 1u) << "handed out while in use";
    } else if (kind == 2 && !refs.empty()) {
      refs.push_back(refs[static_cast<size_t>(any(refs))]);
      ++n_refs[refs.back().id()];
    } else if (kind == 3 && !refs.empty()) {
      const int64_t i = any(refs);
      const BlockId id = refs[static_cast<size_t>(i)].id();
      drop(refs, i);
      if (--n_refs[id] == 0) n_refs.erase(id);
    } else if (kind == 4 && !reservations.empty()) {
      const int64_t i = any(reservations);
      n_reserved -= reservations[static_cast<size_t>(i)].n_blocks_left();
      drop(reservations, i);
    }
    ASSERT_EQ(pool.check_invariants(true), 0);
    ASSERT_EQ(pool.n_blocks(BlockState::kActive), static_cast<int32_t>(n_refs.size()));
    ASSERT_EQ(pool.n_blocks_reserved(), n_reserved);
  }
}

}  // namespace
}  // namespace lockstep
