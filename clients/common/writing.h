// Writing text with a model of characters, one at a time; its states are carried from each to the next.
#pragma once

#include <random>

#include "manifest.h"
#include "session.h"
#include "vocabulary.h"

namespace rnn {

// The characters after a prompt, without end. The session is fed single steps alone, the prompt's too.
class Writer {
 public:
  // Logits are divided by `temperature` before a character is drawn; at 0 the likeliest is taken. `name` is what
  // messages call the bundle. Raises InputError where the prompt is empty or has an unknown character, or where the
  // model is no stream, or takes something else.
  Writer(const std::string& name, const Manifest& manifest, const Artifact& artifact, Session session,
         Vocabulary vocabulary, const std::string& prompt, double temperature);

  // In UTF-8, until the next call. Raises InputError where the model cannot be run, or gives anything but logits.
  const std::string& next();

 private:
  std::vector<double> step(std::int64_t token);

  Session session_;
  Vocabulary vocabulary_;
  double temperature_;
  std::vector<State> states_;
  // The next token and the states before it. A state that the session returned is handed to it as it lies.
  Tensors feeds_;
  std::vector<std::int64_t> tokens_;
  std::mt19937_64 random_{std::random_device{}()};
};

}  // namespace rnn
