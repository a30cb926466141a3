// Runs an exported model in ONNX Runtime.
#include <onnxruntime_session_options_config_keys.h>

#include "client.h"
#include "model.h"

namespace {

rnn::Session session(const std::shared_ptr<rnn::Model>& model, const std::string& placement) {
  return {model->inputs(), [model](const rnn::Tensors& inputs) { return model->run(inputs); }, placement};
}

// That every node runs on the provider is asked for first: ONNX Runtime would rather run nodes on the CPU than say so.
rnn::Session open(const std::filesystem::path& file, const std::string& provider, const rnn::Manifest*) {
  auto options = rnn::session_options(provider);
  if (provider == "cpu") return session(std::make_shared<rnn::Model>(file, options), "");
  options.AddConfigEntry(kOrtSessionOptionsDisableCPUEPFallback, "1");
  try {
    return session(std::make_shared<rnn::Model>(file, options), "every node there");
  } catch (const Ort::Exception&) {
    options.AddConfigEntry(kOrtSessionOptionsDisableCPUEPFallback, "0");
    return session(std::make_shared<rnn::Model>(file, options), "some nodes on the CPU");
  }
}

}  // namespace

int main(int argc, char** argv) {
  return rnn::run({"rnn-export-onnxruntime", "ONNX Runtime " + Ort::GetVersionString(), ".onnx", open}, argc, argv);
}
