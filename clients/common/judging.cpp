#include "judging.h"

#include <cmath>
#include <cstdio>
#include <cstring>
#include <limits>
#include <utility>

namespace rnn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string text(double value) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.3g", value);
  return buffer;
}

// "[1, 0, 3]", of the element so far from the first.
std::string position(const Shape& shape, std::size_t index) {
  std::string where;
  for (auto size = shape.rbegin(); size != shape.rend(); ++size) {
    const auto length = static_cast<std::size_t>(*size);
    where = std::to_string(index % length) + (where.empty() ? "" : ", ") + where;
    index /= length;
  }
  return "[" + where + "]";
}

Verdict exactly(const Tensor& got, const Tensor& own) {
  const auto size = size_of(got.dtype);
  const auto* left = static_cast<const std::byte*>(got.data.get());
  const auto* right = static_cast<const std::byte*>(own.data.get());
  for (std::size_t i = 0; i < count(got.shape); ++i) {
    if (std::memcmp(left + i * size, right + i * size, size) != 0) {
      return {kInfinity, 0, position(got.shape, i) + " is another " + name_of(got.dtype) + " than PyTorch's"};
    }
  }
  return {};
}

bool misplaced(double got, double own) {
  return std::isnan(got) != std::isnan(own) || ((std::isinf(got) || std::isinf(own)) && got != own);
}

// An error in units of its limit; infinite where there is an error and none is allowed.
double share(double error, double limit) {
  return limit > 0 ? error / limit : error > 0 ? kInfinity : 0;
}

}  // namespace

bool is_floating(DType dtype) {
  return dtype == DType::f16 || dtype == DType::f32 || dtype == DType::f64;
}

Verdict judge(const Tensor& got, const Expected& expected) {
  if (got.shape != expected.own.shape || got.dtype != expected.own.dtype) {
    return {kInfinity, 0, "is " + describe(got) + " instead of " + describe(expected.own)};
  }
  if (!is_floating(got.dtype)) return exactly(got, expected.own);
  const auto values = as_doubles(got);
  const auto own = as_doubles(expected.own);
  const auto reference = expected.reference ? as_doubles(*expected.reference) : own;
  const auto limits = as_doubles(*expected.limits);
  double error = 0;
  double limit = limits.empty() ? 0 : limits.front();
  std::size_t worst = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (misplaced(values[i], own[i])) {
      return {kInfinity, 0, position(got.shape, i) + " is " + text(values[i]) + " where PyTorch has " + text(own[i])};
    }
    if (!std::isfinite(own[i]) || !std::isfinite(reference[i])) continue;
    const double difference = std::fabs(values[i] - reference[i]);
    if (share(difference, limits[i]) > share(error, limit)) {
      error = difference;
      limit = limits[i];
      worst = i;
    }
  }
  Verdict verdict{error, limit, "", false};
  if (error > limit) {
    verdict.reason = position(got.shape, worst) + " is off by " + text(error);
    if (limit == 0) verdict.reason += ", and has to be the very same number";
    verdict.values_off = true;
  }
  return verdict;
}

bool worse(const Verdict& one, const Verdict& other) {
  const auto rank = [](const Verdict& verdict) {
    return std::pair(!verdict.reason.empty() && !verdict.values_off, share(verdict.error, verdict.limit));
  };
  return rank(one) > rank(other);
}

}  // namespace rnn
