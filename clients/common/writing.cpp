#include "writing.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "streaming.h"

namespace rnn {
namespace {

// The model's input that takes tokens.
const Spec& input_of(const std::string& name, const Manifest& manifest, const Artifact& artifact,
                     const Vocabulary& vocabulary) {
  const auto called = [](const std::string& wanted) {
    return [wanted](const auto& each) { return each.name == wanted; };
  };
  const auto& inputs = manifest.inputs;
  const auto& outputs = manifest.outputs;
  const auto input = std::find_if(inputs.begin(), inputs.end(), called(vocabulary.input));
  if (input == inputs.end() || !artifact.stream ||
      std::none_of(outputs.begin(), outputs.end(), called(vocabulary.output))) {
    throw InputError(name + " is no stream from '" + vocabulary.input + "' to '" + vocabulary.output +
                     "'. Export it with --stateful.");
  }
  return *input;
}

// One token of one sequence, for which names of sizes stand for 1, and the states before it.
Tensors begin(const Spec& input, const std::vector<State>& states) {
  Sizes sizes;
  for (const auto& dim : input.dims) {
    for (const auto& name : factors(dim)) sizes[name] = 1;
  }
  Tensors feeds{{input.name, from_doubles(input.dtype, Shape(input.dims.size(), 1), {0})}};
  for (const auto& state : states) feeds[state.spec.name] = initial(state, sizes);
  return feeds;
}

Tensors run(const Session& session, const Tensors& feeds) {
  try {
    return session.run(feeds);
  } catch (const std::exception& error) {
    throw InputError("The model cannot be run (" + first_line(error.what()) + ").");
  }
}

const Tensor& output(const Tensors& outputs, const std::string& name) {
  const auto found = outputs.find(name);
  if (found == outputs.end()) throw InputError("The model has no output '" + name + "'. Export it again.");
  return found->second;
}

// The likeliest token at temperature 0, else the one that `random`, from 0 to below 1, draws from
// softmax(logits / temperature).
std::size_t choose(const std::vector<double>& logits, double temperature, double random) {
  const auto largest = std::max_element(logits.begin(), logits.end());
  if (temperature == 0) return static_cast<std::size_t>(largest - logits.begin());
  std::vector<double> shares;
  double left = 0;
  for (const auto logit : logits) {
    shares.push_back(std::exp((logit - *largest) / temperature));
    left += shares.back();
  }
  left *= random;
  // Rounding may leave a little at the end, which is the last token's.
  const auto drawn = std::find_if(shares.begin(), shares.end() - 1, [&](double share) { return (left -= share) < 0; });
  return static_cast<std::size_t>(drawn - shares.begin());
}

}  // namespace

Writer::Writer(const std::string& name, const Manifest& manifest, const Artifact& artifact, Session session,
               Vocabulary vocabulary, const std::string& prompt, double temperature)
    : session_(std::move(session)), vocabulary_(std::move(vocabulary)), temperature_(temperature) {
  const auto& input = input_of(name, manifest, artifact, vocabulary_);
  if (prompt.empty()) throw InputError("The prompt is empty. Give at least one character.");
  tokens_ = encode(vocabulary_, prompt);
  states_ = artifact.stream->states;
  try {
    feeds_ = begin(input, states_);
    sizes_of(session_.inputs, feeds_);
  } catch (const InputError& error) {
    throw InputError("What the model is fed " + std::string(error.what()) + ".");
  }
}

const std::string& Writer::next() {
  std::vector<double> logits;
  for (const auto token : tokens_) logits = step(token);
  const auto token = choose(logits, temperature_, std::uniform_real_distribution<double>()(random_));
  tokens_ = {static_cast<std::int64_t>(token)};
  return vocabulary_.characters[token];
}

std::vector<double> Writer::step(std::int64_t token) {
  auto& fed = feeds_.at(vocabulary_.input);
  fed = from_doubles(fed.dtype, fed.shape, {static_cast<double>(token)});
  const auto outputs = run(session_, feeds_);
  for (const auto& state : states_) feeds_[state.spec.name] = output(outputs, state.output);
  auto logits = as_doubles(output(outputs, vocabulary_.output));
  const auto characters = vocabulary_.characters.size();
  if (logits.size() != characters) {
    throw InputError("The model gives " + std::to_string(logits.size()) + " logits for " + std::to_string(characters) +
                     " characters. Write vocabulary.json again.");
  }
  if (!std::all_of(logits.begin(), logits.end(), [](double logit) { return std::isfinite(logit); })) {
    throw InputError("The model gives a logit that is NaN or infinite, so no character can be chosen.");
  }
  return logits;
}

}  // namespace rnn
