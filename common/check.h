// CHECK: ends the process when a bug in this program makes memory unsafe. It prints file, line and
// condition, then aborts. Input from outside is never CHECKed; errors in input are returned as a
// Result. Any thread.
#pragma once

#include <sstream>
#include <string>

namespace lockstep {

[[noreturn]] void check_failed(const char* file, int line, const char* what,
                               const std::string& detail);

template <class A, class B>
[[noreturn]] void check_eq_failed(const char* file, int line, const char* what, const A& a,
                                  const B& b) {
  std::ostringstream detail;
  detail << a << " vs " << b;
  check_failed(file, line, what, detail.str());
}

}  // namespace lockstep

#define CHECK(condition)                                                       \
  do {                                                                         \
    if (!(condition)) [[unlikely]]                                             \
      ::lockstep::check_failed(__FILE__, __LINE__, #condition, std::string()); \
  } while (false)

#define CHECK_EQ(a, b)                                                                   \
  do {                                                                                   \
    const auto& check_a_ = (a);                                                          \
    const auto& check_b_ = (b);                                                          \
    if (!(check_a_ == check_b_)) [[unlikely]]                                            \
      ::lockstep::check_eq_failed(__FILE__, __LINE__, #a " == " #b, check_a_, check_b_); \
  } while (false)
