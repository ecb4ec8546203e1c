// NodeProbes: the page that Prometheus reads of a node, from a snapshot made by hand.
#include "node/service/probes.h"

#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

namespace lockstep {
namespace {

struct Page {
  void attach() {
    probes.attach(
        {"m", "cpu", "f00d"}, [this] { return snapshot; }, ledger, nullptr,
        [this] { return devices; });
  }
  bool has(const std::string& line) const {
    return probes.text().find("lockstep_" + line + "\n") != std::string::npos;
  }

  EngineSnapshot snapshot;
  MemoryLedger ledger;
  NodeProbes::DeviceStates devices;
  NodeProbes probes;
};

// Reserved blocks count as the free blocks first, then by evicting cached ones.
TEST(NodeProbes, ReservationsBeyondTheFreeBlocksAreOfCachedOnes) {
  Page page;
  page.attach();
  page.snapshot.n_blocks_total = 100;
  page.snapshot.n_blocks_free = 20;
  page.snapshot.n_blocks_cached = 50;
  page.snapshot.n_blocks_reserved = 45;
  page.snapshot.n_blocks_active = 30;
  page.snapshot.n_blocks_evicted = 7;
  page.snapshot.n_regret_tokens = 320;
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"free\"} 0")) << page.probes.text();
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"cached\"} 25"));
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"reserved\"} 45"));
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"active\"} 30"));
  EXPECT_TRUE(page.has("kv_evictions_total{tier=\"device\",cause=\"room\"} 7"));
  EXPECT_TRUE(page.has("kv_evict_regret_tokens_total 320"));
}

TEST(NodeProbes, FreeCachedReservedAndActiveBlocksSumToThePool) {
  Page page;
  page.attach();
  page.snapshot.n_blocks_total = 100;
  page.snapshot.n_blocks_free = 60;
  page.snapshot.n_blocks_cached = 10;
  page.snapshot.n_blocks_reserved = 45;
  page.snapshot.n_blocks_active = 30;
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"free\"} 15")) << page.probes.text();
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"cached\"} 10"));
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"reserved\"} 45")) << page.probes.text();
  EXPECT_TRUE(page.has("kv_blocks{tier=\"device\",state=\"active\"} 30")) << page.probes.text();
  EXPECT_TRUE(page.has("kv_cache_usage_ratio 0.3")) << page.probes.text();
}

TEST(NodeProbes, CachedAndComputedPromptTokensSumToThePrompts) {
  Page page;
  page.attach();
  page.snapshot.n_prompt_tokens = 100;
  page.snapshot.n_cached_tokens = 30;
  page.snapshot.n_lookup_tokens = 90;
  page.snapshot.n_hit_tokens = 40;
  EXPECT_TRUE(page.has("prompt_tokens_total{source=\"cached\"} 30")) << page.probes.text();
  EXPECT_TRUE(page.has("prompt_tokens_total{source=\"computed\"} 70"));
  EXPECT_TRUE(page.has("prefix_cache_lookup_tokens_total 90"));
  EXPECT_TRUE(page.has("prefix_cache_hit_tokens_total 40"));
}

TEST(NodeProbes, WhatAStepCostsIsInSecondsByTerm) {
  Page page;
  page.attach();
  EXPECT_TRUE(page.has("step_time_coefficient_seconds{term=\"base\"} 0"));
  page.snapshot.step_costs = {
      .base = 0.5, .prompt_token = 0.25, .prompt_context = 0.125, .sequence = 2, .context = 4};
  page.snapshot.n_prompt_tokens_pending = 77;
  page.snapshot.n_context_tokens = 99;
  EXPECT_TRUE(page.has("step_time_coefficient_seconds{term=\"base\"} 0.5"));
  EXPECT_TRUE(page.has("step_time_coefficient_seconds{term=\"prompt_token\"} 0.25"));
  EXPECT_TRUE(page.has("step_time_coefficient_seconds{term=\"prompt_context\"} 0.125"));
  EXPECT_TRUE(page.has("step_time_coefficient_seconds{term=\"sequence\"} 2"));
  EXPECT_TRUE(page.has("step_time_coefficient_seconds{term=\"context\"} 4"));
  EXPECT_TRUE(page.has("prompt_tokens_pending 77"));
  EXPECT_TRUE(page.has("context_tokens 99"));
}

