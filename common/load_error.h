// LoadError: a model, file or start-up setting cannot be used. It is thrown only while loading and
// caught once in main(), which prints one line and exits with code 2.
#pragma once

#include <stdexcept>
#include <utility>

#include "common/result.h"

namespace lockstep {

class LoadError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// One that less would cure: the memory of the machine or of a device does not suffice.
class OutOfMemory : public LoadError {
 public:
  using LoadError::LoadError;
};

template <class T>
T value_or_throw(Result<T> result) {
  if (!result) throw LoadError(result.error().message);
  return std::move(result).value();
}

}  // namespace lockstep
