#include "clients/cli/bench_case.h"

#include <algorithm>
#include <future>
#include <random>

#include "common/load_error.h"

namespace lockstep {
namespace {

using TimePoint = BenchSink::TimePoint;

double seconds(TimePoint from, TimePoint to) {
  return std::chrono::duration<double>(to - from).count();
}

GenerationRequest make_request(int i, int n_prompt, int max_tokens, int32_t vocab_size) {
  std::mt19937_64 random(static_cast<uint64_t>(i) + 1);
  GenerationRequest request;
  request.id = RequestId{static_cast<uint64_t>(i)};
  for (int t = 0; t < n_prompt; ++t) {
    request.prompt.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(vocab_size)));
  }
  request.sampling.temperature = 0;
  request.sampling.max_tokens = max_tokens;
  request.sampling.ignore_eos = true;
  return request;
}

TimePoint run_batch(const BenchCase& c, int max_tokens, int32_t vocab_size, Engine& engine,
                    BenchSink& sink) {
  std::vector<GenerationRequest> requests;
  requests.reserve(static_cast<size_t>(c.parallel));
  for (int i = 0; i < c.parallel; ++i) {
    requests.push_back(make_request(i, c.prompt_tokens, max_tokens, vocab_size));
  }
  sink.expect(c.parallel);
  // The engine waits until all requests have been submitted, so that they start together.
  std::promise<void> all_in;
  if (!engine.post([ready = all_in.get_future().share()](EngineCore&) { ready.wait(); })) {
    throw LoadError("the engine takes no task");
  }
  std::vector<Result<int32_t>> taken;
  taken.reserve(requests.size());
  for (GenerationRequest& request : requests) taken.push_back(engine.submit(std::move(request)));
  const TimePoint start = std::chrono::steady_clock::now();
  all_in.set_value();
  for (const Result<int32_t>& submitted : taken) {
    if (!submitted) throw LoadError(submitted.error().message);
  }
  sink.wait_all();
  if (!sink.failure().empty()) throw LoadError("a request failed: " + sink.failure());
  for (const auto& times : sink.times()) {
    if (times.empty()) throw LoadError("a request ended without a token");
  }
  return start;
}

}  // namespace

void BenchSink::expect(int n_requests) {
  std::lock_guard lock(mutex_);
  times_.assign(static_cast<size_t>(n_requests), {});
  n_open_ = n_requests;
  failure_.clear();
}

void BenchSink::on_events(const EventBatch& batch) {
  const TimePoint now = std::chrono::steady_clock::now();
  std::lock_guard lock(mutex_);
  for (const ChoiceEvent& event : batch.choices) {
    auto& times = times_[raw(event.request)];
    times.insert(times.end(), event.ids.size(), now);
  }
  for (const RequestEnd& end : batch.ends) {
    if (end.reason == FinishReason::kError) failure_ = end.message;
  }
  n_open_ -= static_cast<int>(batch.ends.size());
  if (n_open_ == 0) all_ended_.notify_all();
}

void BenchSink::wait_all() {
  std::unique_lock lock(mutex_);
  all_ended_.wait(lock, [&] { return n_open_ == 0; });
}

DecodeRate decode_rate(const std::vector<std::vector<TimePoint>>& times) {
  TimePoint all_decode = TimePoint::min();
  TimePoint first_ends = TimePoint::max();
  for (const auto& of_request : times) {
    all_decode = std::max(all_decode, of_request.front());
    first_ends = std::min(first_ends, of_request.back());
  }
  if (first_ends <= all_decode) {
    return {std::nullopt,
            "the first stream ended before the last prompt was in; take more gen_tokens"};
  }
  int64_t n_tokens = 0;
  for (const auto& of_request : times) {
    n_tokens += std::count_if(of_request.begin(), of_request.end(),
                              [&](TimePoint t) { return t > all_decode && t <= first_ends; });
  }
  return {static_cast<double>(n_tokens) / seconds(all_decode, first_ends), ""};
}

BenchResult run_case(const BenchCase& c, int32_t vocab_size, Engine& engine, BenchSink& sink) {
  BenchResult result;
  const TimePoint start = run_batch(c, 1, vocab_size, engine, sink);
  TimePoint prefilled = start;
  std::vector<double> ttft;
  for (const auto& times : sink.times()) {
    prefilled = std::max(prefilled, times.front());
    ttft.push_back(seconds(start, times.front()) * 1e3);
  }
  std::sort(ttft.begin(), ttft.end());
  result.ttft_ms = ttft[ttft.size() / 2];
  result.prefill_tokens_per_s = c.prompt_tokens * c.parallel / seconds(start, prefilled);
  if (c.gen_tokens < 2) {
    result.decode.why_none = "gen_tokens is 1, which is part of the prefill";
    return result;
  }
  run_batch(c, c.gen_tokens, vocab_size, engine, sink);
  result.decode = decode_rate(sink.times());
  return result;
}

}  // namespace lockstep
