// Machine: how many processors and how much memory this process may use. The machine's own numbers
// are upper bounds only: a container has a cgroup (v1 or v2) with a CPU quota and a memory limit,
// and taskset, systemd or a cpuset narrow the affinity mask. Reads files each time it is asked; any
// thread, not for a step's inner loop.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lockstep {

// Processors of this thread's affinity mask, at least 1.
int affinity_cpus();

class Machine {
 public:
  // `root` is put before every path that is read ("" = this machine); with `n_affinity_cpus` it
  // lets tests make a machine up.
  explicit Machine(std::string root = "", int n_affinity_cpus = affinity_cpus());

  // Processors of the affinity mask, at most the CPU quota of the process's cgroup and of each of
  // its parents, rounded up. At least 1.
  int available_cpus() const;

  // Bytes that can be allocated before something is reclaimed by force: MemAvailable, at most what
  // the memory limit of the process's cgroup and of each of its parents leaves beside its working
  // set (usage without inactive file pages, as the kubelet counts). 0 = unknown, else at least 1.
  int64_t available_memory() const;

 private:
  struct Hierarchy {
    std::string mount_point;  // below root_
    std::string cgroup;       // of this process: "" or "/a/b", below the mount point
  };

  // Where the controller's files are: v2's hierarchy if `controller` is empty. Empty if there is
  // none.
  std::vector<Hierarchy> hierarchies(std::string_view controller) const;
  // Calls `visit` with the directory of the process's cgroup and of each of its parents.
  void for_each_cgroup(std::string_view controller,
                       const std::function<void(const std::string&)>& visit) const;

  const std::string root_;
  const int n_affinity_cpus_;
};

// Of this machine.
inline int available_cpus() { return Machine().available_cpus(); }
inline int64_t available_memory() { return Machine().available_memory(); }

}  // namespace lockstep
