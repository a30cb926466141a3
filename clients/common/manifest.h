// A bundle's manifest.json, as far as running and judging needs it.
#pragma once

#include <filesystem>

#include "tensor.h"

namespace rnn {

// Input `spec.name` takes output `output` of the chunk before, and `reset` before the first: one number for all
// elements, or the elements of a state whose dynamic sizes are all 1.
struct State {
  Spec spec;
  std::string output;
  std::vector<double> reset;
};

// How a model file with explicit states is fed: the dimension that inputs are cut along, and what is carried.
struct Stream {
  std::string time;
  std::vector<State> states;
};

// A model file. `bound` is what int8 weights may cost, relative to an output's scale; 0 where they are the model's.
struct Artifact {
  std::string file;
  std::optional<Stream> stream;
  double bound = 0;
};

// An output, and what is typical of it: PyTorch's median scale and relative error.
struct Output {
  std::string name;
  std::vector<std::string> dims;
  double scale = 0;
  double error = 0;
};

// A stored case: its kind of values, and PyTorch's own error per output.
struct Case {
  std::string name;
  std::string values;
  std::map<std::string, double> own_error;
};

struct Manifest {
  std::vector<Spec> inputs;
  std::vector<Output> outputs;
  std::vector<Artifact> artifacts;
  std::map<std::string, std::string> sha256;
  std::vector<Case> cases;
};

extern const char* const kManifest;

// Raises InputError where the folder has none, or where it is no manifest.
Manifest read_manifest(const std::filesystem::path& folder);

}  // namespace rnn
