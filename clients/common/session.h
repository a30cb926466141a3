// A loaded model, as all that drives it sees it, whatever the runtime.
#pragma once

#include <functional>

#include "tensor.h"

namespace rnn {

// `run` takes every input by name and returns every output; what it raises is any std::exception.
struct Session {
  std::vector<Spec> inputs;
  std::function<Tensors(const Tensors&)> run;
};

}  // namespace rnn
