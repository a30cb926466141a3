// Decodes with a model of several graphs: copy this with the files that it includes, and what they include.
#include "pipeline.h"

#include <iostream>

#include "arguments.h"
#include "bundle.h"
#include "cases.h"
#include "error.h"
#include "files.h"
#include "model.h"

namespace {

namespace fs = std::filesystem;

struct Options {
  std::string folder;
  std::string inputs;
};

// Nothing where --help was given, after printing the help.
std::optional<Options> parse(int argc, char** argv) {
  Options options;
  CLI::App app(
      "Decodes greedily with a model of several graphs, and prints the tokens of each case: its name, a tab, and the "
      "tokens with spaces between them.",
      "rnn-export-pipeline");
  app.add_option("FOLDER", options.folder, "The folder with pipeline.json.")->required()->option_text(" ");
  app.add_option("INPUTS", options.inputs, "Tensors named <case>/inputs/<input>,\nof one sequence each.")
      ->required()
      ->option_text(" ");
  app.footer("Exit codes: 0, or 2 for bad input.");
  if (!rnn::parse(app, argc, argv)) return std::nullopt;
  return options;
}

std::shared_ptr<rnn::Model> open(const fs::path& folder, const rnn::Graph& graph) {
  const auto bundle = folder / graph.bundle;
  if (rnn::sha256_of(bundle / rnn::kManifest) != graph.manifest_sha256) {
    throw rnn::InputError(bundle.string() + " is not the bundle that " + rnn::kPipeline +
                          " was made for. Export the model again.");
  }
  rnn::check_hash(bundle, rnn::read_manifest(bundle), graph.file);
  const auto file = bundle / graph.file;
  try {
    return std::make_shared<rnn::Model>(file);
  } catch (const Ort::Exception& error) {
    throw rnn::InputError(file.string() + " cannot be loaded (" + rnn::first_line(error.what()) + ").");
  }
}

void run(const Options& options) {
  const fs::path folder = options.folder;
  const auto spec = rnn::read_pipeline(folder);
  std::map<std::string, std::shared_ptr<rnn::Model>> files, graphs;
  for (const auto& graph : spec.graphs) {
    auto& file = files[graph.bundle + "/" + graph.file];
    if (!file) file = open(folder, graph);
    graphs[graph.name] = file;
  }
  const auto run_graph = [&](const std::string& graph, const rnn::Tensors& inputs) {
    return graphs.at(graph)->run(inputs);
  };
  std::string lines;
  for (const auto& [name, inputs] : rnn::read_inputs(options.inputs)) {
    std::string tokens;
    for (const auto token : rnn::Decoding(spec, run_graph).feed(inputs)) {
      tokens += (tokens.empty() ? "" : " ") + std::to_string(token);
    }
    lines += name + "\t" + tokens + "\n";
  }
  if (!(std::cout << lines << std::flush)) throw rnn::InputError("The tokens cannot be written to the standard output.");
}

}  // namespace

int main(int argc, char** argv) {
  return rnn::guarded("Error", [&] {
    if (const auto options = parse(argc, argv)) run(*options);
    return 0;
  });
}
