// The admin port of a node whose engine stands in a step that does not end.
#include "node/service/admin/control_pages.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/http_client.h"
#include "tests/support/node_harness.h"

namespace lockstep {
namespace {

using nlohmann::json;
using testing::HttpAnswer;
using testing::HttpClient;
using testing::NodeHarness;
using testing::WirePeer;

struct AdminPort {
  AdminPort() : page(node.model(), node.clock(), false) {
    AdminRoutes routes = health_routes({.live = [this] { return node.server().is_alive(); },
                                        .ready = [this] { return node.server().is_alive(); },
                                        .started = [] { return true; }});
    add_control_routes(routes, [this] { return is_loading ? nullptr : &node.server(); });
    routes["/v1/cache"].get = [this](const AdminQuery&, AdminReply reply) {
      page.get(std::move(reply));
    };
    auto started = AdminHttp::start({"127.0.0.1", 0}, std::move(routes));
    EXPECT_TRUE(started);
    http = std::move(*started);
  }
  uint16_t port() const { return http->address().port; }

  std::atomic<bool> is_loading{false};
  NodeHarness node;
  CachePage page;
  std::unique_ptr<AdminHttp> http;
};

TEST(ControlPages, ProbesAreAnsweredWhileTenOfEachVerbWaitForTheEngine) {
  AdminPort admin;
  admin.node.executor().hold();
  WirePeer peer(admin.node.endpoint());
  peer.send(NodeHarness::request("r", 4));
  admin.node.executor().wait_until_stalled();
  std::vector<std::unique_ptr<HttpClient>> clients;
  for (int i = 0; i < 30; ++i) {
    clients.push_back(std::make_unique<HttpClient>(admin.port()));
    if (i % 3 == 0) clients.back()->request("GET", "/v1/slots");
    if (i % 3 == 1) clients.back()->request("GET", "/v1/cache");
    if (i % 3 == 2) clients.back()->request("POST", "/v1/clear_kv_cache");
  }
  for (const char* path : {"/livez", "/readyz", "/startupz", "/v1/describe"}) {
    EXPECT_EQ(HttpClient(admin.port()).get(path).status, 200) << path;
  }
  for (const auto& client : clients) EXPECT_TRUE(client->is_silent(std::chrono::milliseconds{0}));
  admin.node.executor().release();
  for (size_t i = 0; i < clients.size(); ++i) {
    const HttpAnswer answer = clients[i]->read_answer();
    EXPECT_EQ(answer.status, 200) << answer.body;
    EXPECT_TRUE(json::parse(answer.body)
                    .contains(i % 3 == 0   ? "slots"
                              : i % 3 == 1 ? "indexed_blocks"
                                           : "n_cleared"));
  }
  peer.expect<wire::Done>();
}

TEST(ControlPages, AVerbThatCannotBeMeantIsRefusedAndALoadingNodeSaysSo) {
  AdminPort admin;
  const auto post = [&](const std::string& query) {
    HttpClient client(admin.port());
    client.request("POST", "/v1/clear_kv_cache" + query);
    return client.read_answer();
  };
  EXPECT_EQ(post("?scope=everything").status, 400);
  const HttpAnswer unknown = post("?tenent=a");
  EXPECT_EQ(unknown.status, 400);
  EXPECT_EQ(json::parse(unknown.body)["error"]["param"], "tenent");
  EXPECT_EQ(post("?scope=all").status, 200);
  admin.is_loading = true;
  EXPECT_EQ(post("?scope=all").status, 503);
  EXPECT_EQ(HttpClient(admin.port()).get("/v1/slots").status, 503);
  EXPECT_EQ(HttpClient(admin.port()).get("/v1/describe").status, 503);
}

}  // namespace
}  // namespace lockstep
