// What a process may use of its machine, read from made-up /proc and /sys trees.
#include "common/machine.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "common/units.h"
#include "tests/support/temporary_path.h"

namespace lockstep {
namespace {

// A directory that stands for "/" until the test ends.
class MachineTest : public ::testing::Test {
 protected:
  MachineTest() {
    write("/proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable: 8388608 kB\n");
  }

  void write(const std::string& path, const std::string& text) const {
    root_.write_below(path, text);
  }
  // The process is in `cgroup` of a v2 hierarchy whose part below `mount_root` is mounted.
  void mount_v2(const std::string& cgroup, const std::string& mount_root = "/") const {
    write("/proc/self/cgroup", "0::" + cgroup + "\n");
    write("/proc/self/mountinfo",
          "22 1 0:5 / /proc rw,nosuid - proc proc rw\n"
          "31 22 0:28 " +
              mount_root + " /sys/fs/cgroup ro,nosuid shared:9 - cgroup2 cgroup rw,nsdelegate\n");
  }
  void mount_v1(const std::string& cgroup, const std::string& mount_root = "/") const {
    write("/proc/self/cgroup",
          "4:memory:" + cgroup + "\n3:cpu,cpuacct:" + cgroup + "\n1:name=x:/\n");
    write("/proc/self/mountinfo",
          "32 31 0:29 " + mount_root +
              " /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
              "35 31 0:32 " +
              mount_root + " /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n");
  }
  Machine machine(int n_affinity_cpus = 8) const { return Machine(root_.str(), n_affinity_cpus); }

