// start_thread: starts a thread, or throws a LoadError that names the thread that the system
// refused. Threads are started only while a program starts. A caller that has started other threads
// must join them when this throws.
#pragma once

#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include "common/fault_points.h"
#include "common/load_error.h"
#include "common/log.h"

namespace lockstep {

template <class Body>
std::thread start_thread(std::string_view what, Body body) {
  try {
    if (fault(Fault::kThreadRefused)) {
      throw std::system_error(std::make_error_code(std::errc::resource_unavailable_try_again));
    }
    return std::thread(std::move(body));
  } catch (const std::system_error& error) {
    throw LoadError(str("cannot start a thread for ", what, ": ", error.what()));
  }
}

}  // namespace lockstep
