// ResumingClient: a client of several coordinators that read the same --resume-key-file. A request
// whose coordinator is lost, shuts down or is full goes on at the next one (docs/resume.md). The
// handlers see each output once. One thread at a time; handlers run on the calling thread.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "clients/cpp/client.h"

namespace lockstep {

struct ResumeLimits {
  int tries = 8;                            // times that one request is sent
  std::chrono::milliseconds connect{2000};  // for one connection
  std::chrono::milliseconds pause{200};     // after every coordinator was tried
};

class ResumingClient {
 public:
  using Milliseconds = ZmqClient::Milliseconds;

  // At least one endpoint. Returns before a connection is made.
  static Result<std::unique_ptr<ResumingClient>> connect(std::vector<std::string> endpoints,
                                                         ResumeLimits limits = {});

  // As ZmqClient::generate(); `timeout` is for all tries together. on_accepted is called at each
  // coordinator that goes on with the request.
  Result<wire::Done> generate(const wire::Generate& request, const StreamHandlers& handlers,
                              Milliseconds timeout);
  // Asks the coordinators in turn until one answers; `timeout` is for each.
  Result<wire::ClusterStatus> status(Milliseconds timeout);
  Result<wire::Models> models(Milliseconds timeout);

  int n_resumed() const { return n_resumed_; }  // times that a request went on elsewhere

 private:
  // What the client has of one request.
  struct Progress {
    std::string resume_token;  // empty until the request is accepted
    std::vector<uint32_t> index;
    std::vector<bool> ended;
  };

  ResumingClient(std::vector<std::string> endpoints, ResumeLimits limits)
      : endpoints_(std::move(endpoints)), limits_(limits) {}
  Result<ZmqClient*> connected();
  void leave();
  Result<wire::Done> attempt(const wire::Generate& request, const StreamHandlers& handlers,
                             Milliseconds timeout, Progress& progress);
  template <class Answer, class Ask>
  Result<Answer> ask_each(Ask ask);

  const std::vector<std::string> endpoints_;
  const ResumeLimits limits_;
  size_t current_ = 0;
  std::unique_ptr<ZmqClient> client_;  // of endpoints_[current_]; null = not connected
  int n_resumed_ = 0;
};

}  // namespace lockstep
