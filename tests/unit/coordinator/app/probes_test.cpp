// CoordinatorProbes: the metrics page of a coordinator that Prometheus reads.
#include "coordinator/probes.h"

#include <gtest/gtest.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <string>

#include "coordinator/prompts/prompt_encoder.h"

namespace lockstep {
namespace {

struct Page {
  bool has(const std::string& line) const {
    return text().find("lockstep_coordinator_" + line + "\n") != std::string::npos;
  }
  std::string text() const { return prometheus::TextSerializer().Serialize(registry->Collect()); }

  std::shared_ptr<prometheus::Registry> registry = std::make_shared<prometheus::Registry>();
  CoordinatorProbes probes{registry};
};

// A counter that appears with its first event shows no increase, so an alert would miss that event.
TEST(CoordinatorProbes, WhatAlertsAndBoardsReadIsThereFromTheStart) {
  Page page;
  for (const char* outcome : {"stop", "length", "cancelled", "disconnected", "decode_failed",
                              "deadline_exceeded", "internal"})
    EXPECT_TRUE(page.has(std::string("requests_total{outcome=\"") + outcome + "\"} 0"))
        << outcome << "\n"
        << page.text();
  for (const char* code :
       {"invalid_request", "model_not_found", "conflict", "overloaded", "no_node_ready"})
    EXPECT_TRUE(page.has(std::string("requests_refused_total{code=\"") + code + "\"} 0"))
        << code << "\n"
        << page.text();
  for (const char* source : {"computed", "cached"})
    EXPECT_TRUE(page.has(std::string("prompt_tokens_total{source=\"") + source + "\"} 0"));
  EXPECT_TRUE(page.has("requests_lost_total 0")) << page.text();
  for (const char* outcome : kPromptOutcomes)
    EXPECT_TRUE(page.has(std::string("prompts_total{outcome=\"") + outcome + "\"} 0")) << outcome;
}

TEST(CoordinatorProbes, AnOutcomeThatANodeMadeUpIsOther) {
  Page page;
  page.probes.request_started("queued");
  page.probes.request_finished("made_up", "queued", std::chrono::milliseconds{5});
  page.probes.request_started("queued");
  page.probes.request_finished("decode_failed", "queued", std::chrono::milliseconds{5});
  EXPECT_TRUE(page.has("requests_total{outcome=\"other\"} 1")) << page.text();
  EXPECT_TRUE(page.has("requests_total{outcome=\"decode_failed\"} 1")) << page.text();
  EXPECT_TRUE(page.has("requests_running 0")) << page.text();
  EXPECT_EQ(page.text().find("made_up"), std::string::npos);
}

TEST(CoordinatorProbes, CachedAndComputedSumToThePrompt) {
  Page page;
  page.probes.usage(10, 4);
  page.probes.usage(3, 7);  // wrong numbers from a node must not decrease a counter
  EXPECT_TRUE(page.has("prompt_tokens_total{source=\"computed\"} 6")) << page.text();
  EXPECT_TRUE(page.has("prompt_tokens_total{source=\"cached\"} 11")) << page.text();
}

}  // namespace
}  // namespace lockstep
