#include "model.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstring>
#include <openvino/frontend/manager.hpp>

namespace rnn {
namespace {

const std::array<std::pair<DType, ov::element::Type>, 6> kTypes{{
    {DType::f16, ov::element::f16},
    {DType::f32, ov::element::f32},
    {DType::f64, ov::element::f64},
    {DType::i32, ov::element::i32},
    {DType::i64, ov::element::i64},
    {DType::boolean, ov::element::boolean},
}};

DType dtype_of(const ov::element::Type& type) {
  for (const auto& [ours, theirs] : kTypes) {
    if (theirs == type) return ours;
  }
  throw std::runtime_error("A tensor is " + type.to_string() + ", which this program does not know");
}

ov::element::Type type_of(DType dtype) {
  return std::find_if(kTypes.begin(), kTypes.end(), [&](const auto& each) { return each.first == dtype; })->second;
}

std::string device_named(ov::Core& core, std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
  const auto devices = core.get_available_devices();
  const bool there = std::any_of(devices.begin(), devices.end(), [&](const std::string& device) {
    return device == name || device.rfind(name + ".", 0) == 0;
  });
  if (!there) throw std::runtime_error("OpenVINO finds no device " + name + " here");
  return name;
}

// The reason stands in the last line of OpenVINO's messages.
std::string reason(const ov::Exception& error) {
  const std::string text = error.what();
  const auto end = text.find_last_not_of(" \n");
  const auto begin = text.rfind('\n', end);
  return text.substr(begin == std::string::npos ? 0 : begin + 1, end - begin);
}

ov::CompiledModel compile(ov::Core& core, const std::filesystem::path& file, const std::string& device) {
  const auto name = device_named(core, device);
  try {
    // Core::read_model does the same, but where a file is no ONNX model it asks all other frontends, which log.
    ov::frontend::FrontEndManager frontends;
    const auto onnx = frontends.load_by_framework("onnx");
    const auto model = onnx->convert(onnx->load(file.string()));
    // An empty file is an ONNX model without anything in it.
    if (model->outputs().empty()) throw std::runtime_error("it has no outputs");
    // Without the accuracy mode OpenVINO computes float32 models in bfloat16 where the processor has it. And to hand a
    // part of one step to another thread takes longer than to compute it.
    return core.compile_model(model, name, ov::hint::execution_mode(ov::hint::ExecutionMode::ACCURACY),
                              ov::hint::performance_mode(ov::hint::PerformanceMode::LATENCY),
                              ov::inference_num_threads(1));
  } catch (const ov::Exception& error) {
    throw std::runtime_error(reason(error));
  }
}

Spec spec_of(const ov::Output<const ov::Node>& input) {
  Spec spec{input.get_any_name(), dtype_of(input.get_element_type()), {}};
  for (const auto& dim : input.get_partial_shape()) {
    spec.dims.push_back(dim.is_static() ? std::to_string(dim.get_length()) : "");
  }
  return spec;
}

ov::Tensor view(const Tensor& tensor) {
  return {type_of(tensor.dtype), ov::Shape(tensor.shape.begin(), tensor.shape.end()),
          const_cast<void*>(tensor.data.get())};
}

Tensor copy(const ov::Tensor& tensor) {
  const auto& shape = tensor.get_shape();
  const auto memory = allocate(tensor.get_byte_size());
  std::memcpy(memory.get(), static_cast<const ov::Tensor&>(tensor).data(), tensor.get_byte_size());
  return {dtype_of(tensor.get_element_type()), {shape.begin(), shape.end()}, memory};
}

}  // namespace

Model::Model(const std::filesystem::path& file, const std::string& device)
    : compiled_(compile(core_, file, device)), request_(compiled_.create_infer_request()) {
  for (const auto& input : compiled_.inputs()) inputs_.push_back(spec_of(input));
}

Tensors Model::run(const Tensors& inputs) {
  try {
    for (const auto& [name, tensor] : inputs) request_.set_tensor(name, view(tensor));
    request_.infer();
  } catch (const ov::Exception& error) {
    throw std::runtime_error(reason(error));
  }
  Tensors outputs;
  for (const auto& output : compiled_.outputs()) {
    const auto tensor = copy(request_.get_tensor(output));
    for (const auto& name : output.get_names()) outputs[name] = tensor;
  }
  return outputs;
}

}  // namespace rnn
