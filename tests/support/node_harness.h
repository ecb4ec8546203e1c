// NodeHarness: runs a node on loopback ZeroMQ with the real service and engine and a null model
// without weights. The model's name is "null"; FakeTokenizer's ids 0..255 are bytes.
#pragma once

#include <future>
#include <memory>
#include <string>
#include <thread>

#include "common/check.h"
#include "common/clock.h"
#include "node/engine/core/engine.h"
#include "node/engine/queue/admission.h"
#include "node/service/admin/cache_page.h"
#include "node/service/server/node_server.h"
#include "tests/support/fake_tokenizer.h"
#include "tests/support/null_executor.h"
#include "tests/support/wire_peer.h"

namespace lockstep::testing {

class NodeHarness {
 public:
  struct Options {
    int32_t max_seqs = 16;
    int32_t n_kv_blocks = 64;
    int32_t max_model_len = 256;
    int32_t poison_token = -1;
    int32_t fixed_token = -1;  // every sampled token is this one; -1 = off
    std::chrono::milliseconds step_time{0};
    std::string listen = "tcp://127.0.0.1:0";
    size_t max_long_prompts = 64;
    size_t max_tasks = 64;
    std::string text_data = {};  // published, with the text fingerprint "fake"
    bool events = false;         // KV events are published, with replay, on free ports
  };

  NodeHarness() : NodeHarness(Options()) {}
  explicit NodeHarness(const Options& options)
      : executor_(executor_options(options)),
        engine_(engine_config(options, block_events_), executor_, text_.tokenizer(), clock_,
                mailbox_),
        model_{.engine = engine_,
               .text = text_,
               .name = "null",
               .fingerprint = "f00d",
               .backend = "null",
               .created = 1700000000,
               .epoch = 42,
               .block_events = options.events ? &block_events_ : nullptr,
               .text_data = options.text_data,
               .text_fingerprint = options.text_data.empty() ? "" : "fake"} {
    if (options.step_time.count() > 0) {
      executor_.on_submit = [t = options.step_time](const StepPlanView&) {
        std::this_thread::sleep_for(t);
      };
    }
    NodeServerConfig config;
    config.listen = options.listen;
    config.max_long_prompts = options.max_long_prompts;
    config.max_tasks = options.max_tasks;
    if (options.events) config.events = config.events_replay = "tcp://127.0.0.1:0";
    auto server = NodeServer::make(model_, mailbox_, probes_, clock_, config);
    CHECK(server.has_value());
    server_ = std::move(*server);
    server_->start();
    engine_.start();
  }
  ~NodeHarness() {
    executor_.release();
    engine_.stop();
    server_->stop();
  }

  const std::string& endpoint() const { return server_->endpoint(); }
  NodeServer& server() { return *server_; }
  BlockEventLog& block_events() { return block_events_; }
  Engine& engine() { return engine_; }
  // A snapshot of the prefix cache, as the admin port shows it.
  std::string cache_page(bool with_text = false) {
    CachePage page(model_, clock_, with_text);
    return wait_page(page).body;
  }
  static AdminResponse wait_page(CachePage& page) {
    const auto made = std::make_shared<std::promise<void>>();
    page.get([made](const AdminAnswer&) { made->set_value(); });
    made->get_future().wait();
    return page.latest();
  }
  NullExecutor& executor() { return executor_; }
  NodeProbes& probes() { return probes_; }
  const ServedModel& model() const { return model_; }
  const MemoryLedger& ledger() const { return ledger_; }
  const Clock& clock() const { return clock_; }

  // A request that generates exactly max_tokens tokens.
  static wire::Generate request(const std::string& id, int64_t max_tokens = 8) {
    wire::Generate m;
    m.request_id = id;
    m.model = "null";
    m.prompt_text = "prompt of " + id;
    m.max_tokens = max_tokens;
    m.ignore_eos = true;
    m.seed = 7;
    return m;
  }

 private:
  static StepLimits limits(const Options& options) {
    StepLimits limits;
    limits.max_tokens = 64;
    limits.max_seqs = options.max_seqs;
    limits.max_samples = options.max_seqs;
    limits.max_model_len = options.max_model_len;
    limits.max_banned = max_banned_ids(options.max_seqs, FakeTokenizer());
    return limits;
  }
  static NullExecutor::Options executor_options(const Options& options) {
    NullExecutor::Options out;
    out.limits = limits(options);
    out.n_kv_blocks = options.n_kv_blocks;
    out.vocab_size = FakeTokenizer().vocab_size();
    out.poison_token = options.poison_token;
    out.fixed_token = options.fixed_token;
    return out;
  }
  static EngineConfig engine_config(const Options& options, BlockEventLog& events) {
    EngineConfig config;
    config.limits = limits(options);
    config.n_kv_blocks = options.n_kv_blocks;
    if (options.events) config.block_events = &events;
    return config;
  }
  SteadyClock clock_;
  TextModel text_{std::make_unique<FakeTokenizer>(), fake_chat_template(), false};
  MemoryLedger ledger_;
  NodeProbes probes_;
  EventMailbox mailbox_{clock_};
  BlockEventLog block_events_;
  NullExecutor executor_;
  Engine engine_;
  ServedModel model_;
  std::unique_ptr<NodeServer> server_;
};

}  // namespace lockstep::testing
