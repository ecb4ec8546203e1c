// Streams over HTTP that go on at another coordinator: from every position, the rest is what the
// undisturbed stream had behind it, byte for byte.
#include <gtest/gtest.h>

#include <fstream>
#include <set>

#include "tests/support/sampled_script.h"
#include "tests/support/temporary_path.h"
#include "tests/unit/coordinator/http_api_support.h"

namespace lockstep::testing {
namespace {

using nlohmann::json;

// The key file of two coordinators.
class KeyFile {
 public:
  explicit KeyFile(char letter) { path_.write(std::string(32, letter) + "\n"); }
  CoordinatorConfig config() const {
    CoordinatorConfig config;
    config.resume_key_file = path_.str();
    return config;
  }

 private:
  const TemporaryPath path_;
};

struct Case {
  const char* name;
  std::string path;
  std::string body;  // without the end of the object
};

std::vector<Case> cases() {
  const std::string chat = R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}])";
  const std::string text = R"({"model":"tiny","prompt":"Once")";
  const std::string usage = R"(,"stream":true,"stream_options":{"include_usage":true})";
  const std::string chats = "/v1/chat/completions", texts = "/v1/completions";
  return {
      {"chat", chats, chat + R"(,"stream":true)"},
      {"chat of three choices", chats, chat + R"(,"n":3,"temperature":0)" + usage},
      {"chat with logprobs and ids", chats,
       chat + R"(,"n":2,"logprobs":true,"return_token_ids":true)" + usage},
      {"completion", texts, text + R"(,"seed":5)" + usage},
      {"completion of three choices", texts, text + R"(,"n":3,"max_tokens":5)" + usage},
      {"completion with logprobs", texts, text + R"(,"n":2,"logprobs":0)" + usage},
      {"completion with ids", texts, text + R"(,"n":2,"return_token_ids":true)" + usage},
      {"completion with logprobs and ids", texts,
       text + R"(,"logprobs":0,"return_token_ids":true)" + usage},
      {"completions of three prompts", texts,
       R"({"model":"tiny","prompt":["a","b",[1,2]],"n":2)" + usage},
  };
}

std::string resume_headers(const std::string& token, const std::string& last_event_id) {
  return "X-Resume-Token: " + token + "\r\n" +
         (last_event_id.empty() ? "" : "Last-Event-ID: " + last_event_id + "\r\n");
}

std::vector<std::string> data_of(const std::vector<Event>& events) {
  std::vector<std::string> out;
  for (const Event& event : events) out.push_back(event.data);
  return out;
}

// A chunk that has a choice with its output, or the usage; not [DONE].
bool needs_an_id(const Event& event) { return event.data != "[DONE]"; }

TEST(StreamResume, GoesOnAtAnotherCoordinatorFromEveryEvent) {
  const KeyFile key('k');
  FakeNode node(sampled());
  CoordinatorHarness first({&node}, key.config()), second({&node}, key.config());
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const HttpAnswer whole = first.post(c.path, c.body + "}");
    ASSERT_EQ(whole.status, 200) << whole.body;
    const std::string token = whole.headers.at("x-resume-token");
    const std::vector<Event> events = events_with_ids(whole.body);
    ASSERT_GE(events.size(), 4u);
    for (size_t i = 0; i + 1 < events.size(); ++i) {
      ASSERT_TRUE(needs_an_id(events[i]));
      ASSERT_NE(events[i].id, "") << events[i].data;
      const HttpAnswer rest =
          second.post(c.path, c.body + "}", resume_headers(token, events[i].id));
      ASSERT_EQ(rest.status, 200) << rest.body;
      const std::vector<Event> more = events_with_ids(rest.body);
      EXPECT_EQ(data_of(more), data_of({events.begin() + i + 1, events.end()}))
          << "behind " << events[i].id;
      EXPECT_EQ(rest.headers.at("x-resume-token"), token);
      EXPECT_EQ(rest.headers.at("x-lockstep-seed"), whole.headers.at("x-lockstep-seed"));
    }
  }
}

