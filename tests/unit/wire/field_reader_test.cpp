// FieldReader: places, limits, and how faults in MessagePack and in JSON are worded.
#include "wire/codec/field_reader.h"

#include <gtest/gtest.h>

namespace lockstep::wire {
namespace {

using Json = FieldReader::Json;
using Format = FieldReader::Format;

// What `read(FieldReader&)` makes of the JSON text: the message of the fault, or "".
template <class Read>
std::string fault(const char* text, const Read& read, Format format = Format::kJson) {
  const Json object = Json::parse(text);
  FieldReader reader(object, format);
  read(reader);
  const Status status = reader.status();
  if (status) return "";
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidRequest);
  EXPECT_EQ(status.error().message.find(status.error().param + " "), 0u) << "begins with its param";
  return status.error().message;
}

template <class T>
std::string fault_of(const char* text, Format format) {
  return fault(
      text,
      [](FieldReader& reader) {
        T value{};
        reader.field("x", value);
      },
      format);
}

TEST(FieldReader, EachFormatWordsFaultsInItsOwnWay) {
  EXPECT_EQ(fault_of<bool>(R"({"x":1})", Format::kMessagePack),
            "x must be a boolean, not an integer");
  EXPECT_EQ(fault_of<bool>(R"({"x":1})", Format::kJson), "x must be true or false, got 1");
  EXPECT_EQ(fault_of<std::string>(R"({"x":{}})", Format::kMessagePack),
            "x must be a string, not a map");
  EXPECT_EQ(fault_of<std::string>(R"({"x":{}})", Format::kJson),
            "x must be a string, got an object");
  EXPECT_EQ(fault_of<double>(R"({"x":"1"})", Format::kMessagePack),
            "x must be a number, not a string");
  EXPECT_EQ(fault_of<double>(R"({"x":"1"})", Format::kJson), "x must be a number, got \"1\"");
  EXPECT_EQ(fault_of<int32_t>(R"({"x":1.0})", Format::kMessagePack),
            "x must be an integer, not a fraction");
  EXPECT_EQ(fault_of<int32_t>(R"({"x":2147483648})", Format::kMessagePack),
            "x must be between -2147483648 and 2147483647");
}

TEST(FieldReader, AnAbsentFieldAndANullKeepTheDefault) {
  int64_t n = 7;
  EXPECT_EQ(fault(R"({"x":null,"z":1})",
                  [&](FieldReader& reader) {
                    reader.field("x", n);
                    reader.field("y", n);
                  }),
            "");
  EXPECT_EQ(n, 7);
  EXPECT_EQ(fault(R"({"x":null})", [&](FieldReader& reader) { reader.required("x", n); }),
            "x is required");
  EXPECT_EQ(fault("{}", [](FieldReader& reader) { reader.require("x"); }), "x is required");
}

TEST(FieldReader, WithARangeAWholeFractionIsAnInteger) {
  int64_t n = 0;
  const auto read = [&](FieldReader& reader) {
    reader.field("x", n, IntegerRange{.low = 1, .high = 20});
  };
  EXPECT_EQ(fault(R"({"x":16.0})", read), "");
  EXPECT_EQ(n, 16);
  EXPECT_EQ(fault(R"({"x":16.5})", read), "x must be an integer from 1 to 20, got 16.5");
  EXPECT_EQ(fault(R"({"x":21})", read), "x must be an integer from 1 to 20, got 21");
  std::optional<int64_t> any;
  const auto read_any = [&](FieldReader& reader) { reader.field("x", any, IntegerRange{}); };
  EXPECT_EQ(fault(R"({"x":-9223372036854775808})", read_any), "");
  EXPECT_EQ(any, std::numeric_limits<int64_t>::min());
  EXPECT_EQ(fault(R"({"x":9223372036854775808})", read_any),
            "x must be a 64-bit integer, got 9223372036854775808");
  EXPECT_EQ(fault(R"({"x":1e16})", read_any), "x must be a 64-bit integer, got 1e+16");
}

TEST(FieldReader, LimitsSayTheNumbers) {
  std::string text;
  EXPECT_EQ(
      fault(R"({"x":"four"})", [&](FieldReader& reader) { reader.field("x", text, size_t{3}); }),
      "x must be at most 3 bytes long, got 4");
  std::vector<int32_t> ids;
  const auto read_ids = [&](FieldReader& reader) { reader.token_ids("x", ids, 2); };
  EXPECT_EQ(fault(R"({"x":[0,2147483647]})", read_ids), "");
  EXPECT_EQ(ids, (std::vector<int32_t>{0, 2147483647}));
  EXPECT_EQ(fault(R"({"x":[1,2,3]})", read_ids), "x must hold at most 2 token ids, got 3");
  EXPECT_EQ(fault(R"({"x":[1,-1]})", read_ids), "x[1] must be a token id, got -1");
  EXPECT_EQ(fault(R"({"x":[1.0]})", read_ids), "x[0] must be a token id, got 1.0");
  EXPECT_EQ(fault(R"({"x":7})", read_ids), "x must be a list of token ids, got 7");
}

TEST(FieldReader, OneStringStandsForAListOfStrings) {
  std::vector<std::string> strings;
  const auto read = [&](FieldReader& reader) { reader.strings("x", strings, 2, 3); };
  EXPECT_EQ(fault(R"({"x":"END"})", read), "");
  EXPECT_EQ(strings, (std::vector<std::string>{"END"}));
  EXPECT_EQ(fault(R"({"x":["a","b","c"]})", read), "x must hold at most 2 strings, got 3");
  EXPECT_EQ(fault(R"({"x":["a",""]})", read), "x must hold strings that are not empty, got \"\"");
  EXPECT_EQ(fault(R"({"x":["four"]})", read),
            "x must hold strings of at most 3 bytes, got one of 4");
  EXPECT_EQ(fault(R"({"x":{}})", read), "x must be a string or a list of strings, got an object");
}

TEST(FieldReader, OnlyTheFirstFaultIsKeptWithItsPlace) {
  bool a = false;
  int64_t b = 0;
  const auto read = [&](FieldReader& reader) {
    reader.object("inner", [&](FieldReader& inner) {
      inner.field("a", a);
      inner.field("b", b);
      inner.fail("c", "is a later fault");
    });
    reader.fail("d", "is a later fault");
    EXPECT_EQ(reader.find("inner"), nullptr) << "after a fault nothing is read";
  };
  EXPECT_EQ(fault(R"({"inner":{"a":1,"b":"x"}})", read), "inner.a must be true or false, got 1");
  EXPECT_EQ(fault(R"({"inner":{"b":"x"}})", read), "inner.b must be an integer, got \"x\"");
  EXPECT_EQ(fault(R"({"inner":5})", read), "inner must be an object, got 5");
}

TEST(FieldReader, PlacesBeginWithThatOfTheObject) {
  const Json object = {{"role", 5}};
  FieldReader reader(object, Format::kJson, "messages[2]");
  std::string role;
  reader.field("role", role);
  EXPECT_EQ(reader.status().error().param, "messages[2].role");
}

TEST(FieldReader, LongValuesAreShownCut) {
  EXPECT_EQ(shown(Json(std::string(100, 'x'))), "\"" + std::string(47, 'x') + "…");
  EXPECT_EQ(shown(nullptr), "null");
  EXPECT_EQ(shown(Json::array({1})), "an array");
}

}  // namespace
}  // namespace lockstep::wire
