// lockstep why: prints why a coordinator sent a request to its node: the terms of every candidate.
#include <cstdio>
#include <iomanip>
#include <nlohmann/json.hpp>
#include <sstream>

#include "clients/cli/commands.h"
#include "clients/cli/http_get.h"
#include "common/load_error.h"
#include "common/log.h"
#include "common/service/config/config.h"
#include "common/service/http/url.h"

namespace lockstep {
namespace {

using nlohmann::json;

constexpr std::chrono::milliseconds kTimeout{2000};

struct WhyConfig {
  std::string request_id;
  std::string admin = "127.0.0.1:9100";
  template <class V>
  void visit_fields(V& v) {
    v(request_id, "request_id", "TEXT",
      "X-Request-Id of an HTTP response, or the id of a ZeroMQ request.");
    v(admin, "admin", "HOST:PORT", "Admin address of the coordinator that served the request.");
  }
};

void add_costs(std::ostream& out, const json& candidates) {
  out << "    queue  prefill   decode  streams eviction     work    total ms  cached  sequences  "
         "node\n";
  for (const json& candidate : candidates) {
    const json& cost = candidate.at("cost_ms");
    for (const char* term : {"queue", "prefill", "decode", "streams", "eviction", "work"})
      out << std::setw(9) << cost.at(term).get<double>();
    out << std::setw(12) << cost.at("total").get<double>() << std::setw(8)
        << candidate.at("cached_tokens") << std::setw(11) << candidate.at("sequences")
        << (candidate.at("chosen").get<bool>() ? " >" : "  ")
        << candidate.at("node").get<std::string>()
        << (candidate.at("step_times") == "fitted" ? "" : " (step times assumed)") << "\n";
  }
}

void add_loads(std::ostream& out, const json& candidates) {
  out << " sequences  capacity  node\n";
  for (const json& candidate : candidates) {
    out << std::setw(10) << candidate.at("sequences") << std::setw(10) << candidate.at("capacity")
        << (candidate.at("chosen").get<bool>() ? " >" : "  ")
        << candidate.at("node").get<std::string>() << "\n";
  }
}

std::string page_text(const json& page) {
  std::ostringstream out;
  out << std::fixed << std::setprecision(1);
  for (const json& route : page.at("routes")) {
    if (route.contains("prompt")) out << "prompt " << route.at("prompt").get<std::string>() << ", ";
    out << "attempt " << route.at("attempt") << ": " << route.at("node").get<std::string>()
        << " by policy " << route.at("policy").get<std::string>() << ", reason "
        << route.at("reason").get<std::string>() << "; "
        << (route.at("prompt_tokens_known").get<bool>() ? "" : "about ")
        << route.at("prompt_tokens") << " prompt tokens, "
        << route.at("expected_output_tokens").get<double>() << " output tokens expected\n";
    const json& candidates = route.at("candidates");
    if (route.at("policy") == "cost")
      add_costs(out, candidates);
    else
      add_loads(out, candidates);
  }
  return out.str();
}

int show(const std::string& body) {
  const json page = json::parse(body, nullptr, /*allow_exceptions=*/false);
  try {
    std::fputs(page_text(page).c_str(), stdout);
    return 0;
  } catch (const json::exception&) {
    std::fprintf(stderr, "lockstep why: the answer is not one of a coordinator\n");
    return 1;
  }
}

}  // namespace

int run_why(int argc, const char* const* argv) {
  WhyConfig config;
  ConfigSource source("lockstep why", "Shows why a coordinator sent a request to its node.");
  source.positional("request_id");
  source.add(config);
  if (const auto exit_code = source.load(argc, argv)) return *exit_code;
  if (config.request_id.empty()) throw LoadError("request_id: the id of a request is required");
  const HostPort address = value_or_throw(parse_host_port(config.admin));
  const auto body =
      wait_http_get(address, "/v1/routes/" + percent_encode(config.request_id), kTimeout);
  if (!body) {
    std::fprintf(stderr, "lockstep why: %s\n", body.error().message.c_str());
    return 1;
  }
  return show(*body);
}

}  // namespace lockstep