TEST(StreamResume, WithoutAPositionTheWholeStreamComesAgain) {
  const KeyFile key('k');
  FakeNode node(sampled());
  CoordinatorHarness first({&node}, key.config()), second({&node}, key.config());
  for (const Case& c : cases()) {
    SCOPED_TRACE(c.name);
    const HttpAnswer whole = first.post(c.path, c.body + "}");
    const std::string token = whole.headers.at("x-resume-token");
    EXPECT_EQ(second.post(c.path, c.body + "}", resume_headers(token, "")).body, whole.body);
  }
}

TEST(StreamResume, AResumedStreamIsResumedAgain) {
  const KeyFile key('k');
  FakeNode node(sampled());
  CoordinatorHarness first({&node}, key.config()), second({&node}, key.config());
  const Case c = cases()[1];
  const std::string body = c.body + "}";
  const HttpAnswer whole = first.post(c.path, body);
  const std::vector<Event> events = events_with_ids(whole.body);
  const HttpAnswer rest =
      second.post(c.path, body, resume_headers(whole.headers.at("x-resume-token"), events[4].id));
  const std::vector<Event> more = events_with_ids(rest.body);
  for (size_t i = 0; i < more.size(); ++i) EXPECT_EQ(more[i].id, events[5 + i].id);
  const HttpAnswer last =
      first.post(c.path, body, resume_headers(rest.headers.at("x-resume-token"), more[2].id));
  EXPECT_EQ(data_of(events_with_ids(last.body)), data_of({events.begin() + 8, events.end()}));
}

TEST(StreamResume, TheNodeBeginsAgainAsTheFirstOneDid) {
  const KeyFile key('k');
  FakeNode node(sampled());
  CoordinatorHarness coordinator({&node}, key.config());
  const std::string body = R"({"model":"tiny","prompt":"Once","n":2,"stream":true})";
  const HttpAnswer whole = coordinator.post("/v1/completions", body);
  coordinator.post("/v1/completions", body,
                   resume_headers(whole.headers.at("x-resume-token"), "0:2,1:3:stop"));
  const wire::Generate begun = node.wait_request(0), resumed = node.wait_request(1);
  EXPECT_EQ(resumed.seed, begun.seed);
  EXPECT_TRUE(begun.emitted.empty() && resumed.emitted.empty());
  EXPECT_FALSE(begun.max_tokens);
  EXPECT_EQ(resumed.max_tokens, 8) << "the limit that the first node had";
}

// Whatever the client gave as its seed, and whatever else is in flight.
TEST(StreamResume, AnAnswerThatIsNotStreamedComesAgain) {
  const KeyFile key('k');
  FakeNode node(sampled());
  CoordinatorHarness first({&node}, key.config()), second({&node}, key.config());
  const std::string body = R"({"model":"tiny","prompt":["a","b"],"n":2})";
  const HttpAnswer whole = first.post("/v1/completions", body);
  const std::string token = whole.headers.at("x-resume-token");
  EXPECT_EQ(second.post("/v1/completions", body, resume_headers(token, "")).body, whole.body);
}

TEST(StreamResume, AnIdSaysWhereEveryChoiceIs) {
  FakeNode node(sampled());
  CoordinatorHarness coordinator({&node});
  const HttpAnswer answer = coordinator.post(
      "/v1/chat/completions",
      R"({"model":"tiny","messages":[{"role":"user","content":"Hi"}],"n":3,"stream":true})");
  const std::vector<Event> events = events_with_ids(answer.body);
  EXPECT_EQ(events[0].id, "0:0");
  EXPECT_EQ(events[1].id, "0:0,1:0");
  EXPECT_EQ(events[2].id, "0:0,1:0,2:0");
  for (size_t i = 3; i + 1 < events.size(); ++i) {
    const std::string& id = events[i].id;
    EXPECT_EQ(std::count(id.begin(), id.end(), ','), 2) << id;
  }
  EXPECT_EQ(events.back().id, "");
}

