// Judging an output against PyTorch, by the limits that are stored beside it.
#pragma once

#include "tensor.h"

namespace rnn {

// What PyTorch computed: `own` in the model's precision, `reference` in float64 where that is a reference. `limits` has
// the largest error of each element, absolute; integers have none, and must be equal.
struct Expected {
  Tensor own;
  std::optional<Tensor> reference;
  std::optional<Tensor> limits;
};

// The error that comes nearest to its limit, or furthest beyond, and that limit. `reason` is empty where the output is right; `values_off` says that nothing but the
// size of errors is wrong.
struct Verdict {
  double error = 0;
  double limit = 0;
  std::string reason;
  bool values_off = false;
};

bool is_floating(DType dtype);

Verdict judge(const Tensor& got, const Expected& expected);

}  // namespace rnn
