#include "node/model/files/shared/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <functional>

#include "common/check.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {
namespace {

// A page fault also maps the pages around it that are in the page cache (Linux's
// fault_around_bytes).
constexpr uintptr_t kFaultWindow = 64 << 10;

[[noreturn]] void fail_with_errno(const char* what) {
  throw LoadError(std::string("cannot ") + what + ": " + std::strerror(errno));
}

int64_t nanoseconds(const timespec& time) {
  return int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

}  // namespace

// O_NONBLOCK: opening a pipe must not wait for a writer.
OpenFile::OpenFile(const std::string& path)
    : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (fd_ < 0) fail_with_errno("open");
}

OpenFile::~OpenFile() { ::close(fd_); }

struct stat OpenFile::status() const {
  struct stat status = {};
  if (::fstat(fd_, &status) != 0) fail_with_errno("read the size of");
  return status;
}

MappedFile::MappedFile(const std::string& path) : path_(path), file_(path) {
  const struct stat status = file_.status();
  if (!S_ISREG(status.st_mode)) throw LoadError("not a regular file");
  if (status.st_size == 0) throw LoadError("the file is empty");
  const auto n_bytes = static_cast<size_t>(status.st_size);
  written_ns_ = nanoseconds(status.st_mtim);
  void* mapping = ::mmap(nullptr, n_bytes, PROT_READ, MAP_PRIVATE, file_.fd(), 0);
  if (mapping == MAP_FAILED) fail_with_errno("map");
  bytes_ = {static_cast<const std::byte*>(mapping), n_bytes};
  guard_.emplace(bytes_);
}

MappedFile::~MappedFile() {
  guard_.reset();  // before munmap(), after which the addresses may be mapped again
  ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());  // NOLINT: mapped read-only
}

bool MappedFile::holds(const std::byte* data) const {
  const std::less<> before;  // also for addresses of different arrays
  return !before(data, bytes_.data()) && before(data, bytes_.data() + bytes_.size());
}

void MappedFile::check_unchanged() const {
  const struct stat status = file_.status();
  const auto size = static_cast<uint64_t>(status.st_size);
  if (size < bytes_.size()) {
    throw LoadError(str(path_, ": the file was truncated at offset ", size,
                        " while it was loaded; ", "it had ", bytes_.size(), " bytes"));
  }
  const std::optional<uint64_t> unreadable = guard_->first_unreadable();
  const auto where = unreadable ? str(", at offset ", *unreadable, " or before") : std::string();
  if (size != bytes_.size() || nanoseconds(status.st_mtim) != written_ns_) {
    throw LoadError(str(path_, ": the file was written to while it was loaded", where));
  }
  if (unreadable) throw LoadError(str(path_, ": the file cannot be read at offset ", *unreadable));
}

void MappedFile::release(const std::byte* data, int64_t n_bytes) const {
  const auto first = static_cast<uint64_t>(data - bytes_.data());
  CHECK(n_bytes >= 0 && first <= bytes_.size() &&
        static_cast<uint64_t>(n_bytes) <= bytes_.size() - first);
  if (n_bytes == 0) return;
  // Rounds to whole windows, as a page fault maps them.
  const auto start = reinterpret_cast<uintptr_t>(bytes_.data());
  const uintptr_t last = start + first + static_cast<uint64_t>(n_bytes) - 1;
  const uintptr_t begin = std::max(start, (start + first) / kFaultWindow * kFaultWindow);
  const uintptr_t end = std::min(start + bytes_.size(), (last / kFaultWindow + 1) * kFaultWindow);
  // madvise() may fail; the pages then stay mapped.
  ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);  // NOLINT
}

}  // namespace lockstep
