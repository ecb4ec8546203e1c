// AdminHandler: answers the requests of the admin port. It answers probes itself, hands verbs to
// AdminJobs and waits for their answers, or for their timeouts. Only AdminHttp includes this file.
// The probes' thread only.
#pragma once

#include <boost/asio/io_context.hpp>
#include <memory>
#include <string_view>

#include "common/service/http/admin_call.h"
#include "common/service/http/admin_http.h"
#include "common/service/http/http_reply.h"

namespace lockstep {

class AdminHandler {
 public:
  // The most verbs that wait for their answers at the same time.
  static constexpr int kMaxCalls = 32;

  // The handler must outlive `io`, whose pending operations own the requests.
  AdminHandler(boost::asio::io_context& io, AdminRoutes routes,
               std::shared_ptr<AdminJobs::Queue> jobs);

  boost::asio::awaitable<void> handle(HttpRequest& request, HttpReply& reply);

 private:
  boost::asio::awaitable<HttpResponse> answer(const AdminRoute& route, const HttpRequest& request,
                                              std::string_view below);
  boost::asio::awaitable<AdminResponse> call(const AdminRoute& route, const AdminVerb& verb,
                                             AdminQuery query);

  boost::asio::io_context& io_;
  const AdminRoutes routes_;
  const std::shared_ptr<AdminJobs::Queue> jobs_;
  int n_calls_ = 0;  // verbs that have not been answered
};

HttpResponse to_http(AdminResponse response);

}  // namespace lockstep
