// Nesting: one more level for as long as it lives. Guards recursion against hostile templates.
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
inline constexpr int kMaxRunDepth = 250;       // expressions and statements inside one another
inline constexpr int kMaxContainerDepth = 50;  // lists of lists of lists …

}  // namespace lockstep::jinja