TEST(StreamResume, AResponseWithTooManyChoicesHasNoToken) {
  FakeNode node;
  CoordinatorHarness coordinator({&node});
  const auto ask = [&](int n_prompts) {
    json body = {{"model", "tiny"}, {"stream", true}, {"n", 2}, {"prompt", json::array()}};
    for (int i = 0; i < n_prompts; ++i) body["prompt"].push_back("a");
    return coordinator.post("/v1/completions", body.dump());
  };
  const HttpAnswer largest = ask(64), larger = ask(65);
  EXPECT_EQ(largest.headers.count("x-resume-token"), 1u);
  EXPECT_NE(events_with_ids(largest.body)[0].id, "");
  EXPECT_EQ(larger.headers.count("x-resume-token"), 0u);
  for (const Event& event : events_with_ids(larger.body)) EXPECT_EQ(event.id, "");
}

// Refusals. In each test another stream runs meanwhile and is not disturbed.
class StreamResumeRefusals : public ::testing::Test {
 protected:
  StreamResumeRefusals() {
    running_.post("/v1/completions", R"({"model":"tiny","prompt":"hang","stream":true})");
    EXPECT_EQ(running_.read_head().status, 200);
    token_ = first_.post(kPath, body_).headers.at("x-resume-token");
  }
  ~StreamResumeRefusals() override {
    const wire::Generate request = node_.wait_request(0);
    node_.say(FakeNode::piece(request, 0, 1));
    node_.say(wire::Done{request.request_id, "stop", {1, 0, 2}});
    std::string text;
    while (running_.read_chunk(text)) {
    }
    const std::vector<Event> events = events_with_ids(text);
    EXPECT_EQ(events.size(), 3u) << text;
    EXPECT_EQ(events.back().data, "[DONE]");
    for (const std::string& id : node_.wait_cancels(0)) EXPECT_NE(id, request.request_id);
  }

  void expect_refused(const std::string& headers, int status, const std::string& param,
                      const std::string& reason, const std::string& body) {
    const double before = n_refused(reason);
    const HttpAnswer answer = first_.post(kPath, body, headers);
    EXPECT_EQ(answer.status, status) << headers << answer.body;
    EXPECT_EQ(json::parse(answer.body)["error"]["param"], param) << answer.body;
    EXPECT_EQ(n_refused(reason), before + 1) << reason;
  }
  void expect_refused(const std::string& headers, int status, const std::string& param,
                      const std::string& reason) {
    expect_refused(headers, status, param, reason, body_);
  }
  double n_refused(const std::string& reason) const {
    const std::string line = "lockstep_resume_tokens_refused_total{reason=\"" + reason + "\"} ";
    const std::string page = first_.admin_metrics();
    const size_t at = page.find(line);
    return at == page.npos ? -1 : std::stod(page.substr(at + line.size()));
  }

  static FakeNode::Script script() {
    return [](const wire::Generate& request) {
      return request.prompt_text == "hang" ? FakeNode::hang_after(1)(request) : sampled()(request);
    };
  }

  static constexpr const char* kPath = "/v1/completions";
  const std::string body_ = R"({"model":"tiny","prompt":"Once","n":2,"stream":true})";
  const KeyFile key_{'k'}, other_key_{'o'};
  FakeNode node_{script()};
  CoordinatorHarness first_{{&node_}, key_.config()};
  HttpClient running_{first_.port()};
  std::string token_;
};

TEST_F(StreamResumeRefusals, ATokenThatIsNone) {
  expect_refused(resume_headers("x", ""), 400, "x-resume-token", "malformed");
  expect_refused(resume_headers(token_.substr(0, 40), ""), 400, "x-resume-token", "malformed");
  expect_refused(resume_headers("Ag" + token_.substr(2), "0:1"), 400, "x-resume-token", "version");
  expect_refused("Last-Event-ID: 0:1\r\n", 400, "x-resume-token", "malformed");
}

TEST_F(StreamResumeRefusals, ATokenThatThisClusterDidNotIssue) {
  std::string forged = token_;
  forged[60] = forged[60] == 'A' ? 'B' : 'A';
  expect_refused(resume_headers(forged, "0:1"), 403, "x-resume-token", "forged");
  CoordinatorHarness other({&node_}, other_key_.config());
  const std::string foreign = other.post(kPath, body_).headers.at("x-resume-token");
  expect_refused(resume_headers(foreign, "0:1"), 403, "x-resume-token", "forged");
  CoordinatorHarness without_file({&node_});
  const std::string own = without_file.post(kPath, body_).headers.at("x-resume-token");
  expect_refused(resume_headers(own, "0:1"), 403, "x-resume-token", "forged");
  EXPECT_EQ(without_file.post(kPath, body_, resume_headers(own, "0:1")).status, 200);
}

