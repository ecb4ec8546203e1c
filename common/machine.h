// Machine: the number of processors and the memory that this process may use. The machine's own
// numbers are upper bounds only: a container has a cgroup (v1 or v2) with a CPU quota and a memory
// limit, and taskset, systemd or a cpuset narrow the affinity mask. Every call reads files, so the
// functions are not for a step's inner loop. Any thread.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Number of processors in this thread's affinity mask, at least 1.
int affinity_cpus();

class Machine {
 public:
  // `root` is prepended to every path that is read ("" = this machine). Tests use it with
  // `n_affinity_cpus` to simulate a machine.
  explicit Machine(std::string root = "", int n_affinity_cpus = affinity_cpus());

  // Number of processors in the affinity mask, limited by the CPU quota of the process's cgroup and
  // of each of its parents, rounded up. At least 1.
  int available_cpus() const;

  // Bytes that can be allocated before the kernel must reclaim memory in use: MemAvailable, limited
  // by the memory limit of the process's cgroup and of each of its parents, minus the cgroup's
  // working set (usage without inactive file pages, as the kubelet counts it). 0 = unknown, else at
  // least 1.
  int64_t available_memory() const;

 private:
  struct Hierarchy {
    std::string mount_point;  // below root_
    std::string cgroup;       // this process's cgroup below the mount point: "" or "/a/b"
  };

  // The hierarchies that contain the controller's files: that of v2 if `controller` is empty. The
  // list is empty if there are none.
  std::vector<Hierarchy> hierarchies(std::string_view controller) const;
  // Calls `visit` with the directory of the process's cgroup and of each of its parents.
  void for_each_cgroup(std::string_view controller,
                       const std::function<void(const std::string&)>& visit) const;

  const std::string root_;
  const int n_affinity_cpus_;
};

// The same numbers for this machine.
inline int available_cpus() { return Machine().available_cpus(); }
inline int64_t available_memory() { return Machine().available_memory(); }

// Whether a thread that waits for another of the process's `n_threads` computing threads should
// poll for a while before it sleeps. Polling pays only while every thread can have a processor;
// otherwise the other thread may need the processor that the waiting thread polls on.
inline bool pays_to_spin(int n_threads) { return n_threads <= available_cpus(); }

}  // namespace lockstep
