#include "tests/cuda_emulation/device_memory.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>

#include "common/check.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(data, n_bytes)
#define ASAN_UNPOISON_MEMORY_REGION(data, n_bytes)
#endif

namespace lockstep::cuda_emulation {
namespace {

constexpr size_t kAlignment = 256;
constexpr size_t kPage = 4096;
constexpr size_t kHugePage = size_t{2} << 20;  // a change of protection costs as much as a page's

constexpr size_t round_up(size_t n, size_t step) { return (n + step - 1) / step * step; }

//   | no access | (poisoned) data (poisoned, < 256 bytes) | no access |
//   ^ begin     ^ pages                                   ^ pages + pages_bytes
struct Mapping {
  std::byte* begin = nullptr;
  size_t total_bytes = 0;
  std::byte* pages = nullptr;
  size_t pages_bytes = 0;
  size_t n_bytes = 0;

  bool contains(const std::byte* at) const { return at >= begin && at < begin + total_bytes; }
  bool pages_contain(const std::byte* at) const { return at >= pages && at < pages + pages_bytes; }
  void protect(int protection) const { CHECK_EQ(mprotect(pages, pages_bytes, protection), 0); }
};

std::mutex mutex;
// guarded by mutex
std::map<const std::byte*, Mapping, std::less<>> mappings;  // by data
bool guarded = false;
int n_accesses = 0;
struct sigaction handler_before;

void protect_all() {
  const bool open = !guarded || n_accesses > 0;
  for (const auto& [data, mapping] : mappings) {
    mapping.protect(open ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
}

// Says whether an access to device memory is the reason, and leaves the rest to the handler before.
void on_segv(int /*signal*/, siginfo_t* info, void* /*context*/) {
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  char line[200];
  int length = 0;
  for (const auto& [data, mapping] : mappings) {  // without the mutex: the process ends here
    if (!mapping.contains(at)) continue;
    length = std::snprintf(
        line, sizeof line, "emulated CUDA: %s: byte %td of an allocation of %zu bytes\n",
        mapping.pages_contain(at) ? "host code accesses device memory"
                                  : "an access beyond an allocation of device memory",
        at - data, mapping.n_bytes);
  }
  if (length > 0 && write(STDERR_FILENO, line, static_cast<size_t>(length)) < 0) _exit(1);
  sigaction(SIGSEGV, &handler_before, nullptr);
}

void install_handler() {
  struct sigaction action {};
  action.sa_sigaction = on_segv;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  CHECK_EQ(sigaction(SIGSEGV, &action, &handler_before), 0);
}

}  // namespace

std::byte* map_device_memory(size_t n_bytes) {
  const size_t page = n_bytes >= kHugePage ? kHugePage : kPage;
  const size_t aligned_bytes = round_up(n_bytes, kAlignment);
  Mapping mapping;
  mapping.n_bytes = n_bytes;
  mapping.pages_bytes = round_up(aligned_bytes + 1, page);
  mapping.total_bytes = mapping.pages_bytes + 2 * page;
  void* begin = mmap(nullptr, mapping.total_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (begin == MAP_FAILED) return nullptr;
  mapping.begin = static_cast<std::byte*>(begin);
  const size_t misaligned = reinterpret_cast<uintptr_t>(begin) % page;
  mapping.pages = mapping.begin + page - misaligned;
  if (page == kHugePage) madvise(mapping.pages, mapping.pages_bytes, MADV_HUGEPAGE);
  std::byte* data = mapping.pages + mapping.pages_bytes - aligned_bytes;
  const std::lock_guard lock(mutex);
  mapping.protect(PROT_READ | PROT_WRITE);
  std::memset(data, 0xff, n_bytes);
  ASAN_POISON_MEMORY_REGION(mapping.pages, static_cast<size_t>(data - mapping.pages));
  ASAN_POISON_MEMORY_REGION(data + n_bytes, aligned_bytes - n_bytes);
  if (guarded && n_accesses == 0) mapping.protect(PROT_NONE);
  mappings[data] = mapping;
  return data;
}

void unmap_device_memory(std::byte* data) {
  const std::lock_guard lock(mutex);
  const auto found = mappings.find(data);
  CHECK(found != mappings.end());
  const Mapping& mapping = found->second;
  ASAN_UNPOISON_MEMORY_REGION(mapping.pages, mapping.pages_bytes);
  munmap(mapping.begin, mapping.total_bytes);
  mappings.erase(found);
}

void set_guard(bool on) {
  static std::once_flag once;
  if (on) std::call_once(once, install_handler);
  const std::lock_guard lock(mutex);
  guarded = on;
  protect_all();
}

DeviceAccess::DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (n_accesses++ == 0 && guarded) protect_all();
}

DeviceAccess::~DeviceAccess() {
  const std::lock_guard lock(mutex);
  if (--n_accesses == 0 && guarded) protect_all();
}

}  // namespace lockstep::cuda_emulation
