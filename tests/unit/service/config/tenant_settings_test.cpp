// The `tenants:` list, from YAML and flags to the tenants of the engine.
#include "node/service/config/tenant_settings.h"

#include <gtest/gtest.h>

#include "common/load_error.h"
#include "common/service/config/config.h"

namespace lockstep {
namespace {

struct Settings {
  std::vector<TenantSetting> tenants;
  template <class V>
  void visit_fields(V& v) {
    v(tenants, "tenants", "", "the tenants");
  }
};

struct TenantSettingsTest : ::testing::Test {
  TenantSettingsTest() { source.add(settings); }
  Status read(const char* yaml) { return source.apply_yaml(yaml, "node.yaml"); }
  std::string refused(const char* yaml, int32_t n_kv_blocks = 100) {
    const Status status = read(yaml);
    if (!status) return status.error().message;
    try {
      resolve_tenants(settings.tenants, n_kv_blocks);
    } catch (const LoadError& error) {
      return error.what();
    }
    return "";
  }
  Settings settings;
  ConfigSource source{"lockstep-node", "a test"};
};

TEST_F(TenantSettingsTest, WithoutAListThereIsTheDefaultTenantOnly) {
  const auto tenants = resolve_tenants({}, 100);
  ASSERT_EQ(tenants.size(), 1u);
  EXPECT_EQ(tenants[0].name, "default");
  EXPECT_EQ(tenants[0].floor, 0);
  EXPECT_EQ(tenants[0].ceiling, 0);
  EXPECT_EQ(tenants[0].weight, 1);
}

TEST_F(TenantSettingsTest, TheDefaultTenantIsFirstWhereverItStands) {
  ASSERT_TRUE(
      read("tenants:\n- {name: gold, floor: 20, ceiling: 60, weight: 3}\n- name: default\n  floor: "
           "5\n"));
  const auto tenants = resolve_tenants(settings.tenants, 100);
  ASSERT_EQ(tenants.size(), 2u);
  EXPECT_EQ(tenants[0].name, "default");
  EXPECT_EQ(tenants[0].floor, 5);
  EXPECT_EQ(tenants[1].name, "gold");
  EXPECT_EQ(tenants[1].floor, 20);
  EXPECT_EQ(tenants[1].ceiling, 60);
  EXPECT_EQ(tenants[1].weight, 3);
}

TEST_F(TenantSettingsTest, AFlagGivesOneTenantAndOverridesTheFile) {
  ASSERT_TRUE(read("tenants: [{name: silver}]"));
  ASSERT_TRUE(source.apply_flag("tenants", {"{name: gold, floor: 20}", "{name: lead}"}));
  ASSERT_EQ(settings.tenants.size(), 2u);
  EXPECT_EQ(settings.tenants[0].name, "gold");
  EXPECT_EQ(settings.tenants[0].floor, 20);
  EXPECT_EQ(settings.tenants[0].where, "--tenants");
}

TEST_F(TenantSettingsTest, WhatIsPrintedReadsBackTheSame) {
  ASSERT_TRUE(read("tenants: [{name: gold, floor: 20}, {name: 'a: b'}]"));
  const std::string printed = source.to_yaml();
  EXPECT_NE(
      printed.find("tenants: [{name: gold, floor: 20, ceiling: 0, weight: 1}, {name: \"a: b\""),
      std::string::npos)
      << printed;
  ASSERT_TRUE(read(printed.c_str()));
  EXPECT_EQ(source.to_yaml(), printed);
}

TEST_F(TenantSettingsTest, FaultsOfTheFileAreNamedWithTheirLine) {
  EXPECT_EQ(refused("tenants:\n- name: gold\n  flor: 5\n"),
            "node.yaml:3: unknown key 'flor'; did you mean 'floor'?");
  EXPECT_EQ(refused("tenants:\n- name: gold\n  floor: many\n"),
            "node.yaml:3: floor: 'many' is not a whole number (blocks)");
  EXPECT_EQ(refused("tenants:\n- {name: a, name: b}\n"),
            "node.yaml:2: 'name' is given twice, first on line 2");
  EXPECT_EQ(refused("tenants: [a]"), "node.yaml:1: tenants takes a list of maps");
  EXPECT_EQ(refused("tenants: gold"), "node.yaml:1: tenants takes a list");
  EXPECT_EQ(refused("tenants: [{name: [a]}]"), "node.yaml:1: name takes one value");
  EXPECT_EQ(refused("tenants: [{name: [{a: b}]}]"), "node.yaml:1: name: a list of plain values");
  EXPECT_EQ(refused("tenants: [{name: a}, b]"),
            "node.yaml:1: tenants: a list of plain values, or one of maps of them");
}

TEST_F(TenantSettingsTest, TenantsThatContradictAreNamedWithTheirNumbers) {
  EXPECT_EQ(refused("tenants:\n- {name: gold, floor: 9, ceiling: 5}\n"),
            "node.yaml:2: tenant 'gold': floor: 9 is above ceiling: 5");
  EXPECT_EQ(refused("tenants:\n- {name: a}\n- {name: a}\n"),
            "node.yaml:3: tenant 'a': is given twice, first at node.yaml:2");
  EXPECT_EQ(refused("tenants:\n- {name: a, floor: 60}\n- {name: b, floor: 50}\n"),
            "node.yaml:3: tenant 'b': the floors up to here are 110 blocks, the KV pool has 100");
  EXPECT_EQ(refused("tenants: [{floor: 1}]"),
            "node.yaml:1: tenant '': a name has 1 to 64 bytes, not 0");
  EXPECT_EQ(refused("tenants: [{name: a, weight: 0}]"),
            "node.yaml:1: tenant 'a': weight: 0 is outside 1 to 1000");
  EXPECT_EQ(refused("tenants: [{name: a, floor: 101}]"),
            "node.yaml:1: tenant 'a': floor: 101 is outside 0 to 100");
  ASSERT_TRUE(source.apply_flag("tenants", {"{name: a}"}));
  settings.tenants[0].name = "a\xff";
  try {
    resolve_tenants(settings.tenants, 100);
    ADD_FAILURE() << "a name that is no text is taken";
  } catch (const LoadError& error) {
    EXPECT_STREQ(error.what(), "--tenants: tenant 'a\xef\xbf\xbd': the name is not UTF-8");
  }
  EXPECT_EQ(refused("tenants: [{name: a, ceiling: -1}]"),
            "node.yaml:1: tenant 'a': ceiling: -1 is outside 0 to 100");
}

}  // namespace
}  // namespace lockstep
