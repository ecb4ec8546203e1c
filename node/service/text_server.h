// TextServer: answers `tokenize` and `detokenize`. Loop thread only.
#pragma once

#include <string>

#include "node/service/model_front.h"
#include "node/service/outbox.h"
#include "node/service/text_worker.h"
#include "wire/messages.h"

namespace lockstep {

class TextServer {
 public:
  // All must outlive this.
  TextServer(const ModelFront& model, Outbox& outbox, TextWorker& worker)
      : model_(model), outbox_(outbox), worker_(worker) {}

  void tokenize(const std::string& peer, wire::Tokenize request);
  void detokenize(const std::string& peer, wire::Detokenize request);

 private:
  wire::Message answer(const wire::Tokenize& request) const;
  wire::Message answer(const wire::Detokenize& request) const;
  template <class Request>
  void run(const std::string& peer, size_t n_bytes, Request request);

  const ModelFront& model_;
  Outbox& outbox_;
  TextWorker& worker_;
};

}  // namespace lockstep
