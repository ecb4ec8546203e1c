#include "coordinator/requests/prompt_preparer.h"

#include <utility>

#include "coordinator/requests/placement.h"
#include "coordinator/requests/request_bytes.h"

namespace lockstep {

PromptPreparer::PromptPreparer(const NodeTable& nodes, InflightTable& table, PromptEncoder* encoder,
                               CoordinatorProbes& probes,
                               std::function<void(Inflight&)> on_prepared)
    : nodes_(nodes),
      table_(table),
      encoder_(encoder),
      probes_(probes),
      on_prepared_(std::move(on_prepared)) {}

bool PromptPreparer::prepare(Inflight& request) {
  auto* generate = std::get_if<wire::Generate>(&request.request);
  if (generate == nullptr) return true;
  const FingerprintGroup* group = find_group(nodes_.groups(), generate->model, request.fingerprint);
  if (group == nullptr) return true;
  const auto job = std::make_shared<PromptJob>(PromptJob{
      .prompt = take_prompt(*generate),
      .add_special_tokens = generate->add_special_tokens,
      .cache_prompt = generate->cache_prompt,
      .cache_salt = generate->cache_salt,
      .tenant = generate->tenant,
  });
  if (encoder_ == nullptr) {
    if (job->prompt.ids) prepare_ids(*job, group->block_size);
    finish(request, *job);
    return true;
  }
  const auto done = [this, job, key = request.client.key, id = request.request_id] {
    on_done(key, id, job);
  };
  if (encoder_->encode(job, *group, done)) {
    finish(request, *job);
    return true;
  }
  job->bytes = std::move(request.bytes);
  request.encoding = job;
  return false;
}

// The request may have ended meanwhile, and another one may have its id.
void PromptPreparer::on_done(const std::string& client_key, const std::string& request_id,
                             const std::shared_ptr<PromptJob>& job) {
  ByteHold bytes = std::move(job->bytes);  // given back here if the request has ended
  Inflight* request = table_.find(client_key, request_id);
  if (request == nullptr || request->encoding != job) return;
  request->encoding.reset();
  request->bytes = std::move(bytes);
  finish(*request, *job);
  on_prepared_(*request);
}

void PromptPreparer::finish(Inflight& request, PromptJob& job) {
  if (job.tokenized_in) probes_.tokenized(*job.tokenized_in);
  if (job.result && !use_ids(request, job)) job.outcome = PromptOutcome::kTooLarge;
  if (!request.prompt)
    restore_prompt(std::move(job.prompt), std::get<wire::Generate>(request.request));
  probes_.prompt_prepared(to_string(job.outcome));
}

// False, and nothing has changed, if a node could not read the request with these ids, or if the
// budget has no room for them.
bool PromptPreparer::use_ids(Inflight& request, PromptJob& job) {
  auto& generate = std::get<wire::Generate>(request.request);
  generate.prompt_ids = std::move(job.result->ids);
  const size_t n_hash_bytes = job.result->block_hashes.size() * sizeof(uint64_t);
  const bool fits = resize_request_bytes(request.request, n_hash_bytes, request.bytes).has_value();
  const int64_t n_tokens = tokens_at_least(request.request);
  job.result->ids = std::move(*generate.prompt_ids);
  generate.prompt_ids.reset();
  if (!fits) return false;
  request.n_tokens_at_least = n_tokens;
  request.prompt = std::move(job.result);
  return true;
}

}  // namespace lockstep
