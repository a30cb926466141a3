#include "manifest.h"

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "error.h"
#include "files.h"

namespace rnn {

const char* const kManifest = "manifest.json";

namespace {

// The order of inputs and outputs is the model's.
using Json = nlohmann::ordered_json;

constexpr int kFormat = 3;

std::vector<std::string> dims_of(const Json& shape) {
  std::vector<std::string> dims;
  for (const auto& dim : shape) {
    dims.push_back(dim.is_string() ? dim.get<std::string>() : std::to_string(dim.get<std::int64_t>()));
  }
  return dims;
}

// The dimensions of "float32[T*N, 3]", where "?" is one without a name.
std::vector<std::string> described_dims(const std::string& described) {
  std::vector<std::string> dims;
  const auto end = described.rfind(']');
  auto begin = described.find('[');
  if (begin == std::string::npos || end == std::string::npos) throw std::invalid_argument("output");
  for (++begin; begin < end;) {
    const auto comma = std::min(described.find(", ", begin), end);
    const auto dim = described.substr(begin, comma - begin);
    dims.push_back(dim == "?" ? "" : dim);
    begin = comma + 2;
  }
  return dims;
}

DType dtype_of(const Json& entry) {
  const auto dtype = dtype_named(entry.at("dtype").get<std::string>());
  if (!dtype) throw std::invalid_argument("dtype");
  return *dtype;
}

double number(const Json& value) {
  // "Infinity", "-Infinity" and "NaN", which JSON lacks.
  return value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr) : value.get<double>();
}

State state_of(const std::string& name, const Json& entry) {
  const auto& reset = entry.at("reset");
  State state{{name, dtype_of(entry), dims_of(entry.at("shape"))}, entry.at("output"), {}};
  if (!reset.is_array()) state.reset.push_back(number(reset));
  for (const auto& value : reset.is_array() ? reset : Json::array()) state.reset.push_back(number(value));
  return state;
}

Artifact artifact_of(const std::string& file, const Json& entry) {
  if (std::filesystem::path(file).filename() != file) throw std::invalid_argument("file");
  Artifact artifact{file, std::nullopt, false};
  if (const auto& stream = entry.at("stream"); !stream.is_null()) {
    const auto& time = stream.at("time");
    artifact.stream = Stream{
        time.is_null() ? "" : time.get<std::string>(), {}, stream.value("multiple", std::int64_t{1}), {}};
    const auto timings = stream.value("timings", Json::object());  // which `items` refers to
    for (const auto& [name, timing] : timings.items()) {
      const auto number = [&, &of = timing](const char* key) { return of.value(key, std::int64_t{0}); };
      artifact.stream->timings[name] = {number("delay"), number("extra")};
    }
    for (const auto& [name, state] : stream.at("states").items()) {
      artifact.stream->states.push_back(state_of(name, state));
    }
  }
  const auto& precision = entry.at("precision");
  artifact.int8 = !precision.is_null() && precision.at("weights") == "int8";
  return artifact;
}

Manifest manifest_of(const Json& json, const std::filesystem::path& file) {
  const auto& format = json.at("format");
  if (format == 1 || format == 2) {
    throw InputError(file.string() + " is of format " + format.dump() +
                     ", whose limits were too wide. Export the model again.");
  }
  if (format != kFormat) throw std::invalid_argument("format");
  Manifest manifest;
  for (const auto& [name, entry] : json.at("inputs").items()) {
    manifest.inputs.push_back({name, dtype_of(entry), dims_of(entry.at("shape"))});
  }
  for (const auto& [name, described] : json.at("outputs").items()) {
    manifest.outputs.push_back({name, described_dims(described)});
  }
  if (manifest.outputs.empty()) throw std::invalid_argument("outputs");
  for (const auto& [file, entry] : json.at("artifacts").items()) {
    manifest.artifacts.push_back(artifact_of(file, entry));
  }
  for (const auto& [file, entry] : json.at("files").items()) manifest.sha256[file] = entry.at("sha256");
  for (const auto& entry : json.at("cases")) manifest.cases.push_back({entry.at("name"), entry.at("values")});
  return manifest;
}

}  // namespace

Manifest read_manifest(const std::filesystem::path& folder) {
  const auto file = folder / kManifest;
  std::error_code ignored;
  if (!std::filesystem::is_directory(folder, ignored)) throw InputError("There is no bundle " + folder.string() + ".");
  const auto content = read_file(file);
  try {
    return manifest_of(Json::parse(content), file);
  } catch (const InputError&) {
    throw;
  } catch (const std::exception&) {
    throw InputError(file.string() + " is not a manifest that an export wrote. Export the model again.");
  }
}

}  // namespace rnn
