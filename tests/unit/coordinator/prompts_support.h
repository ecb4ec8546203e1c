// What tests of the coordinator's prompts share: a worker whose results wait until the test takes
// them, and the text model of a small vocabulary.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "node/text/prompt/text_data.h"
#include "node/text/prompt/text_worker.h"
#include "tests/unit/text/small_vocabulary.h"

namespace lockstep::testing {

// Results of a TextWorker, which run when the test says so, on the test's thread.
class HeldResults {
 public:
  TextWorker::Post post() {
    return [this](TextWorker::Finish finish) {
      {
        std::lock_guard lock(mutex_);
        finishes_.push_back(std::move(finish));
      }
      changed_.notify_all();
    };
  }
  // Waits for the next result and runs it.
  void run_next() {
    TextWorker::Finish finish;
    {
      std::unique_lock lock(mutex_);
      ASSERT_TRUE(
          changed_.wait_for(lock, std::chrono::seconds(20), [&] { return !finishes_.empty(); }));
      finish = std::move(finishes_.front());
      finishes_.pop_front();
    }
    finish();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<TextWorker::Finish> finishes_;  // guarded by mutex_
};

inline TextData small_text_data() {
  TextData data{SmallVocabulary().data, false};
  data.tokenizer.chat_template =
      "{% for m in messages %}{% if m.role == 'bad' %}{{ raise_exception('no') }}{% endif %}"
      "<tool>{{ m.role }} {{ m.content }}<|end|>{% endfor %}";
  return data;
}

inline TextModel small_text_model() {
  const TextData data = small_text_data();
  return {make_tokenizer(data.tokenizer).value(), ChatTemplate::parse(data.tokenizer.chat_template),
          false};
}

}  // namespace lockstep::testing
