#include "coordinator/prompts/prompt_encoder.h"

#include <limits>
#include <utility>

#include "common/prefix_hash.h"

namespace lockstep {
namespace {

// Hashing eight ids takes at most as long as tokenising one byte of text.
constexpr size_t kIdsPerByte = 8;

size_t cost_in_bytes(const ClientPrompt& prompt) {
  if (prompt.ids) return prompt.ids->size() / kIdsPerByte;
  return prompt_text_bytes(prompt.text, prompt.messages);
}

PreparedPrompt prepare(const PromptJob& job, std::vector<int32_t> ids) {
  PreparedPrompt out{.ids = std::move(ids), .digest = digest_of(job.prompt)};
  if (job.block_size <= 0 || job.block_size > std::numeric_limits<int32_t>::max()) return out;
  out.block_size = static_cast<int32_t>(job.block_size);
  if (job.cache_prompt)
    out.block_hashes = block_hashes(prefix_hash(job.cache_salt), out.ids, out.block_size);
  return out;
}

// Any thread.
void run(PromptJob& job) {
  if (job.prompt.ids) return prepare_ids(job, job.block_size);
  const auto start = std::chrono::steady_clock::now();
  const PromptText text = prompt_text(job.prompt.text, job.prompt.messages, job.add_special_tokens);
  Result<std::vector<int32_t>> ids = job.model->encode(text, job.limit);
  job.tokenized_in = std::chrono::steady_clock::now() - start;
  job.outcome = ids ? PromptOutcome::kEncoded : PromptOutcome::kRefused;
  if (ids) job.result = prepare(job, std::move(*ids));
}

}  // namespace

void prepare_ids(PromptJob& job, int64_t block_size) {
  job.block_size = block_size;
  job.outcome = PromptOutcome::kIds;
  job.result = prepare(job, *job.prompt.ids);
}

bool PromptEncoder::encode(const std::shared_ptr<PromptJob>& job, const FingerprintGroup& group,
                           std::function<void()> done) {
  job->block_size = group.block_size;
  if (!job->prompt.ids) {
    job->model = models_.find(group.text_fingerprint);
    job->limit = context_text_limit(static_cast<int64_t>(group.info.max_model_len));
    job->outcome = PromptOutcome::kNoModel;
    if (job->model == nullptr) return true;
  }
  const size_t n_bytes = cost_in_bytes(job->prompt);
  if (TextWorker::is_short(n_bytes)) {
    run(*job);
    return true;
  }
  const auto group_of_tenants =
      static_cast<int32_t>(std::hash<std::string>()(job->tenant) % kTenantGroups);
  const bool taken = worker_.run(n_bytes, group_of_tenants, [job, done = std::move(done)] {
    run(*job);
    return done;
  });
  if (!taken) job->outcome = PromptOutcome::kBusy;
  return !taken;
}

}  // namespace lockstep