  const testing::TemporaryPath root_;
};

TEST_F(MachineTest, WithoutCgroupsItIsTheMachine) {
  EXPECT_EQ(machine(8).available_cpus(), 8);
  EXPECT_EQ(machine(0).available_cpus(), 1);
  EXPECT_EQ(machine().available_memory(), 8_GiB);
}

TEST_F(MachineTest, WithoutAnyFileMemoryIsUnknown) {
  EXPECT_EQ(Machine(root_.str() + "/nowhere", 3).available_memory(), 0);
  EXPECT_EQ(Machine(root_.str() + "/nowhere", 3).available_cpus(), 3);
}

TEST_F(MachineTest, AContainersOwnNamespaceShowsItsLimitsAtTheMountPoint) {
  mount_v2("/");
  write("/sys/fs/cgroup/cpu.max", "200000 100000\n");
  write("/sys/fs/cgroup/memory.max", "536870912\n");
  write("/sys/fs/cgroup/memory.current", "104857600\n");
  EXPECT_EQ(machine().available_cpus(), 2);
  EXPECT_EQ(machine().available_memory(), 412_MiB);
}

TEST_F(MachineTest, AQuotaIsRoundedUpAndTheAffinityMaskStillHolds) {
  mount_v2("/");
  write("/sys/fs/cgroup/cpu.max", "250001 100000\n");
  EXPECT_EQ(machine(8).available_cpus(), 3);
  EXPECT_EQ(machine(2).available_cpus(), 2);
  write("/sys/fs/cgroup/cpu.max", "1000 100000\n");
  EXPECT_EQ(machine(8).available_cpus(), 1);
}

TEST_F(MachineTest, MaxIsNoLimit) {
  mount_v2("/");
  write("/sys/fs/cgroup/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/memory.max", "max\n");
  write("/sys/fs/cgroup/memory.current", "104857600\n");
  EXPECT_EQ(machine().available_cpus(), 8);
  EXPECT_EQ(machine().available_memory(), 8_GiB);
}

TEST_F(MachineTest, TheTightestOfACgroupAndItsParentsCounts) {
  mount_v2("/kubepods/pod1/node");
  write("/sys/fs/cgroup/kubepods/cpu.max", "600000 100000\n");
  write("/sys/fs/cgroup/kubepods/pod1/cpu.max", "300000 100000\n");
  write("/sys/fs/cgroup/kubepods/pod1/node/cpu.max", "max 100000\n");
  write("/sys/fs/cgroup/kubepods/memory.max", "1073741824\n");
  write("/sys/fs/cgroup/kubepods/memory.current", "1048576000\n");
  write("/sys/fs/cgroup/kubepods/pod1/memory.max", "536870912\n");
  write("/sys/fs/cgroup/kubepods/pod1/memory.current", "0\n");
  EXPECT_EQ(machine().available_cpus(), 3);
  EXPECT_EQ(machine().available_memory(), 24_MiB);
}

TEST_F(MachineTest, UnusedFilePagesCountAsFree) {
  mount_v2("/");
  write("/sys/fs/cgroup/memory.max", "536870912\n");
  write("/sys/fs/cgroup/memory.current", "536870912\n");
  write("/sys/fs/cgroup/memory.stat", "anon 1\nfile 3\ninactive_file 209715200\n");
  EXPECT_EQ(machine().available_memory(), 200_MiB);
}

TEST_F(MachineTest, WhatThrottlesLimitsToo) {
  mount_v2("/");
  write("/sys/fs/cgroup/memory.max", "max\n");
  write("/sys/fs/cgroup/memory.high", "268435456\n");
  write("/sys/fs/cgroup/memory.current", "0\n");
  EXPECT_EQ(machine().available_memory(), 256_MiB);
}

TEST_F(MachineTest, AFullCgroupLeavesOneByteNotAnUnknownNumber) {
  mount_v2("/");
  write("/sys/fs/cgroup/memory.max", "1000\n");
  write("/sys/fs/cgroup/memory.current", "5000\n");
  EXPECT_EQ(machine().available_memory(), 1);
}

TEST_F(MachineTest, AMountOfAPartOfTheHierarchyIsReadFromThatPart) {
  mount_v2("/docker/abc/inner", "/docker/abc");
  write("/sys/fs/cgroup/cpu.max", "400000 100000\n");
  write("/sys/fs/cgroup/inner/cpu.max", "100000 100000\n");
  EXPECT_EQ(machine().available_cpus(), 1);
  mount_v2("/docker/abcdef", "/docker/abc");  // elsewhere: only the mount point is to be seen
  EXPECT_EQ(machine().available_cpus(), 4);
  mount_v2("/../outside");
  EXPECT_EQ(machine().available_cpus(), 4);
}

TEST_F(MachineTest, VersionOneHasItsOwnFiles) {
  mount_v1("/docker/abc");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "150000\n");
  write("/sys/fs/cgroup/cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", "536870912\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.usage_in_bytes", "314572800\n");
  write("/sys/fs/cgroup/memory/docker/abc/memory.stat",
        "inactive_file 1\ntotal_inactive_file 104857600\n");
  EXPECT_EQ(machine().available_cpus(), 2);
  EXPECT_EQ(machine().available_memory(), 312_MiB);
}

TEST_F(MachineTest, VersionOnesNumbersForNoLimitAreNone) {
  mount_v1("/");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
  write("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
  write("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
  write("/sys/fs/cgroup/memory/memory.usage_in_bytes", "104857600\n");
  EXPECT_EQ(machine().available_cpus(), 8);
  EXPECT_EQ(machine().available_memory(), 8_GiB);
}

TEST_F(MachineTest, FilesThatMakeNoSenseAreNoLimit) {
  mount_v2("/");
  write("/sys/fs/cgroup/cpu.max", "100000\n");
  write("/sys/fs/cgroup/memory.max", "lots\n");
  EXPECT_EQ(machine().available_cpus(), 8);
  EXPECT_EQ(machine().available_memory(), 8_GiB);
  write("/sys/fs/cgroup/cpu.max", "100000 0\n");
  EXPECT_EQ(machine().available_cpus(), 8);
}

// As under `taskset -c N`.
TEST(Machine, AThreadThatIsBoundToOneProcessorHasOne) {
  std::thread([] {
    cpu_set_t mask;
    ASSERT_EQ(::sched_getaffinity(0, sizeof mask, &mask), 0);
    int first = 0;
    while (!CPU_ISSET(first, &mask)) ++first;
    CPU_ZERO(&mask);
    CPU_SET(first, &mask);
    ASSERT_EQ(::sched_setaffinity(0, sizeof mask, &mask), 0);
    EXPECT_EQ(available_cpus(), 1);
    EXPECT_TRUE(pays_to_spin(1));
    EXPECT_FALSE(pays_to_spin(2));
  }).join();
}

}  // namespace
}  // namespace lockstep
