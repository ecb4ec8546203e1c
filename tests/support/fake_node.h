// FakeNode: a node's socket without an engine. It sends welcome and heartbeats, and answers
// requests by a script, so that coordinators can be tested with any behaviour of a node. Its
// functions are called on the test's thread.
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "wire/codec/codec.h"
#include "wire/zmq/zmq_loop.h"

namespace lockstep::testing {

class FakeNode {
 public:
  // Returns the messages that the node sends at once for a generate; say() can send more.
  using Script = std::function<std::vector<wire::Message>(const wire::Generate&)>;

  explicit FakeNode(Script script = answer(3), std::string model = "tiny", uint64_t epoch = 1,
                    std::string fingerprint = "f")
      : script_(std::move(script)),
        model_(std::move(model)),
        epoch_(epoch),
        fingerprint_(std::move(fingerprint)) {
    Result<wire::Socket> socket = wire::Socket::make(context_, wire::SocketKind::kRouter);
    EXPECT_TRUE(socket);
    EXPECT_TRUE(socket->bind("tcp://127.0.0.1:0"));
    endpoint_ = socket->endpoint();
    socket_ = loop_.add(std::move(*socket), [this](wire::Incoming& in) { on_bytes(in); });
    loop_.every(std::chrono::milliseconds{100}, [this] { beat(); });
    loop_.start();
  }
  ~FakeNode() { die(); }

