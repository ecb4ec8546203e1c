#include "wire/zmq/zmq_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>

#include "common/check.h"
#include "common/log.h"
#include "common/threads/threads.h"

namespace lockstep::wire {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

// These two limits bound the delay that a flooding peer can cause to the other sockets' messages
// and to the timers: one for many small messages, one for few messages that take long.
constexpr int kMessagesPerTurn = 64;
constexpr milliseconds kTimePerTurn{10};
constexpr milliseconds kLongestWait{1000};

}  // namespace

ZmqLoop::ZmqLoop(size_t max_tasks)
    : wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)), tasks_(max_tasks) {
  CHECK(wake_fd_ >= 0);
}

ZmqLoop::~ZmqLoop() {
  stop();
  close(wake_fd_);
}

ZmqLoop::SocketId ZmqLoop::add(Socket socket, OnMessage on_message) {
  const auto id = SocketId{next_id_++};
  entries_.push_back(std::make_unique<Entry>(Entry{id, std::move(socket), std::move(on_message)}));
  return id;
}

Socket* ZmqLoop::find_socket(SocketId id) {
  const auto found = std::find_if(entries_.begin(), entries_.end(), [&](const auto& entry) {
    return entry->id == id && !entry->closed;
  });
  return found == entries_.end() ? nullptr : &(*found)->socket;
}

// The handler may be running, so the entry lives until the next turn.
void ZmqLoop::remove(SocketId id) {
  for (auto& entry : entries_) {
    if (entry->id == id) entry->closed = true;
  }
}

Socket& ZmqLoop::socket(SocketId id) {
  Socket* found = find_socket(id);
  CHECK(found != nullptr);
  return *found;
}

void ZmqLoop::every(milliseconds interval, Task task) {
  timers_.push_back({interval, steady_clock::now() + interval, std::move(task)});
}

void ZmqLoop::start() {
  thread_ = start_thread("the ZeroMQ sockets", [this] { run(); });
}

void ZmqLoop::stop() {
  stopping_ = true;
  tasks_.close();
  wake();
  if (thread_.joinable()) thread_.join();
  entries_.clear();
}

bool ZmqLoop::post(Task task) {
  if (!tasks_.try_push(task)) return false;
  wake();
  return true;
}

// The eventfd's counter does not overflow in practice; if it did, the write would fail and a
// wake-up would be pending anyway.
void ZmqLoop::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const auto n = write(wake_fd_, &one, sizeof one);
}

void ZmqLoop::run() {
  while (!stopping_) {
    poll();
    run_timers();
  }
}

void ZmqLoop::poll() {
  std::erase_if(entries_, [](const auto& entry) { return entry->closed; });
  items_.assign(1, {nullptr, wake_fd_, ZMQ_POLLIN, 0});
  for (auto& entry : entries_) items_.push_back({entry->socket.handle(), 0, ZMQ_POLLIN, 0});
  if (zmq_poll(items_.data(), static_cast<int>(items_.size()), until_next_timer().count()) <= 0) {
    return;
  }
  const size_t n_polled = entries_.size();  // handlers may add sockets
  for (size_t i = 0; i < n_polled && !stopping_; ++i) {
    if ((items_[i + 1].revents & ZMQ_POLLIN) != 0) read_from(*entries_[i]);
  }
  if (items_[0].revents != 0) run_tasks();
}

void ZmqLoop::read_from(Entry& entry) {
  const auto end = steady_clock::now() + kTimePerTurn;
  for (int n = 0; n < kMessagesPerTurn && (n == 0 || steady_clock::now() < end); ++n) {
    if (entry.closed) return;
    Result<std::optional<Incoming>> received = entry.socket.receive();
    if (!received) {
      log(LogLevel::kError, received.error().message);
      entry.closed = true;
      return;
    }
    if (!received->has_value()) return;
    entry.on_message(**received);
  }
}

void ZmqLoop::run_tasks() {
  uint64_t n_wakes = 0;
  [[maybe_unused]] const auto n = read(wake_fd_, &n_wakes, sizeof n_wakes);
  // Runs only the tasks that are queued now, because a task may post further tasks.
  for (size_t n_left = tasks_.size(); n_left > 0 && !stopping_; --n_left) {
    if (std::optional<Task> task = tasks_.try_pop()) (*task)();
  }
  if (on_wake_ && !stopping_) on_wake_();
}

void ZmqLoop::run_timers() {
  const auto now = steady_clock::now();
  for (size_t i = 0; i < timers_.size() && !stopping_; ++i) {
    if (timers_[i].due > now) continue;
    timers_[i].due = now + timers_[i].interval;
    const Task task = timers_[i].task;  // a copy, because the task may add timers
    task();
  }
}

milliseconds ZmqLoop::until_next_timer() const {
  milliseconds wait = kLongestWait;
  for (const Timer& timer : timers_) {
    const auto left = timer.due - steady_clock::now();
    wait = std::min(wait, std::chrono::ceil<milliseconds>(left));
  }
  return std::max(wait, milliseconds{0});
}

}  // namespace lockstep::wire
