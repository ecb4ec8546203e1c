// WirePeer: one DEALER of a test, which can also violate the protocol. One thread at a time.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>
#include <zmq.hpp>

#include "wire/codec/codec.h"

namespace lockstep::testing {

class WirePeer {
 public:
  explicit WirePeer(const std::string& endpoint) : socket_(context_, zmq::socket_type::dealer) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.connect(endpoint);
  }

  void send(const wire::Message& message) { send_raw(wire::encode(message)); }
  void send_raw(std::string_view body) {
    ASSERT_TRUE(socket_.send(zmq::buffer(body), zmq::send_flags::none));
  }
  void send_frames(const std::vector<std::string>& frames) {
    for (size_t i = 0; i < frames.size(); ++i) {
      const bool more = i + 1 < frames.size();
      socket_.send(zmq::buffer(frames[i]), more ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }

  std::optional<wire::Message> receive(std::chrono::milliseconds timeout = kTimeout) {
    zmq_pollitem_t item{socket_.handle(), 0, ZMQ_POLLIN, 0};
    if (zmq_poll(&item, 1, timeout.count()) <= 0) return std::nullopt;
    zmq::message_t frame;
    EXPECT_TRUE(socket_.recv(frame));
    EXPECT_FALSE(frame.more()) << "a message is one frame";
    Result<wire::Message> message = wire::decode(frame.to_string_view());
    EXPECT_TRUE(message) << message.error().message;
    if (!message) return std::nullopt;
    return std::move(*message);
  }
  // Returns the next message of this type; other messages are skipped.
  template <class M>
  M expect(std::chrono::milliseconds timeout = kTimeout) {
    while (std::optional<wire::Message> message = receive(timeout)) {
      if (auto* wanted = std::get_if<M>(&*message)) return std::move(*wanted);
    }
    ADD_FAILURE() << "no " << wire::type_name(M()) << " came";
    return M();
  }

  // Long enough for slow sanitizer builds: the timeout detects messages that never arrive.
  static constexpr std::chrono::milliseconds kTimeout{20000};

 private:
  zmq::context_t context_;
  zmq::socket_t socket_;
};

// The complete output of one choice of one request.
struct ChoiceOutput {
  std::vector<int32_t> ids;
  std::string text;
  std::string finish_reason;
  bool has_gap = false;
};

inline void add_tokens(ChoiceOutput& output, const wire::Tokens& tokens) {
  if (tokens.first_index != output.ids.size()) output.has_gap = true;
  output.ids.insert(output.ids.end(), tokens.ids.begin(), tokens.ids.end());
  output.text += tokens.text;
  if (tokens.finish_reason) output.finish_reason = *tokens.finish_reason;
}

}  // namespace lockstep::testing
