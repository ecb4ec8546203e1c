// Nesting: one more level for as long as the object exists. Bounds recursion in hostile templates.
#pragma once

namespace lockstep::jinja {

class Nesting {
 public:
  explicit Nesting(int& depth) : depth_(depth) { ++depth_; }
  ~Nesting() { --depth_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  int& depth_;
};

inline constexpr int kMaxParseDepth = 100;
inline constexpr int kMaxRunDepth = 250;       // nested expressions and statements
inline constexpr int kMaxContainerDepth = 50;  // nested lists and dicts

}  // namespace lockstep::jinja
