// A loaded model, as all that drives it sees it, whatever the runtime.
#pragma once

#include <functional>

#include "tensor.h"

namespace rnn {

// `run` takes every input by name and returns every output; what it raises is any std::exception. `placement` says
// where nodes run, such as "some nodes on the CPU"; empty where all run on what was asked for anyhow.
struct Session {
  std::vector<Spec> inputs;
  std::function<Tensors(const Tensors&)> run;
  std::string placement = {};
};

}  // namespace rnn
