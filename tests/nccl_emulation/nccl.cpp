// The part of NCCL that parallel/nccl/ calls, between threads of one process and over the emulated
// devices' host memory. Non-blocking only. A collective is work on the callers' streams: it stages
// what its rank brings, and is done once those whose data it needs have come. Ranks that never come
// are waited for without end, as NCCL would.
#include <nccl.h>

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "tests/cuda_emulation/stream.h"
#include "tests/nccl_emulation/faults.h"

namespace {

using lockstep::nccl_emulation::Faults;
using lockstep::nccl_emulation::Stats;

// One collective, while not all ranks are through with it.
struct Meeting {
  explicit Meeting(int n_ranks) : brought(static_cast<size_t>(n_ranks)) {}
  std::vector<std::vector<std::byte>> brought;  // [rank]; empty until it comes
  int n_left = 0;
};

struct Group {
  int n_ranks = 0;
  int n_joined = 0;
  int n_aborted = 0;
  std::map<uint64_t, Meeting> meetings;  // by their number, counted alike by all ranks
};

// What outlives an ncclComm: the work that it has put on streams.
struct Member {
  std::shared_ptr<Group> group;
  int rank = 0;
  bool aborted = false;
  uint64_t n_collectives = 0;
};

std::mutex mutex;  // guards all that follows, and every Group and Member
std::condition_variable faults_changed;
Faults faults;
Stats stats;
uint64_t n_ids = 0;
std::map<uint64_t, std::weak_ptr<Group>> groups;

bool hits(const Member& member) { return faults.rank < 0 || faults.rank == member.rank; }

}  // namespace

struct ncclComm {
  enum class Doing { kNothing, kJoining, kIssuing, kFinalizing };

  std::atomic<bool> occupied{false};
  // guarded by mutex
  std::shared_ptr<Member> member;
  Doing doing = Doing::kJoining;
  int n_polls_left = 0;
  std::function<void()> issue;    // what kIssuing ends with
  std::byte* receives = nullptr;  // the last collective
};

namespace {

// A call on a communicator: NCCL allows one thread at a time.
class Visit {
 public:
  explicit Visit(ncclComm_t comm) : comm_(comm), intrudes_(comm->occupied.exchange(true)) {
    if (intrudes_) {
      std::lock_guard lock(mutex);
      ++stats.n_intrusions;
    }
  }
  ~Visit() {
    if (comm_ != nullptr) comm_->occupied = intrudes_;
  }
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;
  void comm_is_gone() { comm_ = nullptr; }

 private:
  ncclComm_t comm_;
  const bool intrudes_;
};

size_t bytes_of(size_t count, ncclDataType_t type) {
  return count * (type == ncclUint64 ? 8 : type == ncclInt32 ? 4 : 0);
}

ncclResult_t begin(ncclComm_t comm, ncclComm::Doing what) {
  comm->doing = what;
  comm->n_polls_left = faults.n_polls;
  return ncclInProgress;
}

bool goes_on_for_ever(const ncclComm& comm) {
  const Group& group = *comm.member->group;
  const bool is_hit = hits(*comm.member);
  switch (comm.doing) {
    case ncclComm::Doing::kNothing:
      return false;
    case ncclComm::Doing::kJoining:
      return group.n_joined < group.n_ranks || (faults.joining_never_ends && is_hit);
    case ncclComm::Doing::kIssuing:
      return faults.issuing_never_ends && is_hit;
    case ncclComm::Doing::kFinalizing:
      return faults.finalizing_never_ends && is_hit;
  }
  return false;
}

// One rank's part of a collective as work on its stream.
struct Part {
  std::shared_ptr<Member> member;
  uint64_t number;
  const void* send;
  void* receive;
  size_t n_bytes;
  int root;  // of a broadcast; -1: an all-gather
  int n_polls_left;
  bool has_come = false;

  bool operator()() {
    std::lock_guard lock(mutex);
    if (member->aborted) return true;
    Group& group = *member->group;
    Meeting& meeting = group.meetings.try_emplace(number, group.n_ranks).first->second;
    if (!has_come) bring(meeting);
    for (int rank = 0; rank < group.n_ranks; ++rank) {
      if (needs(rank) && meeting.brought[static_cast<size_t>(rank)].empty()) return false;
    }
    if (n_polls_left-- > 0) return false;
    take(meeting);
    if (++meeting.n_left == group.n_ranks) group.meetings.erase(number);
    return true;
  }

  bool needs(int rank) const { return root < 0 || rank == root; }

  void bring(Meeting& meeting) {
    has_come = true;
    const auto* bytes = static_cast<const std::byte*>(send);
    meeting.brought[static_cast<size_t>(member->rank)].assign(bytes, bytes + n_bytes);
  }

