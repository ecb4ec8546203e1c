// Resumption: what ties one HTTP response to the request that asks for it, so that the same request
// can be sent again, to any coordinator with the same key, for the rest of the response or for all
// of it. Values only; any thread.
//
// A client resumes by repeating its POST with the header X-Resume-Token of the response that broke
// off, and with Last-Event-ID, the `id` of the last event that it has (stream_position.h). Without
// Last-Event-ID it gets the whole response again. The response has the same id and `created`.
#pragma once

#include <string>

#include "common/result.h"
#include "common/service/http/http_message.h"
#include "coordinator/openai/openai_request.h"
#include "coordinator/openai/openai_response.h"
#include "coordinator/resume/resume_tokens.h"
#include "coordinator/resume/stream_position.h"

namespace lockstep {

struct Resumption {
  ResumeToken token;        // of a new response: complete once take() has seen all prompts
  StreamPosition position;  // what the client has; of a new response, nothing
  bool has_token = true;    // false: the response has too many choices to be resumed

  // "" for a new response: its nodes are not chosen yet.
  const std::string& required_fingerprint() const { return token.fingerprint; }
  AnswerHeader header(OpenAiEndpoint endpoint) const;
  // To be called once per prompt.
  void take(const wire::Accepted& accepted);
};

// Reads the headers of `http`. To be called while `request` has its prompts. Gives the prompts of a
// request that is resumed the seed of its token and the output that its client has. Errors: those
// of ResumeTokens::open(), and kInvalidRequest naming "last-event-id" or "x-resume-token"; all are
// counted.
Result<Resumption> read_resumption(const HttpRequest& http, const ResumeTokens& tokens,
                                   OpenAiRequest& request);

}  // namespace lockstep
