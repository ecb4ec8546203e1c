#include "common/service/http/url.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

TEST(Url, EscapesBecomeTheirBytesAndOtherPercentsStay) {
  EXPECT_EQ(percent_decode("a%2Fb%2f%20c"), "a/b/ c");
  EXPECT_EQ(percent_decode("100%"), "100%");
  EXPECT_EQ(percent_decode("%4"), "%4");
  EXPECT_EQ(percent_decode("%zz%4g+"), "%zz%4g+");
}

TEST(Url, AQueryIsItsNamesAndValues) {
  EXPECT_EQ(parse_query(""), UrlQuery());
  EXPECT_EQ(parse_query("a=1&b%20c=%26d&e"), (UrlQuery{{"a", "1"}, {"b c", "&d"}, {"e", ""}}));
  EXPECT_EQ(parse_query("a=1&a=2&&=&x=y=z"), (UrlQuery{{"", ""}, {"a", "2"}, {"x", "y=z"}}));
}

}  // namespace
}  // namespace lockstep
