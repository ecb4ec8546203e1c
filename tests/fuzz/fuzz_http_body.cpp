// Any HTTP body is answered with a 4xx whose own body is JSON, or becomes messages that a node can
// read. The tree that errors are located in is the one that nlohmann's parser builds.
#include "common/check.h"
#include "coordinator/http/http_error.h"
#include "coordinator/http/json_body.h"
#include "coordinator/openai/openai_request.h"
#include "coordinator/openai/openai_response.h"
#include "tests/fuzz/target.h"
#include "wire/codec/codec.h"

namespace lockstep::testing {

std::vector<std::string> fuzz_seeds() {
  return {
      R"({"model":"m","messages":[{"role":"system","content":"S"},{"role":"user","name":"bob",)"
      R"("content":[{"type":"text","text":"H\u00e9\ud83d\ude42"}]}],"temperature":0.5,"top_p":0.9,)"
      R"("n":2,"seed":-7,"stop":["\n","END"],"stream":true,"logprobs":true,"top_logprobs":3,)"
      R"("stream_options":{"include_usage":true},"max_completion_tokens":9})",
      R"({"model":"m","prompt":"Hi","max_tokens":7,"min_tokens":2,"top_k":-1,"min_p":0.25,)"
      R"("repetition_penalty":1.1,"presence_penalty":-2,"frequency_penalty":2e0,"logprobs":20,)"
      R"("stop":"x","stop_token_ids":[1,2147483647],"ignore_eos":true,"return_token_ids":true})",
      R"({"model":"m","prompt":[[1,2],[3]],"cache_salt":"acme","echo":false,"best_of":1,"suffix":null,"user":"u"})",
      R"({"model":"m","prompt":["a","b"],"tools":[],"response_format":{"type":"text"}})",
      R"({"prompt":"text","add_special_tokens":false,"return_token_strs":true})",
      R"({"model":"m","tokens":[1,2,3]})",
      R"({"a":[1.5e3,-0,1E400,"\"\\\/\b\f\n\r\t",{"b":null},true],"a":18446744073709551616})",
  };
}

}  // namespace lockstep::testing

namespace lockstep {
namespace {

using nlohmann::json;

void check_answer(const Error& error) {
  CHECK(http_status(error.code) >= 400 && http_status(error.code) < 500);
  CHECK(!error.message.empty());
  CHECK(json::accept(error_body(error)));
}

template <class Message>
void check_readable(Message message) {
  message.request_id = "r";
  const std::string bytes = wire::encode(message);
  const auto read = wire::decode(bytes);
  CHECK(read.has_value());
  CHECK(wire::encode(*read) == bytes);
}

void check_generate(const Result<OpenAiRequest>& request) {
  if (!request) return check_answer(request.error());
  CHECK(!request->prompts.empty());
  for (const wire::Generate& prompt : request->prompts) check_readable(prompt);
}

template <class Message>
void check_message(const Result<Message>& message) {
  if (!message) return check_answer(message.error());
  check_readable(*message);
}

void check_tree(std::string_view body) {
  const auto tree = parse_json_object(body);
  if (!tree) return check_answer(tree.error());
  CHECK(*tree == json::parse(body));
}

}  // namespace
}  // namespace lockstep

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t n_bytes) {
  using namespace lockstep;  // NOLINT(google-build-using-namespace)
  const std::string_view body = testing::as_text(data, n_bytes);
  check_tree(body);
  check_generate(parse_chat_request(body));
  check_generate(parse_completion_request(body));
  check_message(parse_tokenize_request(body));
  check_message(parse_detokenize_request(body));
  return 0;
}
