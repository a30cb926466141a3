// A TorchScript model in LibTorch, run with named tensors. Copy this, model.cpp and ../common/tensor.* into your
// program.
#pragma once

#include <torch/script.h>

#include <filesystem>

#include "tensor.h"

namespace rnn {

// A TorchScript file names neither its inputs nor its outputs: both are given in its order, as the bundle's manifest
// has them. Safe to run from several threads at once.
class Model {
 public:
  // A device is "cpu" or "cuda". Raises std::exception where the file is no model, or the device is not there.
  Model(const std::filesystem::path& file, std::vector<std::string> inputs, std::vector<std::string> outputs,
        const std::string& device = "cpu");

  // Inputs are read where they lie; outputs lie where LibTorch put them.
  Tensors run(const Tensors& inputs);

 private:
  torch::Device device_;
  torch::jit::Module module_;
  std::vector<std::string> inputs_;
  std::vector<std::string> outputs_;
};

}  // namespace rnn
