// The cases of a safetensors file: their inputs, and, for those of a bundle, what the outputs should be.
#pragma once

#include <filesystem>
#include <utility>

#include "judging.h"
#include "manifest.h"

namespace rnn {

extern const char* const kCases;

// A case that a bundle holds, its outputs in the manifest's order. It is `unbounded` where its values are such that
// the bound of int8 weights does not hold for it.
struct StoredCase {
  std::string name;
  Tensors inputs;
  std::vector<std::pair<std::string, Expected>> outputs;
  bool unbounded = false;
};

// The inputs of every case, by case and name. Raises InputError where the file holds none.
std::map<std::string, Tensors> read_inputs(const std::filesystem::path& file);

// The cases of a bundle for one of its model files. Raises InputError where there are none, or where a tensor is not
// there, or is none that the output can be judged by.
std::vector<StoredCase> read_stored_cases(const std::filesystem::path& folder, const Manifest& manifest,
                                          const Artifact& artifact);

}  // namespace rnn
