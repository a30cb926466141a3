// What is wrong with what was given, in one sentence or two; a program says it and exits with 2.
#pragma once

#include <stdexcept>

namespace rnn {

struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace rnn
