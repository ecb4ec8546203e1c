// LoadError: a model, file or start-up setting that cannot be used. Thrown while loading only,
// caught once in main(): one line, exit code 2.
#pragma once

#include <stdexcept>

namespace lockstep {

class LoadError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace lockstep
