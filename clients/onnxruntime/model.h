// An ONNX model in ONNX Runtime, run with named tensors. Copy this, model.cpp and ../common/tensor.* into your program.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <filesystem>

#include "tensor.h"

namespace rnn {

// Settings for small models, on one thread. A provider is "cpu", "cuda", "webgpu" or what else this ONNX Runtime was
// built with. Raises Ort::Exception where it is not there.
Ort::SessionOptions session_options(const std::string& provider = "cpu");

// Safe to run from several threads at once.
class Model {
 public:
  // Raises Ort::Exception where the file is no model, or the provider does not start.
  explicit Model(const std::filesystem::path& file, const Ort::SessionOptions& options = session_options());

  const std::vector<Spec>& inputs() const { return inputs_; }

  // Inputs are read where they lie; outputs lie where ONNX Runtime put them, and may be the next inputs. Raises
  // Ort::Exception where an input is empty, or does not fit.
  Tensors run(const Tensors& inputs);

 private:
  Ort::Session session_;
  std::vector<Spec> inputs_;
  std::vector<std::string> outputs_;
};

}  // namespace rnn