TEST(NodeProbes, AWrongAccountIsCountedByTheRuleThatItBreaks) {
  Page page;
  page.attach();
  page.snapshot.n_violations[3] = 2;
  EXPECT_TRUE(page.has("kv_invariant_violations_total{rule=\"4\"} 2")) << page.probes.text();
  EXPECT_TRUE(page.has("kv_invariant_violations_total{rule=\"13\"} 0"));
  EXPECT_EQ(page.snapshot.n_invariant_violations(), 2u);
}

TEST(NodeProbes, AFailureHasACauseAndWhatCameOfIt) {
  Page page;
  page.attach();
  page.snapshot.decode_failures.retried(DecodeFailureCause::kCompute);
  page.snapshot.decode_failures.retried(DecodeFailureCause::kCompute);
  page.snapshot.decode_failures.failed(DecodeFailureCause::kNonfinite);
  EXPECT_TRUE(page.has("decode_failures_total{cause=\"compute\",outcome=\"retried\"} 2"));
  EXPECT_TRUE(page.has("decode_failures_total{cause=\"compute\",outcome=\"failed\"} 0"));
  EXPECT_TRUE(page.has("decode_failures_total{cause=\"nonfinite\",outcome=\"failed\"} 1"));
}

TEST(NodeProbes, AResumeIsCountedApart) {
  Page page;
  page.attach();
  page.snapshot.decode_failures.failed(DecodeFailureCause::kResumeMismatch);
  page.snapshot.n_resumed_tokens = 20;
  EXPECT_TRUE(page.has("resume_mismatches_total 1"));
  EXPECT_TRUE(page.has("decode_failures_total{cause=\"resume_mismatch\",outcome=\"failed\"} 1"));
  EXPECT_TRUE(page.has("recomputed_tokens_total{cause=\"resume\"} 20"));
}

TEST(NodeProbes, ANodeWithoutAPoolUsesNothingOfIt) {
  Page page;
  page.attach();
  EXPECT_TRUE(page.has("kv_cache_usage_ratio 0")) << page.probes.text();
}

// A counter that appears with its first event has no increase: the alert would miss that one.
TEST(NodeProbes, WhatAlertsAndBoardsReadIsThereFromTheStart) {
  Page page;
  page.attach();
  for (const char* outcome : {"stop", "length", "cancelled", "disconnected", "decode_failed"})
    EXPECT_TRUE(page.has(std::string("requests_total{outcome=\"") + outcome + "\"} 0"))
        << outcome << "\n"
        << page.probes.text();
  for (const char* labels :
       {"cause=\"nonfinite\",outcome=\"failed\"", "cause=\"compute\",outcome=\"retried\"",
        "cause=\"compute\",outcome=\"failed\"", "cause=\"communication\",outcome=\"retried\"",
        "cause=\"communication\",outcome=\"failed\"", "cause=\"plan_mismatch\",outcome=\"retried\"",
        "cause=\"plan_mismatch\",outcome=\"failed\"",
        "cause=\"resume_mismatch\",outcome=\"failed\""})
    EXPECT_TRUE(page.has(std::string("decode_failures_total{") + labels + "} 0")) << labels;
  for (const char* tag : {"weights", "kv", "activations", "load", "text", "wire", "other"})
    EXPECT_TRUE(
        page.has(std::string("memory_bytes{tag=\"") + tag + "\",place=\"host\",rank=\"\"} 0"))
        << page.probes.text();
}

