// Sources: Linux's Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst, proc(5) for
// mountinfo, cgroups(7) for /proc/PID/cgroup.
#include "common/machine.h"

#include <sched.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

namespace lockstep {
namespace {

constexpr int kMaxCpus = 1 << 16;  // largest affinity mask that is tried

// Reads a whole number. Returns nullopt for "max", for a negative number ("no limit" in v1) and if
// there is no file.
std::optional<int64_t> read_limit(const std::string& path) {
  std::ifstream in(path);
  int64_t value = 0;
  if (in >> value && value >= 0) return value;
  return std::nullopt;
}

// Returns the number after `key` in a file of lines "key number …".
std::optional<int64_t> read_keyed(const std::string& path, std::string_view wanted) {
  std::ifstream in(path);
  std::string key;
  int64_t value = 0;
  while (in >> key >> value) {
    if (key == wanted) return value;
    in.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  return std::nullopt;
}

bool lists(const std::string& comma_separated, std::string_view wanted) {
  std::istringstream in(comma_separated);
  std::string item;
  while (std::getline(in, item, ',')) {
    if (item == wanted) return true;
  }
  return false;
}

// Decodes mountinfo's escapes: it writes space, tab, newline and backslash as three octal digits.
std::string unescaped(const std::string& text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size()) {
      out +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      out += text[i];
    }
  }
  return out;
}

// Returns the part of `path` below `root`, without a trailing slash. A mount shows only a part of
// the hierarchy; for a cgroup outside of that part, the nearest visible parent is the mount point.
std::string below(const std::string& path, const std::string& root) {
  std::string rest = path;
  if (root != "/") {
    const bool inside =
        path.starts_with(root) && (path.size() == root.size() || path[root.size()] == '/');
    rest = inside ? path.substr(root.size()) : "";
  }
  if (rest == "/" || rest.find("/..") != std::string::npos) return "";
  return rest;
}

// Returns the path of this process's cgroup in the hierarchy of v2 (controller "") or of a v1
// controller.
std::optional<std::string> cgroup_path(const std::string& file, std::string_view controller) {
  std::ifstream in(file);
  std::string line;
  while (std::getline(in, line)) {  // hierarchy-ID:controllers:path
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const bool is_it = controller.empty() ? controllers.empty() : lists(controllers, controller);
    if (is_it) return line.substr(second + 1);
  }
  return std::nullopt;
}

// Returns the quota in processors, rounded up; nullopt if the quota or the period is not positive.
std::optional<int64_t> quota_cpus(std::optional<int64_t> quota, std::optional<int64_t> period) {
  if (!quota || !period || *quota <= 0 || *period <= 0) return std::nullopt;
  return (*quota - 1) / *period + 1;
}

std::optional<int64_t> cpus_v2(const std::string& cgroup) {
  std::ifstream in(cgroup + "/cpu.max");  // "max 100000" or "150000 100000"
  int64_t quota = 0;
  int64_t period = 0;
  if (!(in >> quota >> period)) return std::nullopt;
  return quota_cpus(quota, period);
}

std::optional<int64_t> cpus_v1(const std::string& cgroup) {
  return quota_cpus(read_limit(cgroup + "/cpu.cfs_quota_us"),
                    read_limit(cgroup + "/cpu.cfs_period_us"));
}

// Returns the bytes left below a limit. Inactive file pages do not count as used, because the
// kernel reclaims them when memory is needed.
std::optional<int64_t> room(std::optional<int64_t> limit, std::optional<int64_t> usage,
                            std::optional<int64_t> inactive_file) {
  if (!limit) return std::nullopt;
  const int64_t used = std::max<int64_t>(0, usage.value_or(0) - inactive_file.value_or(0));
  return std::max<int64_t>(0, *limit - used);
}

std::optional<int64_t> room_v2(const std::string& cgroup) {
  const auto usage = read_limit(cgroup + "/memory.current");
  const auto inactive = read_keyed(cgroup + "/memory.stat", "inactive_file");
  const auto hard = room(read_limit(cgroup + "/memory.max"), usage, inactive);
  const auto soft = room(read_limit(cgroup + "/memory.high"), usage, inactive);
  if (hard && soft) return std::min(*hard, *soft);
  return hard ? hard : soft;
}

std::optional<int64_t> room_v1(const std::string& cgroup) {
  return room(read_limit(cgroup + "/memory.limit_in_bytes"),
              read_limit(cgroup + "/memory.usage_in_bytes"),
              read_keyed(cgroup + "/memory.stat", "total_inactive_file"));
}

void lower(std::optional<int64_t>& least, std::optional<int64_t> value) {
  if (value && (!least || *value < *least)) least = value;
}

}  // namespace

