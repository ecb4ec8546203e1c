#include "node/service/text_worker.h"

#include "common/log.h"

namespace lockstep {
namespace {

// Tokenises in well under a millisecond.
constexpr size_t kMaxInlineTextBytes = 4096;

}  // namespace

TextWorker::TextWorker(size_t max_jobs, Post post)
    : max_jobs_(max_jobs), post_(std::move(post)), jobs_(max_jobs) {
  thread_ = std::thread([this] { run_jobs(); });
}

TextWorker::~TextWorker() { stop(); }

bool TextWorker::run(size_t n_text_bytes, Job job) {
  if (n_text_bytes <= kMaxInlineTextBytes) {
    job()();
    return true;
  }
  if (n_open_ == max_jobs_ || !jobs_.try_push(job)) return false;
  ++n_open_;
  return true;
}

void TextWorker::stop() {
  stopping_ = true;
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

void TextWorker::run_jobs() {
  while (const std::optional<Job> job = jobs_.wait_pop()) {
    if (stopping_) return;
    const bool posted = post_([this, finish = (*job)()] {
      --n_open_;
      finish();
    });
    if (!posted) log(LogLevel::kError, "a text's outcome found no room in the loop; it is lost");
  }
}

}  // namespace lockstep