  void take(const Meeting& meeting) const {
    auto* to = static_cast<std::byte*>(receive);
    for (size_t rank = 0; rank < meeting.brought.size(); ++rank) {
      if (!needs(static_cast<int>(rank))) continue;
      std::memcpy(to, meeting.brought[rank].data(), n_bytes);
      to += n_bytes;
    }
  }
};

ncclResult_t collective(ncclComm_t comm, cudaStream_t stream, Part part) {
  Visit visit(comm);
  std::unique_lock lock(mutex);
  if (comm->doing != ncclComm::Doing::kNothing || part.n_bytes == 0) return ncclInvalidArgument;
  if (faults.issue_result != 0 && hits(*comm->member)) {
    return static_cast<ncclResult_t>(faults.issue_result);
  }
  part.member = comm->member;
  part.number = comm->member->n_collectives++;
  part.n_polls_left = hits(*comm->member) ? faults.n_slow_polls : 0;
  ++(part.root < 0 ? stats.n_gathers : stats.n_broadcasts);
  comm->receives = static_cast<std::byte*>(part.receive);
  if (faults.n_polls == 0) {
    lock.unlock();
    stream->run(part);
    return ncclSuccess;
  }
  comm->issue = [stream, part] { stream->run(part); };
  return begin(comm, ncclComm::Doing::kIssuing);
}

}  // namespace

extern "C" {

void nccl_emulation_set_faults(const Faults& wanted) {
  std::lock_guard lock(mutex);
  faults = wanted;
  faults_changed.notify_all();
}

Stats nccl_emulation_stats() {
  std::lock_guard lock(mutex);
  return stats;
}

ncclResult_t ncclGetVersion(int* version) {
  std::lock_guard lock(mutex);
  *version = faults.version;
  return ncclSuccess;
}

const char* ncclGetErrorString(ncclResult_t result) {
  return result == ncclRemoteError ? "remote process exited or there was a network error"
                                   : "another emulated error";
}

const char* ncclGetLastError(ncclComm_t /*comm*/) { return "as the test wanted"; }

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  std::lock_guard lock(mutex);
  if (faults.no_unique_id) return ncclSystemError;
  std::memset(id, 0x5a, sizeof *id);
  ++n_ids;
  std::memcpy(id->internal, &n_ids, sizeof n_ids);
  return ncclSuccess;
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* comm, int n_ranks, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  std::lock_guard lock(mutex);
  if (config->magic != 0xcafebeef || config->blocking != 0) return ncclInvalidArgument;
  uint64_t number = 0;
  std::memcpy(&number, id.internal, sizeof number);
  if (number == 0 || number > n_ids || rank < 0 || rank >= n_ranks) return ncclInvalidArgument;
  if (faults.join_result != 0 && (faults.rank < 0 || faults.rank == rank)) {
    return static_cast<ncclResult_t>(faults.join_result);
  }
  std::shared_ptr<Group> group = groups[number].lock();
  if (group == nullptr) {
    group = std::make_shared<Group>();
    group->n_ranks = n_ranks;
    groups[number] = group;
  }
  ++group->n_joined;
  ++stats.n_live;
  *comm = new ncclComm;
  (*comm)->member = std::make_shared<Member>();
  (*comm)->member->group = group;
  (*comm)->member->rank = rank;
  return begin(*comm, ncclComm::Doing::kJoining);
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* state) {
  Visit visit(comm);
  std::function<void()> issue;
  {
    std::lock_guard lock(mutex);
    ++stats.n_state_polls;
    *state = ncclInProgress;
    const bool is_hit = comm->receives != nullptr && hits(*comm->member);
    if (faults.async_error != 0 && is_hit) {
      *state = static_cast<ncclResult_t>(faults.async_error);
    } else if (faults.others_notice && comm->member->group->n_aborted > 0) {
      *state = ncclRemoteError;
    } else if (!goes_on_for_ever(*comm) && --comm->n_polls_left < 0) {
      comm->n_polls_left = 0;
      *state = ncclSuccess;
      issue.swap(comm->issue);
      comm->doing = ncclComm::Doing::kNothing;
    }
  }
  if (issue) issue();
  return ncclSuccess;
}

ncclResult_t ncclAllGather(const void* send, void* receive, size_t count, ncclDataType_t type,
                           ncclComm_t comm, cudaStream_t stream) {
  return collective(comm, stream, {{}, 0, send, receive, bytes_of(count, type), -1, 0});
}

ncclResult_t ncclBroadcast(const void* send, void* receive, size_t count, ncclDataType_t type,
                           int root, ncclComm_t comm, cudaStream_t stream) {
  return collective(comm, stream, {{}, 0, send, receive, bytes_of(count, type), root, 0});
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  Visit visit(comm);
  std::lock_guard lock(mutex);
  return begin(comm, ncclComm::Doing::kFinalizing);
}

ncclResult_t ncclCommDestroy(ncclComm_t comm) {
  Visit visit(comm);
  std::unique_lock lock(mutex);
  if (faults.destroying_never_returns && hits(*comm->member)) {
    faults_changed.wait(lock, [] { return !faults.destroying_never_returns; });
  }
  --stats.n_live;
  ++stats.n_destroyed;
  visit.comm_is_gone();
  delete comm;
  return ncclSuccess;
}

ncclResult_t ncclCommAbort(ncclComm_t comm) {
  Visit visit(comm);
  std::unique_lock lock(mutex);
  if (faults.abort_never_returns && hits(*comm->member)) {
    faults_changed.wait(lock, [] { return !faults.abort_never_returns; });
    *comm->receives = std::byte{0xff};
  }
  comm->member->aborted = true;
  ++comm->member->group->n_aborted;
  --stats.n_live;
  ++stats.n_aborted;
  visit.comm_is_gone();
  delete comm;
  return ncclSuccess;
}

}  // extern "C"