int affinity_cpus() {
  // The kernel refuses a mask smaller than its own.
  for (int n = 1024; n <= kMaxCpus; n *= 2) {
    cpu_set_t* set = CPU_ALLOC(n);
    if (set == nullptr) break;
    const size_t bytes = CPU_ALLOC_SIZE(n);
    const bool known = ::sched_getaffinity(0, bytes, set) == 0;
    const int count = known ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (known) return std::max(1, count);
  }
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

Machine::Machine(std::string root, int n_affinity_cpus)
    : root_(std::move(root)), n_affinity_cpus_(n_affinity_cpus) {}

std::vector<Machine::Hierarchy> Machine::hierarchies(std::string_view controller) const {
  const auto path = cgroup_path(root_ + "/proc/self/cgroup", controller);
  if (!path) return {};
  std::vector<Hierarchy> found;
  std::ifstream in(root_ + "/proc/self/mountinfo");
  std::string line;
  while (std::getline(in, line)) {
    // ID parent major:minor root mount-point options optional-fields… - type source super-options
    std::istringstream fields(line);
    std::string id, parent, device, mount_root, mount_point, word;
    fields >> id >> parent >> device >> mount_root >> mount_point;
    while (fields >> word && word != "-") {
    }
    std::string type, source, options;
    if (!(fields >> type >> source >> options)) continue;
    const bool is_it =
        controller.empty() ? type == "cgroup2" : type == "cgroup" && lists(options, controller);
    if (is_it) found.push_back({unescaped(mount_point), below(*path, unescaped(mount_root))});
  }
  return found;
}

void Machine::for_each_cgroup(std::string_view controller,
                              const std::function<void(const std::string&)>& visit) const {
  for (const Hierarchy& hierarchy : hierarchies(controller)) {
    std::string cgroup = hierarchy.cgroup;
    while (!cgroup.empty()) {
      visit(root_ + hierarchy.mount_point + cgroup);
      cgroup.resize(cgroup.rfind('/'));
    }
    visit(root_ + hierarchy.mount_point);
  }
}

int Machine::available_cpus() const {
  std::optional<int64_t> quota;
  for_each_cgroup("", [&](const std::string& cgroup) { lower(quota, cpus_v2(cgroup)); });
  for_each_cgroup("cpu", [&](const std::string& cgroup) { lower(quota, cpus_v1(cgroup)); });
  const auto n = std::max(1, n_affinity_cpus_);
  return quota ? static_cast<int>(std::min<int64_t>(n, std::max<int64_t>(1, *quota))) : n;
}

int64_t Machine::available_memory() const {
  std::optional<int64_t> bytes;
  if (const auto kib = read_keyed(root_ + "/proc/meminfo", "MemAvailable:")) bytes = *kib * 1024;
  for_each_cgroup("", [&](const std::string& cgroup) { lower(bytes, room_v2(cgroup)); });
  for_each_cgroup("memory", [&](const std::string& cgroup) { lower(bytes, room_v1(cgroup)); });
  return bytes ? std::max<int64_t>(1, *bytes) : 0;
}

}  // namespace lockstep
