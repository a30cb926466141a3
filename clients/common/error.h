// What is wrong with what was given, in one sentence or two; a program says it and exits with 2.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>

namespace rnn {

struct InputError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// Of what a runtime has to say.
inline std::string first_line(const std::string& text) {
  return text.substr(0, text.find('\n'));
}

// The exit code of `work`: its own, or 2 where it throws, after a line on the standard error that begins with `name`.
int guarded(const std::string& name, const std::function<int()>& work);

}  // namespace rnn