  const std::string& endpoint() const { return endpoint_; }
  // From now on the node's welcome has this text fingerprint, and it describes its text by `data`.
  // To be called before the coordinator starts.
  void publish_text(std::string data, std::string fingerprint) {
    std::lock_guard lock(mutex_);
    text_data_ = std::move(data);
    text_fingerprint_ = std::move(fingerprint);
  }
  // Stops at once, as a killed process does.
  void die() { loop_.stop(); }
  // From now on tokenize and detokenize get no answer.
  void ignore_questions() { ignores_questions_ = true; }
  // Waits until `n` tokenize and detokenize requests have arrived.
  void wait_questions(size_t n) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kTimeout, [&] { return n_questions_ >= n; }));
  }
  // Sends a message about a request that the node received.
  void say(wire::Message message) {
    loop_.post([this, message = std::move(message)] {
      for (const std::string& peer : peers_) send(peer, message);
    });
  }

  // Waits for the request number `index`.
  wire::Generate wait_request(size_t index) {
    std::unique_lock lock(mutex_);
    const bool came = changed_.wait_for(lock, kTimeout, [&] { return requests_.size() > index; });
    EXPECT_TRUE(came) << "request " << index << " did not reach the node";
    return came ? requests_[index] : wire::Generate{};
  }
  // Waits until that many requests were cancelled; returns their ids.
  std::vector<std::string> wait_cancels(size_t n) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, kTimeout, [&] { return cancels_.size() >= n; }));
    return cancels_;
  }
  // Number of heartbeats sent so far; all have the same contents.
  size_t n_beats() const { return n_beats_; }
  size_t n_cancels() {
    std::lock_guard lock(mutex_);
    return cancels_.size();
  }

  static wire::Accepted accept(const wire::Generate& request) {
    return {request.request_id, request.seed.value_or(0), "", {100, 101}, 2};
  }
  static wire::Tokens piece(const wire::Generate& request, uint32_t choice, uint32_t index,
                            uint64_t epoch = 1) {
    wire::Tokens tokens;
    tokens.request_id = request.request_id;
    tokens.choice = choice;
    tokens.first_index = index;
    tokens.ids = {static_cast<int32_t>(index)};
    tokens.text = "t" + std::to_string(index) + " ";
    tokens.epoch = epoch;
    tokens.attempt = request.attempt;
    return tokens;
  }
  // The index of the choice's first output that its client does not have.
  static uint32_t first_index(const wire::Generate& request, uint32_t choice) {
    if (request.emitted.empty()) return 0;
    return static_cast<uint32_t>(request.emitted[choice].ids.size());
  }
  // Sends accepted, `n_tokens` tokens ("t0 t1 …") for every choice behind what was emitted, and
  // done.
  static Script answer(uint32_t n_tokens) {
    return [n_tokens](const wire::Generate& request) {
      std::vector<wire::Message> out = {accept(request)};
      for (uint32_t i = 0; i < n_tokens; ++i) {
        for (uint32_t choice = 0; choice < request.n; ++choice) {
          if (i < first_index(request, choice)) continue;
          wire::Tokens tokens = piece(request, choice, i);
          if (i + 1 == n_tokens) tokens.finish_reason = "length";
          out.push_back(tokens);
        }
      }
      const auto n_output = static_cast<uint64_t>(n_tokens * request.n);
      out.push_back(wire::Done{request.request_id, "length", {2, 1, n_output}});
      return out;
    };
  }
  // Sends accepted and `n_tokens` tokens behind what was emitted, and nothing more.
  static Script hang_after(uint32_t n_tokens) {
    return [n_tokens](const wire::Generate& request) {
      std::vector<wire::Message> out = {accept(request)};
      const uint32_t first = first_index(request, 0);
      for (uint32_t i = first; i < first + n_tokens; ++i) out.push_back(piece(request, 0, i));
      return out;
    };
  }
  static Script refuse(ErrorCode code, std::string message, std::string param = "") {
    return [=](const wire::Generate& request) {
      return std::vector<wire::Message>{wire::ErrorReply{request.request_id, code, message, param}};
    };
  }
  // Sends nothing, not even accepted.
  static Script silence() {
    return [](const wire::Generate&) { return std::vector<wire::Message>{}; };
  }

 private:
  static constexpr std::chrono::seconds kTimeout{20};
  static constexpr uint64_t kLongContext = 100'000'000;  // of a node that publishes its text

  // Records a message before it is answered, so that a test that has the answer finds the record.
  void on_bytes(wire::Incoming& incoming) {
    Result<wire::Message> message = wire::decode(incoming.body);
    ASSERT_TRUE(message) << message.error().message;
    peers_.insert(incoming.peer);
    if (std::get_if<wire::Hello>(&*message)) return send(incoming.peer, welcome());
    if (auto* generate = std::get_if<wire::Generate>(&*message)) {
      note([&] { requests_.push_back(*generate); });
      for (const wire::Message& reply : script_(*generate)) send(incoming.peer, reply);
      return;
    }
    if (auto* describe = std::get_if<wire::DescribeText>(&*message)) {
      wire::TextDescription answer{describe->request_id, "", ""};
      note([&] {
        answer.text_fingerprint = text_fingerprint_;
        answer.data = text_data_;
      });
      return send(incoming.peer, answer);
    }
    if (auto* attach = std::get_if<wire::Attach>(&*message)) return resume(incoming.peer, *attach);
    if (auto* cancel = std::get_if<wire::Cancel>(&*message)) {
      note([&] { cancels_.push_back(cancel->request_id); });
      return send(incoming.peer, wire::Done{cancel->request_id, "cancelled", {2, 0, 0}});
    }
    note([&] { ++n_questions_; });
    if (ignores_questions_) return;
    if (auto* text = std::get_if<wire::Tokenize>(&*message)) return tokenize(incoming.peer, *text);
    if (auto* ids = std::get_if<wire::Detokenize>(&*message)) {
      const std::string letters(ids->tokens.begin(), ids->tokens.end());
      send(incoming.peer, wire::Detokenized{ids->request_id, letters});
    }
  }
  // Stands in for a coordinator, which does not send what the client has.
  void resume(const std::string& peer, wire::Attach& attach) {
    wire::Generate request = std::move(attach);
    note([&] { requests_.push_back(request); });
    for (wire::Message& reply : script_(request)) {
      auto* tokens = std::get_if<wire::Tokens>(&reply);
      if (tokens != nullptr && tokens->first_index < attach.index[tokens->choice]) {
        if (!tokens->finish_reason) continue;
        tokens->first_index += static_cast<uint32_t>(tokens->ids.size());
        tokens->ids.clear();
      }
      send(peer, reply);
    }
  }
  // Tokenizes bytes: each byte is one token.
  void tokenize(const std::string& peer, const wire::Tokenize& request) {
    const std::string text = request.prompt.value_or("");
    wire::Tokenized answer{request.request_id, {text.begin(), text.end()}, {}, 2048};
    if (request.return_token_strs) {
      for (char c : text) answer.token_strs.emplace_back(1, c);
    }
    send(peer, answer);
  }
  wire::Welcome welcome() {
    std::lock_guard lock(mutex_);
    wire::Welcome out;
    out.epoch = epoch_;
    out.fingerprint = fingerprint_;
    out.text_fingerprint = text_fingerprint_;
    out.models = {{model_, 1700000000, text_data_.empty() ? 2048u : kLongContext,
                   wire::DefaultSamplingParams{0.6, {}, {}, 20, {}}}};
    out.n_kv_blocks = 64;
    out.max_num_seqs = 4;
    out.description = wire::NodeDescription{"", model_, {{"block_size", "16"}}, {}};
    return out;
  }
  void beat() {
    wire::Heartbeat heartbeat;
    heartbeat.epoch = epoch_;
    heartbeat.n_blocks_total = 64;
    heartbeat.n_blocks_active = 16;
    heartbeat.n_running = 1;
    for (const std::string& peer : peers_) send(peer, heartbeat);
    if (!peers_.empty()) ++n_beats_;
  }
  void send(const std::string& peer, const wire::Message& message) {
    (void)loop_.socket(socket_).send(peer, wire::encode(message));
  }
  template <class Change>
  void note(Change change) {
    {
      std::lock_guard lock(mutex_);
      change();
    }
    changed_.notify_all();
  }

  const Script script_;
  const std::string model_;
  const uint64_t epoch_;
  const std::string fingerprint_;
  std::string endpoint_;
  wire::Context context_;
  wire::ZmqLoop::SocketId socket_{};
  std::set<std::string> peers_;  // loop thread
  std::atomic<bool> ignores_questions_{false};
  std::atomic<size_t> n_beats_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<wire::Generate> requests_;      // guarded by mutex_
  std::vector<std::string> cancels_;          // guarded by mutex_
  size_t n_questions_ = 0;                    // guarded by mutex_
  std::string text_data_, text_fingerprint_;  // guarded by mutex_
  wire::ZmqLoop loop_;                        // last: its thread uses all of the above
};

}  // namespace lockstep::testing
