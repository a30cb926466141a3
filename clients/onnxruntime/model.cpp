#include "model.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace rnn {
namespace {

constexpr std::array<std::pair<DType, ONNXTensorElementDataType>, 6> kTypes{{
    {DType::f16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16},
    {DType::f32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT},
    {DType::f64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE},
    {DType::i32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32},
    {DType::i64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64},
    {DType::boolean, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL},
}};

[[noreturn]] void refuse(std::string why) {
  throw Ort::Exception(std::move(why), ORT_INVALID_ARGUMENT);
}

DType dtype_of(ONNXTensorElementDataType type, const std::string& name) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  refuse("'" + name + "' has an element type that this program does not know");
}

ONNXTensorElementDataType type_of(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& each) { return each.first == dtype; })->second;
}

// "CUDAExecutionProvider" for "cuda".
std::string full_name(const std::string& provider) {
  const auto lower = [](std::string text) {
    std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
    return text;
  };
  const auto available = Ort::GetAvailableProviders();
  for (const auto& each : available) {
    if (lower(each) == lower(provider) + "executionprovider") return each;
  }
  refuse("ONNX Runtime " + Ort::GetVersionString() + " has no execution provider '" + provider + "' here");
}

void append(Ort::SessionOptions& options, const std::string& provider) {
  const auto name = full_name(provider);
  if (name == "CPUExecutionProvider") return;
  if (name == "CUDAExecutionProvider") {
    OrtCUDAProviderOptionsV2* cuda = nullptr;
    Ort::ThrowOnError(Ort::GetApi().CreateCUDAProviderOptions(&cuda));
    const std::unique_ptr<OrtCUDAProviderOptionsV2, decltype(Ort::GetApi().ReleaseCUDAProviderOptions)> owner(
        cuda, Ort::GetApi().ReleaseCUDAProviderOptions);
    // TensorFloat-32, which ONNX Runtime would allow, has the precision of float16.
    const std::array<const char*, 1> keys{"use_tf32"}, values{"0"};
    Ort::ThrowOnError(Ort::GetApi().UpdateCUDAProviderOptions(cuda, keys.data(), values.data(), keys.size()));
    options.AppendExecutionProvider_CUDA_V2(*cuda);
  } else {
    options.AppendExecutionProvider(name);
  }
}

std::vector<std::string> dims_of(const Ort::ConstTensorTypeAndShapeInfo& info) {
  const auto shape = info.GetShape();
  std::vector<const char*> names(shape.size());
  info.GetSymbolicDimensions(names.data(), names.size());
  std::vector<std::string> dims;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    dims.push_back(shape[axis] < 0 ? names[axis] : std::to_string(shape[axis]));
  }
  return dims;
}

Spec spec_of(const Ort::Session& session, std::size_t index) {
  Ort::AllocatorWithDefaultOptions allocator;
  const std::string name = session.GetInputNameAllocated(index, allocator).get();
  const auto type = session.GetInputTypeInfo(index);
  if (type.GetONNXType() != ONNX_TYPE_TENSOR) refuse("Input '" + name + "' is not a tensor");
  const auto info = type.GetTensorTypeAndShapeInfo();
  return {name, dtype_of(info.GetElementType(), name), dims_of(info)};
}

// ONNX Runtime does not write to inputs, though it takes a pointer that would let it.
Ort::Value view(const Tensor& tensor) {
  static const auto memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  return Ort::Value::CreateTensor(memory, const_cast<void*>(tensor.data.get()), bytes(tensor), tensor.shape.data(),
                                  tensor.shape.size(), type_of(tensor.dtype));
}

Tensor keep(Ort::Value value, const std::string& name) {
  if (!value.IsTensor()) refuse("Output '" + name + "' is not a tensor");
  const auto info = value.GetTensorTypeAndShapeInfo();
  const auto owner = std::make_shared<Ort::Value>(std::move(value));
  return {dtype_of(info.GetElementType(), name), info.GetShape(), {owner, owner->GetTensorRawData()}};
}

// A provider writes to the environment's log as soon as it is appended. The environment is never released: that would
// unload CUDA's provider when the program ends, after what it needs, and corrupts the heap.
const Ort::Env& environment() {
  static const auto& environment = *new Ort::Env(ORT_LOGGING_LEVEL_FATAL, "rnn-export");
  return environment;
}

}  // namespace

Ort::SessionOptions session_options(const std::string& provider) {
  Ort::SessionOptions options;
  // Handing a part of one step to another thread takes longer than computing it; docs/internals/streaming.md has measurements.
  options.SetIntraOpNumThreads(1);
  options.AddConfigEntry("session.intra_op.allow_spinning", "0");
  options.DisableCpuMemArena();
  environment();
  append(options, provider);
  return options;
}

Model::Model(const std::filesystem::path& file, const Ort::SessionOptions& options)
    : session_(environment(), file.c_str(), options) {
  Ort::AllocatorWithDefaultOptions allocator;
  for (std::size_t i = 0; i < session_.GetInputCount(); ++i) inputs_.push_back(spec_of(session_, i));
  for (std::size_t i = 0; i < session_.GetOutputCount(); ++i) {
    outputs_.emplace_back(session_.GetOutputNameAllocated(i, allocator).get());
  }
}

Tensors Model::run(const Tensors& inputs) {
  std::vector<const char*> given;
  std::vector<Ort::Value> values;
  for (const auto& [name, tensor] : inputs) {
    // ONNX Runtime's GRU and LSTM end the process.
    if (count(tensor.shape) == 0) {
      refuse("Input '" + name + "' is " + describe(tensor) + ", and a size of 0 is not run");
    }
    given.push_back(name.c_str());
    values.push_back(view(tensor));
  }
  std::vector<const char*> wanted;
  for (const auto& name : outputs_) wanted.push_back(name.c_str());
  auto results =
      session_.Run(Ort::RunOptions(nullptr), given.data(), values.data(), values.size(), wanted.data(), wanted.size());
  Tensors outputs;
  for (std::size_t i = 0; i < results.size(); ++i) outputs[outputs_[i]] = keep(std::move(results[i]), outputs_[i]);
  return outputs;
}

}  // namespace rnn
