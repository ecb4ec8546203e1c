#include "node/engine/core/engine.h"

#include <algorithm>
#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "common/threads/progress.h"
#include "common/threads/threads.h"
#include "node/engine/core/engine_core.h"
#include "node/engine/core/mailbox.h"
#include "node/engine/queue/admission.h"
#include "node/engine/recovery/watchdog.h"

namespace lockstep {
namespace {

// The longest wait for mail while steps are paused, because deadlines pass meanwhile.
constexpr std::chrono::milliseconds kLongestNap{20};

}  // namespace

// Impl is the core's sink and forwards its events to the caller's sink. When the caller's sink
// receives a RequestEnd, the id is free again and snapshot() includes the end.
struct Engine::Impl final : EngineSink {
  Impl(const EngineConfig& engine_config, Executor& executor, const Tokenizer& tokenizer,
       const Clock& clock, EngineSink& caller_sink)
      : config(engine_config),
        admission(config.limits, config.n_kv_blocks, tokenizer, config.tenants,
                  config.context_shift),
        sink(caller_sink),
        mailbox(config.max_queued_requests, config.max_queued_tokens),
        ranks(executor),
        core(config, executor, tokenizer, clock, *this),
        published(core.snapshot()),
        watchdog(config.watch, [this] { return look(); }) {}

  void on_events(const EventBatch& batch) override {
    mailbox.forget(batch.ends);
    publish_snapshot();
    sink.on_events(batch);
  }

  void publish_snapshot() {
    std::lock_guard lock(snapshot_mutex);
    published = core.snapshot();
  }

  void run();
  void read_mail();
  void count_waiting();
  uint64_t progress() const { return turns.count() + ranks.progress(); }
  Watchdog::Sight look() const;

  const EngineConfig config;
  const Admission admission;
  EngineSink& sink;
  Mailbox mailbox;
  std::atomic<uint64_t> n_rejected{0};
  std::atomic<bool> is_idle{true};    // the core is idle and all its events are delivered
  std::atomic<bool> has_mail{false};  // false while the engine thread waits for mail without limit
  ProgressCounter turns;              // bumped by the engine thread, more than once a turn
  const Executor& ranks;

  // Engine thread only.
  EngineCore core;
  Mail mail;
  std::vector<std::function<void()>> after_tasks;  // called when their effects are published

  mutable std::mutex snapshot_mutex;
  EngineSnapshot published;  // guarded by snapshot_mutex

  std::thread thread;
  Watchdog watchdog;  // declared last, because it reads the members above
};

// Reads atomics only. An engine thread that does not take its mail hangs as well: live requests in
// the mailbox count as work.
Watchdog::Sight Engine::Impl::look() const {
  return {.has_work = has_mail || !is_idle || mailbox.has_live(),
          .progress = progress(),
          .awaited_step = core.awaited_step()};
}

void Engine::Impl::run() {
  do {
    read_mail();
    core.start();
    turns.bump();
    count_waiting();
    publish_snapshot();
    core.finish();
    turns.bump();
    count_waiting();
    publish_snapshot();
    is_idle = core.idle();
  } while (!mail.is_stopping || !core.idle());
}

// Updates the numbers of waiting requests that the mailbox bounds and reports in its refusals.
void Engine::Impl::count_waiting() {
  const WaitingQueue& waiting = core.scheduler().waiting();
  mailbox.set_n_waiting(waiting.n_new_requests(), waiting.n_new_tokens());
}

void Engine::Impl::read_mail() {
  if (core.idle()) {
    has_mail = false;
    mailbox.wait_take(mail);
    has_mail = true;
  } else {
    mailbox.wait_take(mail, std::min<std::chrono::nanoseconds>(core.pause_left(), kLongestNap));
  }
  turns.bump();
  if (!mail.arrivals.empty()) is_idle = false;
  for (std::unique_ptr<LiveRequest>& request : mail.arrivals) core.accept(std::move(request));
  for (RequestId id : mail.cancels) core.cancel(id);
  for (const EngineTask& task : mail.tasks) task(core);
  if (!after_tasks.empty()) {
    publish_snapshot();
    for (const std::function<void()>& then : std::exchange(after_tasks, {})) then();
  }
  if (mail.is_stopping) core.cancel_all();
}

Engine::Engine(const EngineConfig& config, Executor& executor, const Tokenizer& tokenizer,
               const Clock& clock, EngineSink& sink)
    : impl_(std::make_unique<Impl>(config, executor, tokenizer, clock, sink)) {}

Engine::~Engine() { stop(); }

void Engine::start() {
  impl_->thread = start_thread("the engine", [this] { impl_->run(); });
  impl_->watchdog.start();
}

void Engine::drain() { impl_->mailbox.close(); }

bool Engine::drained() const {
  return impl_->mailbox.is_closed() && impl_->mailbox.n_live() == 0 && impl_->is_idle;
}

void Engine::stop() {
  impl_->mailbox.stop();
  if (impl_->thread.joinable()) {
    impl_->thread.join();
    impl_->watchdog.stop();
  } else {
    impl_->run();  // never started, or stopped already: accepted requests still get their ends
  }
}

Result<int32_t> Engine::submit(GenerationRequest request) {
  Status accepted = impl_->admission.check(request);
  const int32_t max_tokens = request.sampling.max_tokens;
  if (accepted) {
    accepted = impl_->mailbox.post(
        std::make_unique<LiveRequest>(std::move(request), impl_->config.limits.max_model_len));
  }
  if (accepted) return max_tokens;
  ++impl_->n_rejected;
  return accepted.error();
}

void Engine::cancel(RequestId id) { impl_->mailbox.post_cancel(id); }

bool Engine::post(EngineTask task, std::function<void()> then) {
  if (!then) return impl_->mailbox.post_task(std::move(task));
  return impl_->mailbox.post_task(
      [impl = impl_.get(), task = std::move(task), then = std::move(then)](EngineCore& core) {
        task(core);
        impl->after_tasks.push_back(then);
      });
}

EngineSnapshot Engine::snapshot() const {
  EngineSnapshot s;
  {
    std::lock_guard lock(impl_->snapshot_mutex);
    s = impl_->published;
  }
  s.n_waiting += impl_->mailbox.n_pending();
  s.n_prompt_tokens_pending += impl_->mailbox.n_pending_tokens();
  s.n_accepted = impl_->mailbox.n_accepted();  // read last, so that it is never less than the ends
  s.n_rejected = impl_->n_rejected;
  s.progress = 1 + impl_->progress();
  return s;
}

const EngineConfig& Engine::config() const { return impl_->config; }

}  // namespace lockstep
