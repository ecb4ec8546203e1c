// digest_of: every field decides the digest, except those that do not decide the output.
#include "coordinator/resume/request_digest.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "tests/unit/wire/samples.h"
#include "wire/codec/codec.h"

namespace lockstep {
namespace {

using nlohmann::json;

RequestDigest digest(const wire::Generate& prompt) { return digest_of({&prompt, 1}); }

wire::Generate prompt(const std::string& text) {
  wire::Generate out;
  out.request_id = "r";
  out.model = "m";
  out.prompt_text = text;
  return out;
}

json tree(const wire::Generate& message) { return json::from_msgpack(wire::encode(message)); }

wire::Generate message(const json& tree) {
  const std::vector<uint8_t> packed = json::to_msgpack(tree);
  const std::string bytes(packed.begin(), packed.end());
  const Result<wire::Message> decoded = wire::decode(bytes);
  EXPECT_TRUE(decoded) << decoded.error().message;
  return decoded ? std::get<wire::Generate>(*decoded) : wire::Generate{};
}

// Another value that the field can have.
json changed(const json& value) {
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_number_float()) return value.get<double>() + 0.25;
  if (value.is_number_unsigned()) return value.get<uint64_t>() - 1;
  if (value.is_number()) return value.get<int64_t>() - 1;
  if (value.is_string()) return value.get<std::string>() + "x";
  json out = value;
  if (value.is_array())
    out.push_back(out.front());
  else
    out.begin().value() = changed(out.begin().value());
  return out;
}

TEST(RequestDigest, EveryFieldDecidesItButThoseThatDoNotDecideTheOutput) {
  const std::set<std::string> no_matter = {"request_id",       "seed",
                                           "emitted",          "attempt",
                                           "cache_prompt",     "cache_salt",
                                           "tenant",           "priority",
                                           "deadline_ms",      "cache_retention",
                                           "prompt_cache_key", "return_route_receipt"};
  const json full = tree(wire::testing::full_generate());
  const RequestDigest wanted = digest(message(full));
  std::set<std::string> seen;
  for (const auto& [name, value] : full.items()) {
    if (name == "v" || name == "type") continue;
    json other = full;
    other[name] = changed(value);
    EXPECT_EQ(digest(message(other)) == wanted, no_matter.contains(name)) << name;
    seen.insert(name);
  }
  for (const std::string& name : no_matter) EXPECT_TRUE(seen.contains(name)) << name;
}

TEST(RequestDigest, EveryPartOfAMessageDecidesIt) {
  const json full = tree(wire::testing::full_generate());
  const RequestDigest wanted = digest(message(full));
  for (const char* name : {"role", "content", "name"}) {
    json other = full;
    other["messages"][0][name] = "other";
    EXPECT_NE(digest(message(other)), wanted) << name;
  }
  json moved = full;  // the same words, with another message as their owner
  moved["messages"][0]["content"] = "";
  moved["messages"][1]["content"] = full["messages"][0]["content"];
  EXPECT_NE(digest(message(moved)), wanted);
}

TEST(RequestDigest, AFieldWithItsDefaultIsAsGoodAsNone) {
  const json full = tree(prompt("Hi"));
  json bare = full;
  const RequestDigest wanted = digest(message(bare));
  for (const auto& [name, value] : full.items()) {
    if (value.is_number() && name != "v") bare.erase(name);
    if (value.is_boolean()) bare.erase(name);
  }
  EXPECT_FALSE(bare.contains("n"));
  EXPECT_EQ(digest(message(bare)), wanted);
}

TEST(RequestDigest, APromptIsItsTextOrItsIds) {
  wire::Generate ids = prompt("");
  ids.prompt_text.reset();
  ids.prompt_ids = {1, 2};
  wire::Generate others = ids;
  others.prompt_ids = {1, 2, 3};
  const std::set<RequestDigest> digests = {digest(prompt("")), digest(prompt("1")),
                                           digest(prompt("12")), digest(ids), digest(others)};
  EXPECT_EQ(digests.size(), 5u);
}

TEST(RequestDigest, PromptsCountInTheirOrder) {
  const std::vector<wire::Generate> ab = {prompt("a"), prompt("b")},
                                    ba = {prompt("b"), prompt("a")}, joined = {prompt("ab")},
                                    a = {prompt("a")};
  const std::set<RequestDigest> digests = {digest_of(ab), digest_of(ba), digest_of(joined),
                                           digest_of(a)};
  EXPECT_EQ(digests.size(), 4u);
}

}  // namespace
}  // namespace lockstep
