// lockstep top: shows the contents and activity of a node's KV cache, live, from its admin port.
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "clients/cli/commands.h"
#include "clients/cli/http_get.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/service/config/config.h"

namespace lockstep {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;

constexpr std::chrono::milliseconds kTimeout{2000};
constexpr int kBarWidth = 60;
constexpr const char* kClearScreen = "\x1b[H\x1b[2J";

struct TopConfig {
  std::string admin = "127.0.0.1:9100";
  bool once = false;
  template <class V>
  void visit_fields(V& v) {
    v(admin, "admin", "HOST:PORT", "Admin address of a node or of lockstep serve.");
    v(once, "once", "", "Print one picture and exit.");
  }
};

// The counters of one screen; the next screen computes its rates from them.
struct Counters {
  steady_clock::time_point at;
  double prompt = 0, output = 0;
};

double share(double part, double whole) { return whole > 0 ? 100 * part / whole : 0; }

// Draws the KV blocks: '#' = active, '=' = cached, '-' = reserved, '.' = free.
std::string bar(const json& blocks) {
  const double total = blocks.at("total");
  std::string out;
  const auto fill = [&](char symbol, double until) {
    const auto width = static_cast<size_t>(std::lround(share(until, total) / 100 * kBarWidth));
    if (out.size() < width) out.append(width - out.size(), symbol);
  };
  const double active = blocks.at("active"), cached = blocks.at("cached");
  fill('#', active);
  fill('=', active + cached);
  fill('-', std::min(total, active + cached + blocks.at("reserved").get<double>()));
  fill('.', total);
  return out;
}

void add_rates(std::ostream& out, const Counters& now, const std::optional<Counters>& before) {
  if (!before) return;
  const double seconds = std::chrono::duration<double>(now.at - before->at).count();
  if (seconds <= 0) return;
  out << "; " << (now.prompt - before->prompt) / seconds << " prompt and "
      << (now.output - before->output) / seconds << " output tokens/s";
}

void add_prefixes(std::ostream& out, const json& prefixes) {
  out << "\n    hits   tokens  idle s  next  prefix\n";
  for (const json& p : prefixes) {
    out << std::setw(8) << p.at("hits").get<uint64_t>() << std::setw(9)
        << p.at("tokens").get<int64_t>() << std::setw(8) << p.at("idle_seconds").get<double>()
        << std::setw(6) << p.at("children").get<int64_t>() << "  "
        << p.at("hash").get<std::string>();
    if (!p.at("salt_hash").is_null()) out << " salt " << p.at("salt_hash").get<std::string>();
    // The text is printed as JSON, so that no control character reaches the terminal.
    if (p.contains("text")) out << " " << p.at("text").dump().substr(0, 60);
    out << "\n";
  }
  if (prefixes.empty()) out << "  nothing has been reused yet\n";
}

std::string picture(const json& page, const Counters& now, const std::optional<Counters>& before) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1);
  const json& blocks = page.at("blocks");
  const json& tokens = page.at("tokens");
  out << "model " << page.at("model").get<std::string>() << "; "
      << page.at("sequences").at("running") << " running, " << page.at("sequences").at("waiting")
      << " waiting";
  add_rates(out, now, before);
  out << "\n\n[" << bar(blocks) << "]\n";
  out << blocks.at("total") << " blocks of " << page.at("block_size") << " tokens: # "
      << blocks.at("active") << " active, = " << blocks.at("cached") << " cached, - "
      << blocks.at("reserved") << " reserved, . " << blocks.at("free") << " free\n";
  out << "prefix cache " << (page.at("prefix_cache").get<bool>() ? "on" : "off") << ": "
      << page.at("indexed_blocks") << " blocks, " << page.at("salts").at("count") << " salts, "
      << share(tokens.at("cached"), tokens.at("prompt")) << " % of " << tokens.at("prompt")
      << " prompt tokens read from it\n";
  for (const json& tenant : page.at("tenants")) {
    out << "tenant " << tenant.at("name").get<std::string>() << ": " << tenant.at("used")
        << " blocks used, " << tenant.at("cached") << " cached\n";
  }
  out << "evicted:";
  for (const auto& [cause, n] : page.at("evictions").items()) out << " " << n << " for " << cause;
  out << "\n";
  add_prefixes(out, page.at("prefixes"));
  return out.str();
}

int show(const std::string& body, bool live, std::optional<Counters>& before) {
  const json page = json::parse(body, nullptr, /*allow_exceptions=*/false);
  try {
    const Counters now{steady_clock::now(), page.at("tokens").at("prompt"),
                       page.at("tokens").at("output")};
    const std::string text = picture(page, now, before);
    std::printf("%s%s", live ? kClearScreen : "", text.c_str());
    std::fflush(stdout);
    before = now;
    return 0;
  } catch (const json::exception&) {
    std::fprintf(stderr, "lockstep top: the answer is not that of a node's /v1/cache\n");
    return 1;
  }
}

}  // namespace

int run_top(int argc, const char* const* argv) {
  TopConfig config;
  ConfigSource source("lockstep top", "Shows live what a node's KV cache holds and does.");
  source.positional("admin");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  const HostPort address = value_or_throw(parse_host_port(config.admin));
  const bool live = !config.once && isatty(STDOUT_FILENO) != 0;
  std::optional<Counters> before;
  while (true) {
    const Result<std::string> body = wait_http_get(address, "/v1/cache", kTimeout);
    if (!body) {
      std::fprintf(stderr, "lockstep top: %s\n", body.error().message.c_str());
      return 1;
    }
    if (const int code = show(*body, live, before); code != 0 || config.once) return code;
    std::this_thread::sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace lockstep
