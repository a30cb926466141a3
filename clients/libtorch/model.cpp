#include "model.h"

#include <torch/cuda.h>
#include <torch/version.h>

#include <algorithm>
#include <array>

namespace rnn {
namespace {

constexpr std::array<std::pair<DType, at::ScalarType>, 6> kTypes{{
    {DType::f16, at::kHalf},
    {DType::f32, at::kFloat},
    {DType::f64, at::kDouble},
    {DType::i32, at::kInt},
    {DType::i64, at::kLong},
    {DType::boolean, at::kBool},
}};

// LibTorch's own messages are a page long; the reason stands in the last line.
std::string reason(const std::exception& error) {
  const auto* own = dynamic_cast<const c10::Error*>(&error);
  const std::string text = own ? own->what_without_backtrace() : error.what();
  const auto end = text.find_last_not_of(" \n");
  const auto begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

torch::Device device_named(const std::string& name) {
  if (name == "cpu") return torch::kCPU;
  if (name != "cuda") throw std::runtime_error("LibTorch runs on cpu or cuda, not on '" + name + "'");
  if (!torch::cuda::is_available()) throw std::runtime_error("LibTorch " TORCH_VERSION " finds no CUDA device here");
  // cuDNN would use TensorFloat-32, which has the precision of float16, and is inexact in small layers without it too.
  // The settings are the process's.
  at::globalContext().setUserEnabledCuDNN(false);
  at::globalContext().setAllowTF32CuBLAS(false);
  return torch::kCUDA;
}

torch::jit::Module load(const std::filesystem::path& file, torch::Device device) {
  try {
    return torch::jit::load(file.string(), device);
  } catch (const c10::Error& error) {
    throw std::runtime_error(reason(error));
  }
}

at::Tensor view(const Tensor& tensor) {
  const auto type =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& each) { return each.first == tensor.dtype; })->second;
  return at::from_blob(const_cast<void*>(tensor.data.get()), tensor.shape, at::TensorOptions(type));
}

Tensor keep(const at::Tensor& tensor) {
  const auto owner = std::make_shared<at::Tensor>(tensor.to(torch::kCPU).contiguous());
  const auto type =
      std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& each) { return each.second == owner->scalar_type(); });
  if (type == kTypes.end()) {
    throw std::runtime_error(std::string("an output is ") + toString(owner->scalar_type()) +
                             ", which this program does not know");
  }
  return {type->first, owner->sizes().vec(), {owner, owner->const_data_ptr()}};
}

// The tensors of nested tuples, lists and dictionaries, in order; None is left out.
void flatten(const c10::IValue& value, std::vector<at::Tensor>& tensors) {
  if (value.isTensor()) {
    tensors.push_back(value.toTensor());
  } else if (value.isTuple()) {
    for (const auto& each : value.toTupleRef().elements()) flatten(each, tensors);
  } else if (value.isList()) {
    for (const c10::IValue& each : value.toListRef()) flatten(each, tensors);
  } else if (value.isGenericDict()) {
    for (const auto& each : value.toGenericDict()) flatten(each.value(), tensors);
  } else if (!value.isNone()) {
    throw std::runtime_error("an output is a " + value.tagKind());
  }
}

}  // namespace

Model::Model(const std::filesystem::path& file, std::vector<std::string> inputs, std::vector<std::string> outputs,
             const std::string& device)
    : device_(device_named(device)),
      module_(load(file, device_)),
      inputs_(std::move(inputs)),
      outputs_(std::move(outputs)) {
  module_.eval();
}

Tensors Model::run(const Tensors& inputs) {
  const c10::InferenceMode no_gradients;
  std::vector<c10::IValue> arguments;
  for (const auto& name : inputs_) arguments.emplace_back(view(inputs.at(name)).to(device_));
  std::vector<at::Tensor> results;
  try {
    flatten(module_.forward(std::move(arguments)), results);
  } catch (const std::exception& error) {
    throw std::runtime_error(reason(error));
  }
  if (results.size() != outputs_.size()) {
    throw std::runtime_error("the model returns " + std::to_string(results.size()) + " tensors, not " +
                             std::to_string(outputs_.size()));
  }
  Tensors outputs;
  for (std::size_t i = 0; i < results.size(); ++i) outputs[outputs_[i]] = keep(results[i]);
  return outputs;
}

}  // namespace rnn
