#include "node/model/files/shared/sigbus_guard.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <limits>
#include <mutex>

#include "common/load_error.h"

namespace lockstep {
namespace {

constexpr uint64_t kNone = std::numeric_limits<uint64_t>::max();

// A guarded mapping [begin, end); unused if end is 0. `end` is written last and cleared first, so
// that the handler, which may run at any time, never sees an incomplete mapping.
struct Slot {
  std::atomic<uintptr_t> begin{0}, end{0};
  std::atomic<uint64_t> first_unreadable{kNone};
};

std::mutex mutex;  // guards slot allocation and handler installation; the handler does not lock it
std::array<Slot, SigbusGuard::kMaxGuards> slots;
int n_guards = 0;
struct sigaction previous;
uintptr_t page_bytes = 0;  // constant once the handler is installed

// Maps zeros from the page of `address` to the mapping's end, because a truncated file has no bytes
// after the page either. Returns false if that failed.
bool replace_with_zeros(Slot& slot, uintptr_t address) {
  const uintptr_t begin = slot.begin.load();
  const uintptr_t page = address & ~(page_bytes - 1);
  const uintptr_t end = (slot.end.load() + page_bytes - 1) & ~(page_bytes - 1);
  // The bare system call, because a sanitizer's mmap() is not safe in a signal handler.
  const auto zeros = ::syscall(SYS_mmap, page, end - page, PROT_READ,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  if (zeros == -1) return false;
  const uint64_t offset = page - begin;
  uint64_t seen = slot.first_unreadable.load();
  while (offset < seen && !slot.first_unreadable.compare_exchange_weak(seen, offset)) {
  }
  return true;
}

// The kernel repeats the failed read when this handler returns.
void on_sigbus(int, siginfo_t* info, void*) {
  const int saved_errno = errno;
  const auto address = reinterpret_cast<uintptr_t>(info->si_addr);
  for (Slot& slot : slots) {
    const uintptr_t end = slot.end.load();
    if (address < slot.begin.load() || address >= end) continue;
    if (!replace_with_zeros(slot, address)) break;
    errno = saved_errno;
    return;
  }
  ::sigaction(SIGBUS, &previous, nullptr);  // not a guarded address: the previous action applies
  errno = saved_errno;
}

void install_handler() {
  page_bytes = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action = {};
  action.sa_sigaction = on_sigbus;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, &previous);
}

}  // namespace

SigbusGuard::SigbusGuard(std::span<const std::byte> mapping) : slot_(-1) {
  const std::lock_guard lock(mutex);
  for (int i = 0; i < kMaxGuards && slot_ < 0; ++i) {
    if (slots[static_cast<size_t>(i)].end.load() == 0) slot_ = i;
  }
  if (slot_ < 0) throw LoadError("too many model files are open at once");
  if (n_guards++ == 0) install_handler();
  Slot& slot = slots[static_cast<size_t>(slot_)];
  slot.first_unreadable = kNone;
  slot.begin = reinterpret_cast<uintptr_t>(mapping.data());
  slot.end = reinterpret_cast<uintptr_t>(mapping.data()) + mapping.size();
}

SigbusGuard::~SigbusGuard() {
  const std::lock_guard lock(mutex);
  slots[static_cast<size_t>(slot_)].end = 0;
  if (--n_guards == 0) ::sigaction(SIGBUS, &previous, nullptr);
}

std::optional<uint64_t> SigbusGuard::first_unreadable() const {
  const uint64_t offset = slots[static_cast<size_t>(slot_)].first_unreadable.load();
  if (offset == kNone) return std::nullopt;
  return offset;
}

}  // namespace lockstep
