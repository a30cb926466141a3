#include "cases.h"

#include <cstdio>

#include "error.h"
#include "safetensors.h"
#include "streaming.h"

namespace rnn {

const char* const kCases = "cases.safetensors";

namespace {

namespace fs = std::filesystem;

// The tensors `<case>/inputs/<input>`, by case and name.
std::map<std::string, Tensors> inputs_of(const Tensors& tensors) {
  const std::string part = "/inputs/";
  std::map<std::string, Tensors> found;
  for (const auto& [key, tensor] : tensors) {
    const auto slash = key.find('/');
    if (slash != std::string::npos && key.compare(slash, part.size(), part) == 0) {
      found[key.substr(0, slash)][key.substr(slash + part.size())] = tensor;
    }
  }
  return found;
}

const Tensor& stored(const Tensors& tensors, const std::string& name) {
  const auto found = tensors.find(name);
  if (found == tensors.end()) throw InputError(std::string(kCases) + " has no '" + name + "'. Export the model again.");
  return found->second;
}

// A tensor that has a float64 number for each element of an output.
const Tensor& by_element(const Tensors& tensors, const std::string& name, const Tensor& own) {
  const auto& tensor = stored(tensors, name);
  if (tensor.dtype != DType::f64 || tensor.shape != own.shape) {
    throw InputError(std::string(kCases) + " has '" + name + "' as " + describe(tensor) + " instead of " +
                     describe({DType::f64, own.shape, nullptr}) + ". Export the model again.");
  }
  return tensor;
}

const Tensor& limits_of(const Tensors& tensors, const std::string& name, const Tensor& own) {
  const auto& tensor = by_element(tensors, name, own);
  for (const auto limit : as_doubles(tensor)) {
    if (limit >= 0) continue;
    char text[32];
    std::snprintf(text, sizeof text, "%.3g", limit);
    throw InputError(std::string(kCases) + " has a limit of " + text + " in '" + name + "'. Export the model again.");
  }
  return tensor;
}

Expected expected_of(const Tensors& tensors, const std::string& name, const std::string& file,
                     const std::string& output) {
  Expected expected{stored(tensors, name + "/outputs/" + output), std::nullopt, std::nullopt};
  if (!is_floating(expected.own.dtype)) return expected;
  const auto reference = name + "/reference/" + output;
  if (tensors.count(reference)) expected.reference = by_element(tensors, reference, expected.own);
  expected.limits = limits_of(tensors, name + "/limits/" + file + "/" + output, expected.own);
  return expected;
}

// The part of what PyTorch computes in one pass that a stream gives.
void trim(Expected& expected, const Stream& stream, const Output& output) {
  expected.own = seen(stream, output, expected.own);
  if (expected.reference) expected.reference = seen(stream, output, *expected.reference);
  if (expected.limits) expected.limits = seen(stream, output, *expected.limits);
}

}  // namespace

std::map<std::string, Tensors> read_inputs(const fs::path& file) {
  auto cases = inputs_of(read_safetensors(file));
  if (cases.empty()) throw InputError(file.string() + " holds no tensors that are named <case>/inputs/<input>.");
  return cases;
}

std::vector<StoredCase> read_stored_cases(const fs::path& folder, const Manifest& manifest, const Artifact& artifact) {
  if (manifest.cases.empty()) throw InputError(folder.string() + " holds no cases to replay. Export the model again.");
  const auto tensors = read_safetensors(folder / kCases);
  const auto inputs = inputs_of(tensors);
  std::vector<StoredCase> cases;
  for (const auto& each : manifest.cases) {
    const auto found = inputs.find(each.name);
    if (found == inputs.end()) throw InputError(std::string(kCases) + " has no case '" + each.name + "'.");
    StoredCase item{each.name, found->second, {}, artifact.int8 && each.values == "saturating"};
    for (const auto& output : manifest.outputs) {
      auto expected = expected_of(tensors, each.name, artifact.file, output.name);
      if (artifact.stream) trim(expected, *artifact.stream, output);
      item.outputs.emplace_back(output.name, std::move(expected));
    }
    cases.push_back(std::move(item));
  }
  return cases;
}

}  // namespace rnn
