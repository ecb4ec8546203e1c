#include "node/text/prompt/text_worker.h"

#include <algorithm>

#include "common/threads/threads.h"

namespace lockstep {
TextWorker::TextWorker(size_t max_jobs, Post post, size_t n_tenants)
    : max_jobs_(max_jobs),
      post_(std::move(post)),
      max_jobs_of_tenant_(std::max<size_t>(1, max_jobs / n_tenants)),
      jobs_(n_tenants),
      n_open_of_(n_tenants, 0) {
  thread_ = start_thread("long texts", [this] { run_jobs(); });
}

TextWorker::~TextWorker() { stop(); }

bool TextWorker::run(size_t n_text_bytes, int32_t tenant, Job job) {
  if (is_short(n_text_bytes)) {
    job()();
    return true;
  }
  const auto t = static_cast<size_t>(tenant);
  if (n_open_ == max_jobs_ || n_open_of_[t] == max_jobs_of_tenant_) return false;
  if (!jobs_.push(t, {t, std::move(job)})) return false;
  ++n_open_;
  ++n_open_of_[t];
  return true;
}

Error TextWorker::full(int32_t tenant) const {
  return {ErrorCode::kOverloaded,
          str(n_open_of_[static_cast<size_t>(tenant)], " long texts of this tenant wait, ", n_open_,
              " of all; there are places for ", max_jobs_of_tenant_, " and ", max_jobs_),
          ""};
}

void TextWorker::stop() {
  stopping_ = true;
  jobs_.close();
  if (thread_.joinable()) thread_.join();
}

void TextWorker::run_jobs() {
  while (const auto job = jobs_.wait_pop()) {
    if (stopping_) return;
    post_([this, tenant = job->first, finish = job->second()] {
      --n_open_;
      --n_open_of_[tenant];
      finish();
    });
  }
}

}  // namespace lockstep
