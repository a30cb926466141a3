// Judging an output against PyTorch, by the limit that the manifest has.
#pragma once

#include "tensor.h"

namespace rnn {

// What PyTorch computed: `own` in the model's precision, `reference` in float64 where the model has that form.
struct Expected {
  Tensor own;
  std::optional<Tensor> reference;
  double limit = 0;
};

// The largest error and its limit. `reason` is empty where the output is right; `values_off` says that nothing but the
// size of errors is wrong.
struct Verdict {
  double error = 0;
  double limit = 0;
  std::string reason;
  bool values_off = false;
};

Verdict judge(const Tensor& got, const Expected& expected);

}  // namespace rnn