TEST_F(StreamResumeRefusals, ATokenOfAnotherBody) {
  for (const char* other :
       {R"({"model":"tiny","prompt":"Twice","n":2,"stream":true})",
        R"({"model":"tiny","prompt":"Once","n":3,"stream":true})",
        R"({"model":"tiny","prompt":"Once","n":2,"stream":true,"temperature":0.5})",
        R"({"model":"tiny","prompt":["Once","x"],"n":2,"stream":true})",
        R"({"model":"tiny","prompt":"Once","n":2,"stream":true,"seed":1})"})
    expect_refused(resume_headers(token_, "0:1"), 409, "x-resume-token", "body", other);
}

TEST_F(StreamResumeRefusals, AFingerprintThatNoNodeHas) {
  FakeNode changed(sampled(), "tiny", 1, "g");
  CoordinatorHarness after({&changed}, key_.config());
  const HttpAnswer answer = after.post(kPath, body_, resume_headers(token_, "0:1"));
  EXPECT_EQ(answer.status, 409) << answer.body;
  const json error = json::parse(answer.body)["error"];
  EXPECT_EQ(error["code"], "conflict");
  EXPECT_EQ(error["param"], "resume_token");
  EXPECT_NE(std::string(error["message"]).find("fingerprint f,"), std::string::npos) << error;
  EXPECT_NE(
      after.admin_metrics().find("lockstep_resume_tokens_refused_total{reason=\"fingerprint\"} 1"),
      std::string::npos);
  EXPECT_EQ(after.post(kPath, body_).status, 200) << "a new request is served";
}

// Two fingerprints serve the model: the one of the token runs the request, though it gets no new
// requests.
TEST_F(StreamResumeRefusals, TheOtherFingerprintDoesNotRunIt) {
  FakeNode changed(sampled(), "tiny", 1, "g"), also_changed(sampled(), "tiny", 1, "g");
  CoordinatorHarness mixed({&changed, &also_changed, &node_}, in_turn(key_.config()));
  EXPECT_EQ(mixed.post(kPath, body_).status, 200);
  const std::string begun = changed.wait_request(0).request_id;
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(mixed.post(kPath, body_, resume_headers(token_, "0:1")).status, 200);
  for (size_t i = 2; i < 5; ++i) node_.wait_request(i);
}

TEST_F(StreamResumeRefusals, APositionThatIsNone) {
  for (const char* position :
       {"x", "0", "0:1,", "1:1,0:1", "0:1:cancelled", "2:1", "0:1,1:1,2:1", "0:4294967296"})
    expect_refused(resume_headers(token_, position), 400, "last-event-id", "position");
  const std::string whole = R"({"model":"tiny","prompt":"Once","n":2})";
  expect_refused(resume_headers(token_, "0:1"), 400, "last-event-id", "position", whole);
}

TEST_F(StreamResumeRefusals, APositionBeyondTheEnd) {
  const HttpAnswer answer = first_.post(kPath, body_, resume_headers(token_, "0:1,1:9"));
  std::vector<std::string> data = events(answer.body);
  ASSERT_GE(data.size(), 2u) << answer.body;
  EXPECT_EQ(json::parse(data[data.size() - 2])["error"]["param"], "last-event-id") << answer.body;
}

TEST_F(StreamResumeRefusals, APositionBeyondTheEndThatTheCoordinatorFinds) {
  const std::string body = R"({"model":"tiny","prompt":"Once","logprobs":0,"stream":true})";
  const std::string token = first_.post(kPath, body).headers.at("x-resume-token");
  const HttpAnswer answer = first_.post(kPath, body, resume_headers(token, "0:9"));
  std::vector<std::string> data = events(answer.body);
  ASSERT_GE(data.size(), 2u) << answer.body;
  EXPECT_EQ(json::parse(data[data.size() - 2])["error"]["param"], "last-event-id") << answer.body;
}

}  // namespace
}  // namespace lockstep::testing