TEST(NodeProbes, MemoryIsShownByTagPlaceAndRank) {
  Page page;
  page.attach();
  MemoryLedger& rank = page.ledger.of_rank(1);
  const Reservation weights(rank, MemoryTag::kWeights, 700, MemoryPlace::kDevice);
  const Reservation staging(rank, MemoryTag::kLoad, 30);
  const Reservation own(page.ledger, MemoryTag::kLoad, 5);
  EXPECT_TRUE(page.has("memory_bytes{tag=\"weights\",place=\"device\",rank=\"1\"} 700"));
  EXPECT_TRUE(page.has("memory_bytes{tag=\"load\",place=\"host\",rank=\"1\"} 30"));
  EXPECT_TRUE(page.has("memory_bytes{tag=\"load\",place=\"host\",rank=\"\"} 5"));
  EXPECT_FALSE(page.has("memory_bytes{tag=\"weights\",place=\"host\",rank=\"\"} 0"))
      << page.probes.text();
}

TEST(NodeProbes, WhatRanksReserveAndReturnIsNeverShownWithoutARank) {
  Page page;
  page.attach();
  MemoryLedger& rank = page.ledger.of_rank(0);
  const Reservation kv(rank, MemoryTag::kKv, 1, MemoryPlace::kDevice);
  { const Reservation staging(rank, MemoryTag::kLoad, 30); }
  std::atomic<bool> is_over{false};
  std::thread other([&] {
    while (!is_over) {
      const Reservation more(rank, MemoryTag::kKv, 700, MemoryPlace::kDevice);
    }
  });
  for (int i = 0; i < 300; ++i) {
    const std::string text = page.probes.text();
    for (const char* tag : {"kv", "load"}) {
      EXPECT_EQ(text.find(std::string("tag=\"") + tag + "\",place=\"host\",rank=\"\""),
                std::string::npos)
          << text;
    }
  }
  is_over = true;
  other.join();
  EXPECT_TRUE(page.has("memory_bytes{tag=\"load\",place=\"host\",rank=\"0\"} 0"));
}

TEST(NodeProbes, EachRankHasTheFreeBytesAndTheErrorsOfItsDevice) {
  Page page;
  page.attach();
  page.devices = {{.free_bytes = 1000, .errors = EccErrors{.corrected = 3, .uncorrected = 1}},
                  {.free_bytes = 900, .errors = std::nullopt}};
  EXPECT_TRUE(page.has("device_free_bytes{rank=\"0\"} 1000")) << page.probes.text();
  EXPECT_TRUE(page.has("device_free_bytes{rank=\"1\"} 900"));
  EXPECT_TRUE(page.has("device_errors_total{rank=\"0\",kind=\"ecc_corrected\"} 3"));
  EXPECT_TRUE(page.has("device_errors_total{rank=\"0\",kind=\"ecc_uncorrected\"} 1"));
  EXPECT_EQ(page.probes.text().find("device_errors_total{rank=\"1\""), std::string::npos);
}

TEST(NodeProbes, WhatNoDeviceHasIsNotOnThePage) {
  Page page;
  page.attach();
  EXPECT_EQ(page.probes.text().find("lockstep_device_"), std::string::npos) << "on CPUs";
  page.devices = {{.free_bytes = 1000, .errors = std::nullopt}};
  EXPECT_NE(page.probes.text().find("lockstep_device_free_bytes"), std::string::npos);
  EXPECT_EQ(page.probes.text().find("lockstep_device_errors_total"), std::string::npos);
}

TEST(NodeProbes, BeforeTheModelIsLoadedThereIsNoEngineToShow) {
  Page page;
  EXPECT_NE(page.probes.text().find("lockstep_build_info"), std::string::npos);
  EXPECT_EQ(page.probes.text().find("lockstep_kv_blocks"), std::string::npos);
}

}  // namespace
}  // namespace lockstep
