// A bundle's manifest.json, as far as running and judging needs it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>

#include "tensor.h"

namespace rnn {

// Input `spec.name` takes output `output` of the chunk before, and `reset` before the first: one number for all
// elements, or the elements of a state whose dynamic sizes are all 1.
struct State {
  Spec spec;
  std::string output;
  std::vector<double> reset;
};

// How an output lies to that of a whole run: its first `delay` elements mean nothing, and of a whole run there are
// `extra` more, below 0 fewer.
struct Timing {
  std::int64_t delay = 0;
  std::int64_t extra = 0;
};

// How a model file with explicit states is fed: the dimension that inputs are cut along, and what is carried. Empty
// where there is no such dimension: then one call after another is the stream.
struct Stream {
  std::string time;
  std::vector<State> states;
  // A chunk is a multiple of so many steps.
  std::int64_t multiple = 1;
  std::map<std::string, Timing> timings;
};

// A model file, and whether its weights are int8.
struct Artifact {
  std::string file;
  std::optional<Stream> stream;
  bool int8 = false;
};

// An output. The factors of a dimension such as "N*T" are in the order in which its elements lie.
struct Output {
  std::string name;
  std::vector<std::string> dims;
};

// A stored case, and its kind of values.
struct Case {
  std::string name;
  std::string values;
};

struct Manifest {
  std::vector<Spec> inputs;
  std::vector<Output> outputs;  // at least one
  std::vector<Artifact> artifacts;
  std::map<std::string, std::string> sha256;
  std::vector<Case> cases;
};

extern const char* const kManifest;

// Raises InputError where the folder has none, or where it is no manifest of this format.
Manifest read_manifest(const std::filesystem::path& folder);

}  // namespace rnn
