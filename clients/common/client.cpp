#include "client.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <new>

#include "bundle.h"
#include "cases.h"
#include "error.h"
#include "options.h"
#include "safetensors.h"
#include "sizes.h"
#include "streaming.h"

namespace rnn {
namespace {

namespace fs = std::filesystem;

// A model file, loaded, with what the manifest says of it, if there is one.
struct Model {
  Session session;
  std::vector<Spec> inputs;
  std::vector<Output> outputs;
  std::optional<Stream> stream;
};

const Artifact* find(const Manifest& manifest, const std::string& file) {
  const auto found = std::find_if(manifest.artifacts.begin(), manifest.artifacts.end(),
                                  [&](const Artifact& artifact) { return artifact.file == file; });
  return found == manifest.artifacts.end() ? nullptr : &*found;
}

Model open(const Client& client, const fs::path& file, const Manifest* manifest, const Options& options) {
  std::error_code ignored;
  if (!fs::is_regular_file(file, ignored)) throw InputError("There is no model file " + file.string() + ".");
  const auto* artifact = manifest ? find(*manifest, file.filename().string()) : nullptr;
  if (options.chunk && (!artifact || !artifact->stream)) {
    throw InputError(file.string() + " has no states to carry. Leave out --chunk, or export it with --stateful.");
  }
  Model model;
  try {
    model.session = client.open(file, options.provider, artifact ? manifest : nullptr);
  } catch (const InputError&) {
    throw;
  } catch (const std::exception& error) {
    throw InputError(file.string() + " cannot be loaded (" + first_line(error.what()) + ").");
  }
  model.inputs = artifact ? manifest->inputs : model.session.inputs;
  if (artifact) model.outputs = manifest->outputs;
  if (artifact) model.stream = artifact->stream;
  return model;
}

Tensors run_case(const Model& model, const std::string& name, const Tensors& inputs, std::int64_t chunk) {
  try {
    if (model.stream) return feed(model.session, *model.stream, model.inputs, model.outputs, inputs, chunk);
    sizes_of(model.inputs, inputs);
    Tensors feeds;
    for (const auto& spec : model.inputs) feeds[spec.name] = inputs.at(spec.name);
    return model.session.run(feeds);
  } catch (const std::out_of_range&) {
    throw InputError("Case '" + name + "' has not the outputs that the manifest says.");
  } catch (const std::exception& error) {
    const auto why = first_line(error.what());
    const bool own = dynamic_cast<const InputError*>(&error) != nullptr;
    throw InputError("Case '" + name + "' " + (own ? why : "cannot be run (" + why + ")") + ".");
  }
}

Model open_alone(const Client& client, const Options& options) {
  const fs::path file = *options.model;
  std::optional<Manifest> manifest;
  const auto folder = file.has_parent_path() ? file.parent_path() : fs::path(".");
  if (fs::exists(folder / kManifest)) manifest = read_manifest(folder);
  return open(client, file, manifest ? &*manifest : nullptr, options);
}

// Prints the median of each case's runs: so many as fit in half a second, after a tenth of it to warm up.
void time_cases(const Model& model, const std::string& file, std::int64_t chunk) {
  using Clock = std::chrono::steady_clock;
  using Seconds = std::chrono::duration<double>;
  for (const auto& [name, inputs] : read_inputs(file)) {
    std::vector<double> taken;
    const auto begin = Clock::now();
    for (auto now = begin; taken.empty() || now - begin < Seconds(0.6);) {
      run_case(model, name, inputs, chunk);
      const auto end = Clock::now();
      if (end - begin > Seconds(0.1)) taken.push_back(Seconds(end - now).count() * 1e6);
      now = end;
    }
    std::nth_element(taken.begin(), taken.begin() + taken.size() / 2, taken.end());
    std::printf("%s %.1f\n", name.c_str(), taken[taken.size() / 2]);
  }
}

void run_cases(const Model& model, const std::string& file, const std::string& out, std::int64_t chunk) {
  Tensors outputs;
  for (const auto& [name, inputs] : read_inputs(file)) {
    for (auto& [output, tensor] : run_case(model, name, inputs, chunk)) {
      outputs[name + "/outputs/" + output] = std::move(tensor);
    }
  }
  write_safetensors(out, outputs);
}

// Answers each line `CASES<tab>OUT` with an empty line, or with what is wrong.
void serve(const Model& model, std::int64_t chunk) {
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto tab = line.find('\t');
    std::string answer;
    try {
      if (tab == std::string::npos) throw InputError("Give CASES, a tab, and OUT.");
      run_cases(model, line.substr(0, tab), line.substr(tab + 1), chunk);
    } catch (const std::exception& error) {
      answer = first_line(error.what());
    }
    std::cout << answer << std::endl;
  }
}

// The verdict on the output that comes nearest to its limit, or is furthest beyond it.
Verdict worst_of(const Tensors& got, const StoredCase& each) {
  std::optional<Verdict> worst;
  for (const auto& [output, expected] : each.outputs) {
    if (!got.count(output)) throw InputError("The model has no output '" + output + "'.");
    auto verdict = judge(got.at(output), expected);
    if (!verdict.reason.empty()) verdict.reason = "'" + output + "' " + verdict.reason;
    if (!worst || worse(verdict, *worst)) worst = verdict;
  }
  return *worst;
}

int check(const Client& client, const Options& options) {
  const fs::path folder = *options.bundle;
  const auto manifest = read_manifest(folder);
  const auto& artifact = artifact_for(folder, manifest, client.extension);
  check_hash(folder, manifest, kCases);
  check_hash(folder, manifest, artifact.file);
  const auto cases = read_stored_cases(folder, manifest, artifact);
  const auto model = open(client, folder / artifact.file, &manifest, options);
  std::size_t failed = 0;
  for (const auto& each : cases) {
    const auto verdict = worst_of(run_case(model, each.name, each.inputs, options.chunk), each);
    const bool expected = each.unbounded && verdict.values_off;
    const char* word = verdict.reason.empty() ? "PASS" : expected ? "EXPECTED" : "FAIL";
    std::printf("%-24s error %-9.3g limit %-9.3g %s%s%s\n", each.name.c_str(), verdict.error, verdict.limit, word,
                verdict.reason.empty() ? "" : "  ", verdict.reason.c_str());
    failed += !verdict.reason.empty() && !expected;
  }
  const auto& placement = model.session.placement;
  std::printf("%s on %s%s%s: %zu of %zu cases pass\n", client.runtime.c_str(), options.provider.c_str(),
              placement.empty() ? "" : ", ", placement.c_str(), cases.size() - failed, cases.size());
  return failed ? 1 : 0;
}

int run(const Client& client, const Options& options) {
  if (options.bundle) return check(client, options);
  const auto model = open_alone(client, options);
  if (options.time) {
    time_cases(model, *options.cases, options.chunk);
  } else if (options.cases) {
    run_cases(model, *options.cases, *options.out, options.chunk);
  } else {
    serve(model, options.chunk);
  }
  return 0;
}

}  // namespace

int run(const Client& client, int argc, char** argv) {
  return guarded(client.name, [&] {
    const auto options = parse_options(client, argc, argv);
    return options ? run(client, *options) : 0;
  });
}

}  // namespace rnn
