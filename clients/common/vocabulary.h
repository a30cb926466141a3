// `vocabulary.json` in a bundle: which character each token of the model is.
#pragma once

#include <filesystem>

#include "manifest.h"

namespace rnn {

// The input that takes tokens, the output with a logit for every character, and the characters in UTF-8: a character's
// token is its place.
struct Vocabulary {
  std::string input;
  std::string output;
  std::vector<std::string> characters;
};

// Raises InputError where there is none, or it was changed, or is not of this format.
Vocabulary read_vocabulary(const std::filesystem::path& folder, const Manifest& manifest);

// The tokens of a text in UTF-8. Raises InputError where a character is not in the vocabulary.
std::vector<std::int64_t> encode(const Vocabulary& vocabulary, const std::string& text);

}  // namespace rnn
