// An ONNX model in OpenVINO, run with named tensors. Copy this, model.cpp and ../common/tensor.* into your program.
#pragma once

#include <filesystem>
#include <openvino/openvino.hpp>

#include "tensor.h"

namespace rnn {

// Run it from one thread at a time.
class Model {
 public:
  // A device is "cpu", "gpu" or what else this OpenVINO finds.
  // Raises std::exception where the file is no model, or the device is not there.
  explicit Model(const std::filesystem::path& file, const std::string& device = "cpu");

  const std::vector<Spec>& inputs() const { return inputs_; }

  // Inputs are read where they lie; outputs are copied, for the next run writes to the same memory.
  Tensors run(const Tensors& inputs);

 private:
  ov::Core core_;
  ov::CompiledModel compiled_;
  ov::InferRequest request_;
  std::vector<Spec> inputs_;
};

}  // namespace rnn
