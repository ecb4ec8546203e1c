// A dead host does not answer packets. The kernel alone would wait two minutes for it, and the name
// would not be resolved again in that time.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "wire/zmq/socket.h"

namespace lockstep::wire {
namespace {

using namespace std::chrono_literals;

// Listens on a free loopback port with a full backlog, so that further connections are not
// answered.
class SilentListener {
 public:
  SilentListener() {
    listener_ = ::socket(AF_INET, SOCK_STREAM, 0);
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, generic(), sizeof address_), 0);
    socklen_t length = sizeof address_;
    EXPECT_EQ(::getsockname(listener_, generic(), &length), 0);
    EXPECT_EQ(::listen(listener_, 0), 0);
    for (int i = 0; i < 4; ++i) {
      waiting_.push_back(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0));
      ::connect(waiting_.back(), generic(), sizeof address_);
    }
  }
  ~SilentListener() {
    ::close(listener_);
    for (int waiting : waiting_) ::close(waiting);
  }
  int port() const { return ntohs(address_.sin_port); }

 private:
  sockaddr* generic() { return reinterpret_cast<sockaddr*>(&address_); }

  int listener_ = -1;
  sockaddr_in address_{};
  std::vector<int> waiting_;
};

// Returns the local ports from which this machine tries to connect to a loopback port without an
// answer.
std::set<std::string> attempts_at(int port) {
  std::set<std::string> local_ports;
  for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream file(table);
    std::string line;
    while (std::getline(file, line)) {
      std::istringstream words(line);
      std::string number, local, remote, state;
      words >> number >> local >> remote >> state;
      char wanted[8];
      std::snprintf(wanted, sizeof wanted, ":%04X", static_cast<unsigned>(port));
      if (state == "02" && remote.ends_with(wanted)) local_ports.insert(local);  // SYN_SENT
    }
  }
  return local_ports;
}

TEST(Socket, AnUnansweredAttemptIsGivenUpForAnother) {
  const SilentListener silent;
  const std::set<std::string> others = attempts_at(silent.port());
  Context context;
  Result<Socket> socket = Socket::make(context, SocketKind::kDealer, {});
  ASSERT_TRUE(socket);
  ASSERT_TRUE(socket->connect("tcp://127.0.0.1:" + std::to_string(silent.port())));
  std::set<std::string> seen;
  const auto deadline = std::chrono::steady_clock::now() + 20s;  // ten times the usual time
  while (seen.size() < 2 && std::chrono::steady_clock::now() < deadline) {
    for (const std::string& local : attempts_at(silent.port())) {
      if (!others.contains(local)) seen.insert(local);
    }
    std::this_thread::sleep_for(20ms);
  }
  EXPECT_GE(seen.size(), 2u);
}

}  // namespace
}  // namespace lockstep::wire
