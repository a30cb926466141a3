// Runs an exported model in ONNX Runtime.
#include "client.h"
#include "model.h"

int main(int argc, char** argv) {
  const auto open = [](const std::filesystem::path& file, const std::string& provider, const rnn::Manifest*) {
    auto model = std::make_shared<rnn::Model>(file, rnn::session_options(provider));
    return rnn::Session{model->inputs(), [model](const rnn::Tensors& inputs) { return model->run(inputs); }};
  };
  return rnn::run({"rnn-export-onnxruntime", "ONNX Runtime " + Ort::GetVersionString(), ".onnx", open}, argc, argv);
}
