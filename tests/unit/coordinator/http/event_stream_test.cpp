// EventStream: the events that are sent, and when a comment is sent instead.
#include "coordinator/openai/event_stream.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace lockstep {
namespace {

class EventStreamTest : public ::testing::Test {
 protected:
  EventStreamTest() {
    OpenAiRequest request;
    request.endpoint = OpenAiEndpoint::kCompletions;
    request.prompts.resize(2);
    stream_.emplace(request, AnswerHeader{});
  }
  void accept(const char* id) { stream_->take(wire::Accepted{id, 9, "", {}, 1}); }
  void tokens(const char* id, const std::string& text = "hello") {
    wire::Tokens message;
    message.request_id = id;
    message.ids = {5};
    message.text = text;
    stream_->take(message);
  }

  std::optional<EventStream> stream_;
};

TEST_F(EventStreamTest, EveryPromptMustBeAccepted) {
  accept("0");
  EXPECT_FALSE(stream_->accepted());
  accept("1");
  EXPECT_TRUE(stream_->accepted());
  EXPECT_EQ(stream_->seed(), 9u);
}

TEST_F(EventStreamTest, SilenceIsFilledWithAComment) {
  accept("0");
  accept("1");
  EXPECT_EQ(stream_->take_text(false), "");
  EXPECT_EQ(stream_->take_text(true), ": keep-alive\n");
}

// Every line end of Python's str.splitlines(), in the text and in the message of an error.
TEST_F(EventStreamTest, AnEventIsOneLineWhateverItsTextHolds) {
  const std::string hostile =
      "a\n\r\v\f\x1c\x1d\x1e\x7f\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\xe2\x80\xa7\xc2\x86z";
  accept("0");
  accept("1");
  tokens("0", hostile);
  stream_->take(wire::ErrorReply{"1", ErrorCode::kInternal, hostile, ""});
  std::string text = stream_->take_text(false);
  for (const char* line_end :
       {"\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"}) {
    EXPECT_EQ(text.find(line_end), std::string::npos) << line_end;
  }
  ASSERT_TRUE(text.starts_with("id: 0:1,1:0\ndata: ")) << text;
  text.erase(0, text.find("data: "));
  ASSERT_EQ(std::count(text.begin(), text.end(), '\n'), 6) << text;  // three events
  std::vector<std::string> said;
  for (size_t end = text.find("\n\n"); end != std::string::npos; end = text.find("\n\n")) {
    const std::string json = text.substr(6, end - 6);
    text.erase(0, end + 2);
    if (json == "[DONE]") continue;
    const auto event = nlohmann::json::parse(json);
    said.push_back(event.contains("error") ? event["error"]["message"]
                                           : event["choices"][0]["text"]);
  }
  EXPECT_EQ(said, (std::vector<std::string>{hostile, hostile}));
}

// Messages may arrive between the end of the wait and the read of the queue.
TEST_F(EventStreamTest, ACommentNeverReplacesTokens) {
  accept("0");
  accept("1");
  tokens("0");
  const std::string text = stream_->take_text(true);
  EXPECT_NE(text.find("hello"), std::string::npos) << text;
  EXPECT_EQ(text.find("keep-alive"), std::string::npos) << text;
}

// Clients skip comments; people who read a stream see them.
TEST_F(EventStreamTest, TheReceiptsOfAllPromptsComeBeforeTheEnd) {
  accept("0");
  accept("1");
  wire::Done done{"1", "stop", {}};
  done.cache_receipt = wire::CacheReceipt{"hit", 48, 50, {}};
  stream_->take(done);
  EXPECT_EQ(stream_->take_text(false), "");
  done.request_id = "0";
  done.cache_receipt = wire::CacheReceipt{"evicted", 16, 16, 3.25};
  stream_->take(done);
  EXPECT_EQ(stream_->take_text(false),
            ": x-cache-receipt: evicted; matched=16; divergent=16; evicted_seconds=3.2, "
            "hit; matched=48; divergent=50\ndata: [DONE]\n\n");
}

TEST_F(EventStreamTest, ACommentNeverReplacesTheEnd) {
  accept("0");
  accept("1");
  stream_->take(wire::Done{"0", "stop", {}});
  EXPECT_FALSE(stream_->over());
  stream_->take(wire::Done{"1", "stop", {}});
  EXPECT_TRUE(stream_->over());
  EXPECT_EQ(stream_->take_text(true), "data: [DONE]\n\n");
}

TEST_F(EventStreamTest, AnErrorIsTheLastEvent) {
  accept("0");
  accept("1");
  stream_->take(wire::ErrorReply{"1", ErrorCode::kDecodeFailed, "nan", ""});
  tokens("0");
  EXPECT_TRUE(stream_->over());
  const std::string text = stream_->take_text(true);
  EXPECT_NE(text.find("decode_failed"), std::string::npos) << text;
  EXPECT_EQ(text.find("hello"), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("data: [DONE]\n\n")) << text;
}

}  // namespace
}  // namespace lockstep
