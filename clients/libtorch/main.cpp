// Runs an exported model in LibTorch.
#include <torch/version.h>

#include "client.h"
#include "error.h"
#include "model.h"

namespace {

rnn::Session open(const std::filesystem::path& file, const std::string& provider, const rnn::Manifest* manifest) {
  if (manifest == nullptr) {
    throw rnn::InputError(file.string() +
                          " has no manifest beside it that names its inputs and outputs. Give a model "
                          "file in its bundle.");
  }
  std::vector<std::string> inputs;
  std::vector<std::string> outputs;
  for (const auto& input : manifest->inputs) inputs.push_back(input.name);
  for (const auto& output : manifest->outputs) outputs.push_back(output.name);
  auto model = std::make_shared<rnn::Model>(file, std::move(inputs), std::move(outputs), provider);
  return {manifest->inputs, [model](const rnn::Tensors& tensors) { return model->run(tensors); }};
}

}  // namespace

int main(int argc, char** argv) {
  return rnn::run({"rnn-export-libtorch", "LibTorch " TORCH_VERSION, ".pt", open}, argc, argv);
}
