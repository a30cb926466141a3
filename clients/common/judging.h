// Judging an output against PyTorch, by the limits that are stored beside it.
#pragma once

#include "tensor.h"

namespace rnn {

// What PyTorch computed: `own` in the model's precision, `reference` in float64 where that is a reference. `limits` is
// how large the error of each element may be, absolute; integers have none, and must be equal. All have one shape.
struct Expected {
  Tensor own;
  std::optional<Tensor> reference;
  std::optional<Tensor> limits;
};

// The error that is largest in units of its limit, and that limit. `reason` is empty where the output is right;
// `values_off` says that nothing but the size of errors is wrong.
struct Verdict {
  double error = 0;
  double limit = 0;
  std::string reason;
  bool values_off = false;
};

bool is_floating(DType dtype);

Verdict judge(const Tensor& got, const Expected& expected);

// A wrong shape, or NaN in another place, is worse than any size of errors.
bool worse(const Verdict& one, const Verdict& other);

}  // namespace rnn
