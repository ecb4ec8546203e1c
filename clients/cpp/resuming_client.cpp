#include "clients/cpp/resuming_client.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace lockstep {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// The coordinator cannot serve the request now; another one may.
bool goes_elsewhere(const Error& error) {
  return error.code == ErrorCode::kNoNodeReady || error.code == ErrorCode::kOverloaded;
}

milliseconds time_until(Clock::time_point deadline) {
  return std::max(milliseconds{0}, std::chrono::ceil<milliseconds>(deadline - Clock::now()));
}

}  // namespace

Result<std::unique_ptr<ResumingClient>> ResumingClient::connect(std::vector<std::string> endpoints,
                                                                ResumeLimits limits) {
  if (endpoints.empty())
    return Error{ErrorCode::kInvalidRequest, "name at least one endpoint", "endpoints"};
  for (const std::string& endpoint : endpoints) {  // a wrong one is found before it is needed
    TRY([[maybe_unused]] const auto client, ZmqClient::connect(endpoint));
  }
  return std::unique_ptr<ResumingClient>(new ResumingClient(std::move(endpoints), limits));
}

// An endpoint that is not reached is an Error that goes elsewhere.
Result<ZmqClient*> ResumingClient::connected() {
  if (client_ == nullptr) {
    TRY(client_, ZmqClient::connect(endpoints_[current_]));
  }
  if (const Status reached = client_->wait_connected(limits_.connect); !reached)
    return Error{ErrorCode::kNoNodeReady, reached.error().message, ""};
  return client_.get();
}

void ResumingClient::leave() {
  client_.reset();
  current_ = (current_ + 1) % endpoints_.size();
}

Result<wire::Done> ResumingClient::attempt(const wire::Generate& request,
                                           const StreamHandlers& handlers, Milliseconds timeout,
                                           Progress& progress) {
  TRY(ZmqClient * client, connected());
  const std::vector<bool> ended_before = progress.ended;
  StreamHandlers watching;
  watching.on_accepted = [&](const wire::Accepted& accepted) {
    progress.resume_token = accepted.resume_token;
    if (handlers.on_accepted) handlers.on_accepted(accepted);
  };
  watching.on_tokens = [&](const wire::Tokens& tokens) {
    if (tokens.choice >= ended_before.size() || ended_before[tokens.choice]) return;
    progress.index[tokens.choice] += static_cast<uint32_t>(tokens.ids.size());
    if (tokens.finish_reason) progress.ended[tokens.choice] = true;
    if (handlers.on_tokens) handlers.on_tokens(tokens);
  };
  if (progress.resume_token.empty()) return client->generate(request, watching, timeout);
  ++n_resumed_;
  wire::Attach attach;
  static_cast<wire::Generate&>(attach) = request;
  attach.resume_token = progress.resume_token;
  attach.index = progress.index;
  return client->attach(std::move(attach), watching, timeout);
}

Result<wire::Done> ResumingClient::generate(const wire::Generate& request,
                                            const StreamHandlers& handlers, Milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  Progress progress;
  const auto n_choices = static_cast<size_t>(std::clamp<int64_t>(request.n, 1, 128));
  progress.index.resize(n_choices);
  progress.ended.resize(n_choices);
  for (int n_tries = 1;; ++n_tries) {
    Result<wire::Done> done = attempt(request, handlers, time_until(deadline), progress);
    if (done || !goes_elsewhere(done.error())) return done;
    if (n_tries >= limits_.tries || Clock::now() >= deadline) return done;
    leave();
    const bool tried_all = static_cast<size_t>(n_tries) % endpoints_.size() == 0;
    if (tried_all) std::this_thread::sleep_for(std::min(limits_.pause, time_until(deadline)));
  }
}

template <class Answer, class Ask>
Result<Answer> ResumingClient::ask_each(Ask ask) {
  Error last;
  for (size_t i = 0; i < endpoints_.size(); ++i) {
    Result<ZmqClient*> client = connected();
    if (client) {
      Result<Answer> answer = ask(**client);
      if (answer) return answer;
      last = answer.error();
    } else {
      last = client.error();
    }
    leave();
  }
  return last;
}

Result<wire::ClusterStatus> ResumingClient::status(Milliseconds timeout) {
  return ask_each<wire::ClusterStatus>([&](ZmqClient& client) { return client.status(timeout); });
}

Result<wire::Models> ResumingClient::models(Milliseconds timeout) {
  return ask_each<wire::Models>([&](ZmqClient& client) { return client.models(timeout); });
}

}  // namespace lockstep
