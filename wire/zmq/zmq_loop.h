// ZmqLoop: owns a set of ZeroMQ sockets and the one thread that uses them. The thread polls the
// sockets and runs their handlers, the timers and the tasks that other threads post, so none of
// these needs a lock. The loop uses zmq_poll and never ZMQ_FD: that file descriptor is
// edge-triggered, so a missed edge would leave messages unread.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "common/threads/bounded_queue.h"
#include "wire/zmq/socket.h"

namespace lockstep::wire {

class ZmqLoop {
 public:
  using Task = std::function<void()>;
  using OnMessage = std::function<void(Incoming&)>;
  enum class SocketId : uint32_t {};

  explicit ZmqLoop(size_t max_tasks = 4096);
  ~ZmqLoop();  // stop()
  ZmqLoop(const ZmqLoop&) = delete;
  ZmqLoop& operator=(const ZmqLoop&) = delete;

  // To be called before start(), or on the loop's thread.
  SocketId add(Socket socket, OnMessage on_message);
  // Closes the socket: its handler does not run again. To be called like add(), also by the handler
  // itself. No effect on a socket that is closed.
  void remove(SocketId id);
  Socket& socket(SocketId id);
  // Returns nullptr once the socket is closed: removed, broken, or the loop was stopped.
  Socket* find_socket(SocketId id);
  void every(std::chrono::milliseconds interval, Task task);
  // `task` runs after wake(): once for all calls of wake() since it last ran.
  void on_wake(Task task) { on_wake_ = std::move(task); }

  void start();  // throws LoadError if the system refuses the thread
  // Ends the thread after the present handler, then closes the sockets (Socket::set_linger). Tasks
  // that have not run are dropped. Must not be called on the loop's own thread.
  void stop();

  // Any thread. Returns false when the queue is full or the loop has stopped.
  bool post(Task task);
  // Any thread; never blocks, takes no lock.
  void wake();

 private:
  struct Entry {
    SocketId id;
    Socket socket;
    OnMessage on_message;
    bool closed = false;  // removed, or receiving failed; destroyed at the start of the next turn
  };
  struct Timer {
    std::chrono::milliseconds interval;
    std::chrono::steady_clock::time_point due;
    Task task;
  };

  void run();
  void poll();
  void read_from(Entry& entry);
  void run_tasks();
  void run_timers();
  std::chrono::milliseconds until_next_timer() const;

  // constant after construction
  const int wake_fd_;
  // any thread
  BoundedQueue<Task> tasks_;
  std::atomic<bool> stopping_{false};
  // loop thread (before start(): the owner's thread)
  std::vector<std::unique_ptr<Entry>> entries_;
  std::vector<Timer> timers_;
  Task on_wake_;
  uint32_t next_id_ = 0;
  std::vector<zmq_pollitem_t> items_;  // [1 + entries], the wake-up first
  std::thread thread_;
};

}  // namespace lockstep::wire
