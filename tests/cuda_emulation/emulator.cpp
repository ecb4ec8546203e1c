#include "tests/cuda_emulation/emulator.h"

#include <algorithm>
#include <boost/context/fiber.hpp>
#include <boost/context/fixedsize_stack.hpp>
#include <cstring>
#include <numeric>
#include <random>
#include <set>
#include <span>

#include "tests/cuda_emulation/include/emulated_async_copy.h"
#include "tests/cuda_emulation/shared_memory.h"
#include "tests/cuda_emulation/stack_switch.h"

thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace lockstep::cuda_emulation {
namespace {

namespace context = boost::context;

constexpr int kWarpSize = 32;
constexpr size_t kStackBytes = 128 * 1024;  // ASan's frames are large

// Stacks outlive their fibers: a grid of many blocks needs only those of one.
class StackPool {
 public:
  ~StackPool() {
    for (context::stack_context& stack : free_) source_.deallocate(stack);
  }
  context::stack_context allocate() {
    if (free_.empty()) return source_.allocate();
    context::stack_context stack = free_.back();
    free_.pop_back();
    return stack;
  }
  void deallocate(context::stack_context& stack) { free_.push_back(stack); }

 private:
  context::fixedsize_stack source_{kStackBytes};
  std::vector<context::stack_context> free_;
};

struct PooledStack {
  StackPool* pool;
  StackBounds* bounds;  // of what was allocated, out
  context::stack_context allocate() {
    context::stack_context stack = pool->allocate();
    *bounds = {static_cast<char*>(stack.sp) - stack.size, stack.size};
    return stack;
  }
  void deallocate(context::stack_context& stack) { pool->deallocate(stack); }
};

// Lanes of one warp that exchange values under one mask. Two halves in turn: a lane may bring its
// next value before a slow one has read the last.
struct Exchange {
  unsigned mask = 0;
  unsigned arrived = 0;
  uint64_t n_done = 0;
  uint64_t values[2][kWarpSize] = {};
};

struct Thread {
  context::fiber fiber;
  StackBounds stack;
  dim3 idx;
  std::string waits_at;  // empty: can run
  bool done = false;
};

struct Settings {
  Options options;
  std::set<BarrierSite> barriers;
};
thread_local Settings settings;

class Block {
 public:
  Block(dim3 block, StackPool& stacks) : threads_(block.x * block.y * block.z) {
    exchanges_.resize((threads_.size() + kWarpSize - 1) / kWarpSize);
    for (unsigned i = 0; i < threads_.size(); ++i) {
      threads_[i].idx = {i % block.x, i / block.x % block.y, i / (block.x * block.y)};
    }
    stacks_ = &stacks;
  }

  void run(const std::function<void()>& body, const std::vector<size_t>& order);
  void sync_threads(const std::string& where);
  void exchange(unsigned mask, uint64_t mine, uint64_t (&of_lane)[kWarpSize], const char* what);
  [[noreturn]] void fault(const std::string& what);

 private:
  void start(Thread& thread, const std::function<void()>& body);
  void run_to_end(Thread& thread, const std::function<void()>& body);
  bool run_each_once(const std::vector<size_t>& order, const std::function<void()>& body);
  void wait_at(const std::string& where);
  void release_barrier_if_complete();
  Exchange& exchange_of(unsigned mask);
  unsigned lanes_of_warp() const;
  std::string stuck() const;

  std::vector<Thread> threads_;
  std::vector<std::vector<Exchange>> exchanges_;  // [warp]
  std::vector<size_t> at_barrier_;
  size_t n_alive_ = 0;
  size_t current_ = 0;
  context::fiber scheduler_;
  StackBounds scheduler_stack_;
  StackPool* stacks_ = nullptr;
  std::string fault_;
};

thread_local Block* running = nullptr;

void Block::run(const std::function<void()>& body, const std::vector<size_t>& order) {
  n_alive_ = threads_.size();
  for (Thread& thread : threads_) {
    thread.done = false;
    thread.waits_at.clear();
  }
  running = this;
  while (run_each_once(order, body)) {
  }
  running = nullptr;
  const std::string trouble = !fault_.empty() ? fault_ : n_alive_ > 0 ? stuck() : "";
  for (Thread& thread : threads_) {
    if (!thread.fiber) continue;
    const StackSwitch to_fiber(thread.stack);
    thread.fiber = {};  // unwinds one that is stuck
  }
  if (!trouble.empty()) throw KernelFault(trouble);
}

void Block::start(Thread& thread, const std::function<void()>& body) {
  thread.fiber = context::fiber(std::allocator_arg, PooledStack{stacks_, &thread.stack},
                                [this, &body, &thread](context::fiber&& scheduler) {
                                  scheduler_stack_ = StackSwitch::entered();
                                  scheduler_ = std::move(scheduler);
                                  run_to_end(thread, body);
                                  return std::move(scheduler_);
                                });
}

void Block::run_to_end(Thread& thread, const std::function<void()>& body) {
  try {
    body();
  } catch (...) {  // Boost unwinds a fiber that is stuck
    StackSwitch::leave_for_good(scheduler_stack_);
    throw;
  }
  thread.done = true;
  --n_alive_;
  release_barrier_if_complete();
  StackSwitch::leave_for_good(scheduler_stack_);
}

// False once no thread can run any more.
bool Block::run_each_once(const std::vector<size_t>& order, const std::function<void()>& body) {
  bool any = false;
  for (size_t i : order) {
    Thread& thread = threads_[i];
    if (thread.done || !thread.waits_at.empty()) continue;
    any = true;
    current_ = i;
    threadIdx = thread.idx;
    if (!thread.fiber) start(thread, body);
    const StackSwitch to_fiber(thread.stack);
    thread.fiber = std::move(thread.fiber).resume();
    if (!fault_.empty()) return false;
  }
  return any;
}

void Block::wait_at(const std::string& where) {
  threads_[current_].waits_at = where;
  const StackSwitch to_scheduler(scheduler_stack_);
  scheduler_ = std::move(scheduler_).resume();
}

void Block::sync_threads(const std::string& where) {
  at_barrier_.push_back(current_);
  threads_[current_].waits_at = where;
  release_barrier_if_complete();
  wait_at(threads_[current_].waits_at);  // the last one too lets the others go first
}

// Threads that have ended do not count.
void Block::release_barrier_if_complete() {
  if (at_barrier_.empty() || at_barrier_.size() < n_alive_) return;
  for (size_t i : at_barrier_) threads_[i].waits_at.clear();
  at_barrier_.clear();
}

unsigned Block::lanes_of_warp() const {
  const size_t n = threads_.size() - current_ / kWarpSize * kWarpSize;
  return n >= kWarpSize ? ~0u : (1u << n) - 1;
}

Exchange& Block::exchange_of(unsigned mask) {
  std::vector<Exchange>& all = exchanges_[current_ / kWarpSize];
  for (Exchange& e : all) {
    if (e.mask == mask) return e;
  }
  all.push_back({.mask = mask});
  return all.back();
}

void Block::exchange(unsigned mask, uint64_t mine, uint64_t (&of_lane)[kWarpSize],
                     const char* what) {
  const size_t lane = current_ % kWarpSize;
  if ((mask >> lane & 1) == 0) fault(std::string("a lane outside its own mask at ") + what);
  const unsigned wanted = mask & lanes_of_warp();
  const uint64_t turn = exchange_of(mask).n_done;
  {
    Exchange& e = exchange_of(mask);
    e.values[turn % 2][lane] = mine;
    e.arrived |= 1u << lane;
    if (e.arrived == wanted) {
      e.arrived = 0;
      ++e.n_done;
      const size_t first = current_ / kWarpSize * kWarpSize;
      for (size_t i = first; i < std::min(first + kWarpSize, threads_.size()); ++i) {
        // A lane waits at one place at a time, so its place names the exchange.
        if ((mask >> (i - first) & 1) != 0) threads_[i].waits_at.clear();
      }
    } else {
      threads_[current_].waits_at = what;
    }
  }
  if (!threads_[current_].waits_at.empty()) wait_at(what);
  // Other lanes may have added exchanges meanwhile: look it up again.
  std::memcpy(of_lane, exchange_of(mask).values[turn % 2], sizeof of_lane);
}

void Block::fault(const std::string& what) {
  fault_ = what;
  wait_at(what);
  std::terminate();  // never resumed
}

std::string Block::stuck() const {
  std::string text = "threads wait for others that never come:";
  std::set<std::string> places;
  for (size_t i = 0; i < threads_.size(); ++i) {
    const Thread& thread = threads_[i];
    if (thread.done || !places.insert(thread.waits_at).second) continue;
    text += " thread " + std::to_string(i) + " at " + thread.waits_at + ";";
  }
  return text;
}

std::vector<size_t> shuffled(size_t n, const ThreadOrder& order, std::mt19937_64& engine) {
  std::vector<size_t> indices(n);
  std::iota(indices.begin(), indices.end(), 0);
  if (order.kind == ThreadOrder::kReverse) std::reverse(indices.begin(), indices.end());
  if (order.kind == ThreadOrder::kSeeded) std::shuffle(indices.begin(), indices.end(), engine);
  return indices;
}

}  // namespace

void set_options(const Options& options) { settings = {options, {}}; }

std::vector<BarrierSite> barriers_reached() {
  return {settings.barriers.begin(), settings.barriers.end()};
}

void run_grid(dim3 grid, dim3 block, const std::function<void()>& body) {
  thread_local StackPool stacks;
  const std::span<std::byte> shared = shared_memory();
  const ThreadOrder order = settings.options.order;
  std::mt19937_64 engine(order.seed);
  Block threads(block, stacks);
  blockDim = block;
  gridDim = grid;
  for (size_t b : shuffled(size_t{grid.x} * grid.y * grid.z, order, engine)) {
    const auto i = static_cast<unsigned>(b);
    blockIdx = {i % grid.x, i / grid.x % grid.y, i / (grid.x * grid.y)};
    std::memset(shared.data(), 0xff, shared.size());
    reset_copies(size_t{block.x} * block.y * block.z);
    threads.run(body, shuffled(block.x * block.y * block.z, order, engine));
  }
}

void sync_threads(const char* file, int line) {
  const BarrierSite site{file, line};
  settings.barriers.insert(site);
  if (settings.options.deleted_barrier == site) return;
  running->sync_threads("__syncthreads, " + site.file + ":" + std::to_string(line));
}

void exchange(unsigned mask, uint64_t mine, uint64_t (&of_lane)[32], const char* what) {
  running->exchange(mask, mine, of_lane, what);
}

void trap(const char* what) { running->fault(std::string("trap: ") + what); }

}  // namespace lockstep::cuda_emulation
