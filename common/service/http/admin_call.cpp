#include "common/service/http/admin_call.h"

#include <exception>
#include <utility>

#include "common/log.h"
#include "common/threads/threads.h"

namespace lockstep {
namespace {

constexpr size_t kMaxJobs = 256;

AdminResponse failed(const char* what) {
  log(LogLevel::kError, str("an admin page failed: ", what));
  return admin_error({ErrorCode::kInternal, "the page failed; the log says how", ""});
}

// An exception in a page ends neither the process nor the connection: the client receives a 500.
AdminResponse answer_or_500(const AdminAnswer& answer) {
  try {
    return answer();
  } catch (const std::exception& error) {
    return failed(error.what());
  } catch (...) {
    return failed("an exception of another type");
  }
}

}  // namespace

AdminJobs::AdminJobs() : queue_(std::make_shared<Queue>(kMaxJobs)) {
  thread_ = start_thread("admin verbs", [this] {
    while (const std::optional<Job> job = queue_->wait_pop()) {
      if (!stopping_) (*job)();
    }
  });
}

AdminJobs::~AdminJobs() { stop(); }

void AdminJobs::stop() {
  stopping_ = true;
  queue_->close();
  if (thread_.joinable()) thread_.join();
}

bool AdminCall::start(const AdminVerb& verb, AdminQuery query) {
  return jobs_->try_push([call = shared_from_this(), verb, query = std::move(query)] {
    try {
      verb(query, [call](AdminAnswer answer) { call->reply(std::move(answer)); });
    } catch (const std::exception& error) {
      call->reply([response = failed(error.what())] { return response; });
    }
  });
}

void AdminCall::reply(AdminAnswer answer) {
  if (!is_taken_.exchange(true)) write(std::move(answer));
}

bool AdminCall::reply_late(AdminAnswer answer) {
  is_taken_ = true;
  return write(std::move(answer));
}

bool AdminCall::write(AdminAnswer answer) {
  return jobs_->try_push([call = shared_from_this(), answer = std::move(answer)] {
    call->deliver_(answer_or_500(answer));
  });
}

}  // namespace lockstep
