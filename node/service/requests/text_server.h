// TextServer: answers `tokenize` and `detokenize`. I/O thread only.
#pragma once

#include <string>

#include "node/service/requests/send_queue.h"
#include "node/service/requests/served_model.h"
#include "node/text/prompt/text_worker.h"
#include "wire/messages.h"

namespace lockstep {

class TextServer {
 public:
  // All arguments must outlive this object.
  TextServer(const ServedModel& model, SendQueue& send_queue, TextWorker& worker)
      : model_(model), send_queue_(send_queue), worker_(worker) {}

  void tokenize(const std::string& peer, wire::Tokenize request);
  void detokenize(const std::string& peer, wire::Detokenize request);

 private:
  wire::Message answer(const wire::Tokenize& request) const;
  wire::Message answer(const wire::Detokenize& request) const;
  template <class Request>
  void run(const std::string& peer, size_t n_bytes, Request request);

  const ServedModel& model_;
  SendQueue& send_queue_;
  TextWorker& worker_;
};

}  // namespace lockstep
