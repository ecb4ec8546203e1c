// NonNegativeFit: least squares with coefficients >= 0, over samples that arrive one by one:
//   y ≈ coefficients[0]·x[0] + … + coefficients[N - 1]·x[N - 1]
// Older samples weigh less. Owns N² + 2N numbers whatever it sees, and allocates nothing. One
// thread at a time.
//
// What the samples leave open is decided as follows, so that no coefficient ever jumps:
//   - Coefficients that the samples cannot tell apart are what expect() said, and share what that
//     does not explain in the ratio of their shares.
//   - A coefficient whose x is 0 in the latest samples keeps its value.
//   - A coefficient whose x was 0 in every sample is 0, or what expect() said.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>

namespace lockstep {

template <size_t N>
class NonNegativeFit {
 public:
  using Vector = std::array<double, N>;

  // `forgetting`: the factor by which each further sample lowers the weight of the earlier ones.
  NonNegativeFit(double forgetting, const Vector& shares) : forgetting_(forgetting) {
    for (size_t i = 0; i < N; ++i) damping_[i] = kDamping / shares[i];
  }

  // All numbers finite; x and weight >= 0.
  void add(const Vector& x, double y, double weight) {
    for (size_t i = 0; i < N; ++i) {
      for (size_t j = 0; j < N; ++j) {
        products_[i][j] = forgetting_ * products_[i][j] + weight * x[i] * x[j];
      }
      targets_[i] = forgetting_ * targets_[i] + weight * x[i] * y;
      seen_[i] = seen_[i] || x[i] > 0;
    }
    solve();
  }

  const Vector& coefficients() const { return coefficients_; }
  bool has_seen(size_t i) const { return seen_[i]; }
  // What the coefficient is as far as the samples leave it open; 0 without this call.
  void expect(size_t i, double coefficient) {
    expected_[i] = coefficient;
    if (!seen_[i]) coefficients_[i] = coefficient;
  }
  double value(const Vector& x) const {
    double y = 0;
    for (size_t i = 0; i < N; ++i) y += coefficients_[i] * x[i];
    return y;
  }
  // The weighted sum of x[0]·x over the samples.
  const Vector& products_with_first() const { return products_[0]; }

 private:
  // Relative to the sums of squares. Far below what a well-measured coefficient would notice.
  static constexpr double kDamping = 1e-6;
  // Holds on to the previous solution where the sums have decayed.
  static constexpr double kInertia = 1e-6;

  // Solves the normal equations. While a coefficient is negative, the most negative one is fixed at
  // zero and the others are solved again.
  void solve() {
    std::array<size_t, N> free{};
    size_t n_free = 0;
    for (size_t i = 0; i < N; ++i) {
      if (seen_[i]) free[n_free++] = i;
    }
    Vector solution{};
    while (n_free > 0) {
      solve(free, n_free, solution);
      size_t worst = n_free;
      double least = 0;
      for (size_t k = 0; k < n_free; ++k) {
        const double part = solution[k] * std::sqrt(products_[free[k]][free[k]] + kInertia);
        if (part >= least) continue;
        least = part;
        worst = k;
      }
      if (worst == n_free) break;
      for (size_t k = worst + 1; k < n_free; ++k) free[k - 1] = free[k];
      --n_free;
    }
    for (size_t i = 0; i < N; ++i) {
      if (seen_[i]) coefficients_[i] = 0;
    }
    for (size_t k = 0; k < n_free; ++k) coefficients_[free[k]] = solution[k];
  }

  // Solves for the coefficients free[0 .. n), with the others at zero, by Cholesky decomposition.
  void solve(const std::array<size_t, N>& free, size_t n, Vector& solution) const {
    std::array<Vector, N> lower{};  // lower · lowerᵀ = products
    for (size_t r = 0; r < n; ++r) {
      const size_t i = free[r];
      double right =
          targets_[i] + kInertia * coefficients_[i] + damping_[i] * products_[i][i] * expected_[i];
      for (size_t c = 0; c < r; ++c) {
        double entry = products_[i][free[c]];
        for (size_t k = 0; k < c; ++k) entry -= lower[r][k] * lower[c][k];
        lower[r][c] = entry / lower[c][c];
        right -= lower[r][c] * solution[c];
      }
      const double damped = products_[i][i] * (1 + damping_[i]) + kInertia;
      double pivot = damped;
      for (size_t k = 0; k < r; ++k) pivot -= lower[r][k] * lower[r][k];
      lower[r][r] = std::sqrt(std::max(pivot, kDamping * kDamping * damped));
      solution[r] = right / lower[r][r];
    }
    for (size_t r = n; r-- > 0;) {
      for (size_t k = r + 1; k < n; ++k) solution[r] -= lower[k][r] * solution[k];
      solution[r] /= lower[r][r];
    }
  }

  const double forgetting_;
  Vector damping_{};
  // Weighted sums over the samples: x·xᵀ, and x·y.
  std::array<Vector, N> products_{};
  Vector targets_{};
  std::array<bool, N> seen_{};
  Vector expected_{};
  Vector coefficients_{};
};

}  // namespace lockstep
