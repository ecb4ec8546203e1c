// MsgpackItems reads what the tree library writes, and every value of its fixed forms.
#include "wire/codec/msgpack_items.h"

#include <gtest/gtest.h>

#include <limits>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/wire/packed.h"

namespace lockstep::wire {
namespace {

using nlohmann::json;
using Kind = MsgpackItem::Kind;

MsgpackItem only_item(const std::string& bytes) {
  MsgpackItems items(bytes);
  MsgpackItem item;
  EXPECT_TRUE(items.next(item));
  items.take_payload(item);
  EXPECT_TRUE(items.at_end());
  return item;
}

TEST(MsgpackItems, IntegersOfEveryWidth) {
  for (int shift = 0; shift < 64; ++shift) {
    for (int64_t delta : {-1, 0, 1}) {
      const uint64_t value = (uint64_t{1} << shift) + static_cast<uint64_t>(delta);
      const MsgpackItem item = only_item(packed(value));
      EXPECT_EQ(item.kind, Kind::kUnsigned);
      EXPECT_EQ(item.value, value);
      const auto negative = static_cast<int64_t>(~(value >> 1));  // below 0
      const MsgpackItem below = only_item(packed(negative));
      EXPECT_EQ(below.kind, Kind::kNegative);
      EXPECT_EQ(static_cast<int64_t>(below.value), negative);
    }
  }
  EXPECT_EQ(only_item("\xd0\x05").kind, Kind::kUnsigned);  // a signed form of 5
}

TEST(MsgpackItems, KindsAndPayloads) {
  EXPECT_EQ(only_item(packed(nullptr)).kind, Kind::kNil);
  EXPECT_EQ(only_item(packed(true)).value, 1u);
  EXPECT_EQ(only_item(packed(1.5)).kind, Kind::kReal);
  EXPECT_EQ(only_item(packed(std::string(300, 'x'))).n_payload, 300u);
  EXPECT_EQ(only_item(packed(json::binary({1, 2}))).kind, Kind::kBytes);
  EXPECT_EQ(only_item(packed(json::binary({1, 2}, 7))).kind, Kind::kExtension);
  EXPECT_EQ(only_item(packed(json::array())).kind, Kind::kArray);
  EXPECT_EQ(only_item(packed(json::object())).kind, Kind::kMap);
}

TEST(MsgpackItems, SkipsAValueWithAllItsContents) {
  const std::string value = packed({{"a", {1, {{"b", "x"}}, nullptr}}, {"c", json::array()}});
  const std::string bytes = value + packed(7) + packed(8);
  MsgpackItems items(bytes);
  EXPECT_TRUE(items.skip());
  EXPECT_EQ(items.at(), value.size());
  EXPECT_TRUE(items.skip(2));
  EXPECT_TRUE(items.at_end());
  EXPECT_FALSE(items.skip());
  for (size_t n = 0; n < value.size(); ++n) {
    MsgpackItems part(std::string_view(value).substr(0, n));
    EXPECT_FALSE(part.skip()) << n;
    EXPECT_FALSE(part.fault().message.empty());
  }
}

}  // namespace
}  // namespace lockstep::wire
