// What a web page may have sent: by Host, Origin and Content-Type.
#include "common/service/http/http_guard.h"

#include <gtest/gtest.h>

namespace lockstep {
namespace {

ErrorCode refusal(const HttpHead& head, bool is_guarded = true) {
  const Status status = check_head(head, is_guarded);
  EXPECT_FALSE(status);
  return status ? ErrorCode::kInternal : status.error().code;
}

HttpHead get(std::string_view host) { return {.method = "GET", .n_hosts = 1, .host = host}; }

TEST(HttpGuard, HostsThatNameLoopbackPass) {
  for (const char* host : {"localhost", "LOCALHOST:8000", "127.0.0.1", "127.0.0.1:1",
                           "127.200.3.4:99", "[::1]", "[::1]:8000", " localhost "}) {
    EXPECT_TRUE(check_head(get(host), true)) << host;
  }
  EXPECT_TRUE(check_head({.method = "GET"}, true));
}

TEST(HttpGuard, OtherHostsAreForbiddenAndTheHeaderIsNamed) {
  for (const char* host :
       {"", "evil.example", "evil.example:80", "localhost.evil.example", "localhost.", "10.0.0.1",
        "127.evil.example", "[::2]", "[::1", "[", ":80", "0.0.0.0", "user@localhost", "\xff\xfe"}) {
    EXPECT_EQ(refusal(get(host)), ErrorCode::kForbidden) << host;
    EXPECT_TRUE(check_head(get(host), /*is_guarded=*/false)) << host;
  }
  EXPECT_NE(check_head(get("evil.example"), true).error().message.find("Host header"),
            std::string::npos);
  EXPECT_EQ(refusal({.method = "GET", .n_hosts = 2, .host = "localhost"}),
            ErrorCode::kInvalidRequest);
}

TEST(HttpGuard, APostFromAnotherSiteIsForbidden) {
  HttpHead post{.method = "POST", .n_hosts = 1, .host = "localhost"};
  for (const char* origin : {"http://evil.example", "null", "https://localhost.evil.example",
                             "file://", "chrome-extension://abc"}) {
    post.origin = origin;
    EXPECT_EQ(refusal(post), ErrorCode::kForbidden) << origin;
    EXPECT_TRUE(check_head(post, /*is_guarded=*/false)) << origin;
  }
  for (const char* origin : {"", "http://localhost", "http://127.0.0.1:3000", "https://[::1]:1"}) {
    post.origin = origin;
    EXPECT_TRUE(check_head(post, true)) << origin;
  }
}

TEST(HttpGuard, ABodySaysThatItIsJsonWhereverTheServerListens) {
  for (const bool is_guarded : {true, false}) {
    HttpHead post{.method = "POST", .n_hosts = 1, .host = "localhost", .has_body = true};
    for (const char* type : {"", "text/plain", "application/x-www-form-urlencoded",
                             "multipart/form-data; boundary=x", "application/json-seq", ";"}) {
      post.content_type = type;
      EXPECT_EQ(refusal(post, is_guarded), ErrorCode::kUnsupportedMediaType) << type;
    }
    for (const char* type : {"application/json", "Application/JSON;charset=utf-8",
                             " application/json ; charset=\"utf-8\""}) {
      post.content_type = type;
      EXPECT_TRUE(check_head(post, is_guarded)) << type;
    }
  }
}

TEST(HttpGuard, OnlyAServerOnLoopbackIsGuarded) {
  EXPECT_TRUE(guards_host("127.0.0.1", false));
  EXPECT_TRUE(guards_host("::1", false));
  EXPECT_TRUE(guards_host("localhost", false));
  EXPECT_FALSE(guards_host("127.0.0.1", true));
  EXPECT_FALSE(guards_host("0.0.0.0", false));
  EXPECT_FALSE(guards_host("10.1.2.3", false));
}

}  // namespace
}  // namespace lockstep
