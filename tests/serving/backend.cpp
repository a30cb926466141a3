// A backend of Triton Inference Server that runs ONNX files in ONNX Runtime, for tests.
//
// Of Triton's own `onnxruntime` backend there is no package; the server around it there is. This one stands in for it:
// it holds a configuration against the file in the same way (outputs exactly, inputs where the file has a number),
// joins requests along their first dimension, and carries states through the server.

#include <onnxruntime_cxx_api.h>

#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "triton.h"

namespace {

using Json = nlohmann::json;
using Shape = std::vector<std::int64_t>;

struct Type {
  const char* config;
  TRITONSERVER_DataType triton;
  ONNXTensorElementDataType onnx;
  std::size_t bytes;
};

constexpr Type kTypes[] = {
    {"TYPE_BOOL", TRITONSERVER_TYPE_BOOL, ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL, 1},
    {"TYPE_INT32", TRITONSERVER_TYPE_INT32, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 4},
    {"TYPE_INT64", TRITONSERVER_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, 8},
    {"TYPE_FP16", TRITONSERVER_TYPE_FP16, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16, 2},
    {"TYPE_FP32", TRITONSERVER_TYPE_FP32, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 4},
    {"TYPE_FP64", TRITONSERVER_TYPE_FP64, ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE, 8},
};

struct Tensor {
  const Type* type;
  Shape shape;
  std::vector<char> data;
};

void check(TRITONSERVER_Error* error) {
  if (error == nullptr) return;
  const std::string message = TRITONSERVER_ErrorMessage(error);
  TRITONSERVER_ErrorDelete(error);
  throw std::runtime_error(message);
}

// What the server calls may not throw.
TRITONSERVER_Error* caught(TRITONSERVER_ErrorCode code, const std::function<void()>& work) {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return TRITONSERVER_ErrorNew(code, error.what());
  }
}

std::size_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::size_t{1}, std::multiplies<>());
}

std::string text(const Shape& shape) {
  return Json(shape).dump();
}

// Numbers of 64 bits are strings in protobuf's JSON.
Shape dims_of(const Json& dims) {
  Shape shape;
  for (const auto& dim : dims) shape.push_back(dim.is_string() ? std::stoll(dim.get<std::string>()) : dim.get<int>());
  return shape;
}

class Model {
 public:
  Model(const std::string& file, const Json& config)
      : batched_(config.value("max_batch_size", 0) > 0), session_(environment(), file.c_str(), options()) {
    for (const auto& state : config.value("/sequence_batching/state"_json_pointer, Json::array())) {
      states_.push_back(state.at("output_name"));
    }
    const auto inputs = config.at("input").size() + states_.size();
    if (session_.GetInputCount() != inputs) {
      throw std::runtime_error("the configuration has " + std::to_string(inputs) + " inputs and states, the file " +
                               std::to_string(session_.GetInputCount()));
    }
    const auto taken = infos(true), given = infos(false);
    for (const auto& each : config.at("input")) compare(each, taken, false);
    for (const auto& each : config.at("output")) {
      compare(each, given, true);
      outputs_.push_back(each.at("name"));
    }
    for (const auto& [name, info] : taken) inputs_.push_back(name);
  }

  void execute(TRITONBACKEND_Request** requests, std::uint32_t count, std::vector<TRITONBACKEND_Response*>& responses) {
    if (count != 1 && !batched_) throw std::runtime_error("several requests at once, though they are not batched");
    std::map<std::string, Tensor> inputs;
    std::vector<std::int64_t> rows;
    for (const auto& name : inputs_) inputs[name] = joined(requests, count, name, rows);
    std::vector<const char*> given, wanted;
    std::vector<Ort::Value> values;
    for (auto& [name, tensor] : inputs) {
      given.push_back(name.c_str());
      values.push_back(Ort::Value::CreateTensor(memory_, tensor.data.data(), tensor.data.size(), tensor.shape.data(),
                                                tensor.shape.size(), tensor.type->onnx));
    }
    for (const auto& name : outputs_) wanted.push_back(name.c_str());
    for (const auto& name : states_) wanted.push_back(name.c_str());
    const auto results = session_.Run(Ort::RunOptions(nullptr), given.data(), values.data(), values.size(),
                                      wanted.data(), wanted.size());
    for (std::size_t i = 0; i < results.size(); ++i)
      divide(wanted[i], results[i], i >= outputs_.size(), requests, rows, responses);
  }

 private:
  using Infos = std::map<std::string, std::pair<const Type*, Shape>>;

  static const Ort::Env& environment() {
    static const auto& environment = *new Ort::Env(ORT_LOGGING_LEVEL_FATAL, "triton");
    return environment;
  }

  static Ort::SessionOptions options() {
    Ort::SessionOptions options;
    options.SetIntraOpNumThreads(1);
    return options;
  }

  static const Type& type_of(ONNXTensorElementDataType onnx) {
    for (const auto& type : kTypes) {
      if (type.onnx == onnx) return type;
    }
    throw std::runtime_error("an element type that is not known");
  }

  Infos infos(bool input) const {
    Infos found;
    Ort::AllocatorWithDefaultOptions allocator;
    const auto count = input ? session_.GetInputCount() : session_.GetOutputCount();
    for (std::size_t i = 0; i < count; ++i) {
      const auto name =
          input ? session_.GetInputNameAllocated(i, allocator) : session_.GetOutputNameAllocated(i, allocator);
      const auto type = input ? session_.GetInputTypeInfo(i) : session_.GetOutputTypeInfo(i);
      const auto info = type.GetTensorTypeAndShapeInfo();
      found[name.get()] = {&type_of(info.GetElementType()), info.GetShape()};
    }
    return found;
  }

  // An entry of the configuration against the file. An output has to be the same; an input may have a number where the
  // file has any size. A tensor without dimensions is [1] in the configuration.
  void compare(const Json& entry, const Infos& infos, bool exact) const {
    const std::string name = entry.at("name");
    const auto found = infos.find(name);
    if (found == infos.end()) throw std::runtime_error("the file has no '" + name + "'");
    const auto& [type, shape] = found->second;
    if (entry.at("data_type") != type->config) throw std::runtime_error("'" + name + "' is " + type->config);
    auto dims =
        dims_of(entry.contains("reshape") ? entry.at("reshape").value("shape", Json::array()) : entry.at("dims"));
    if (batched_) dims.insert(dims.begin(), -1);
    auto fits = shape.size() == dims.size();
    for (std::size_t i = 0; fits && i < dims.size(); ++i) {
      fits = shape[i] == dims[i] || (shape[i] == -1 && !exact);
    }
    if (!fits && !(shape.empty() && dims == Shape{1})) {
      throw std::runtime_error("'" + name + "' is " + text(dims) + " in the configuration and " + text(shape) +
                               " in the file");
    }
  }

  // One input of all requests, and how many rows each has of it.
  static Tensor joined(TRITONBACKEND_Request** requests, std::uint32_t count, const std::string& name,
                       std::vector<std::int64_t>& rows) {
    Tensor tensor{};
    rows.clear();
    for (std::uint32_t r = 0; r < count; ++r) {
      TRITONBACKEND_Input* input = nullptr;
      check(TRITONBACKEND_RequestInput(requests[r], name.c_str(), &input));
      TRITONSERVER_DataType type{};
      const std::int64_t* shape = nullptr;
      std::uint32_t rank = 0, buffers = 0;
      check(TRITONBACKEND_InputProperties(input, nullptr, &type, &shape, &rank, nullptr, &buffers));
      for (const auto& each : kTypes) {
        if (each.triton == type) tensor.type = &each;
      }
      rows.push_back(rank > 0 ? shape[0] : 1);
      const Shape own(shape, shape + rank);
      if (r == 0) {
        tensor.shape = own;
      } else if (Shape(own.begin() + 1, own.end()) != Shape(tensor.shape.begin() + 1, tensor.shape.end())) {
        throw std::runtime_error("'" + name + "' has unlike sizes in requests that are to be joined");
      } else {
        tensor.shape[0] += own[0];
      }
      for (std::uint32_t b = 0; b < buffers; ++b) {
        const void* buffer = nullptr;
        std::uint64_t bytes = 0;
        auto memory = TRITONSERVER_MEMORY_CPU;
        std::int64_t id = 0;
        check(TRITONBACKEND_InputBuffer(input, b, &buffer, &bytes, &memory, &id));
        const auto* from = static_cast<const char*>(buffer);
        tensor.data.insert(tensor.data.end(), from, from + bytes);
      }
    }
    return tensor;
  }

  // Nothing is requested for a place of a batch that has no sequence in it.
  static bool requested(TRITONBACKEND_Request* request, const std::string& name) {
    std::uint32_t count = 0;
    check(TRITONBACKEND_RequestOutputCount(request, &count));
    for (std::uint32_t i = 0; i < count; ++i) {
      const char* each = nullptr;
      check(TRITONBACKEND_RequestOutputName(request, i, &each));
      if (name == each) return true;
    }
    return false;
  }

  // Gives every request its rows of an output, or of a state.
  void divide(const std::string& name, const Ort::Value& value, bool state, TRITONBACKEND_Request** requests,
              const std::vector<std::int64_t>& rows, const std::vector<TRITONBACKEND_Response*>& responses) const {
    const auto info = value.GetTensorTypeAndShapeInfo();
    const auto& type = type_of(info.GetElementType());
    auto shape = info.GetShape();
    if (shape.empty()) shape = {1};
    const auto* from = static_cast<const char*>(value.GetTensorRawData());
    for (std::size_t r = 0; r < responses.size(); ++r) {
      if (batched_) shape[0] = rows[r];
      const auto bytes = elements(shape) * type.bytes;
      void* buffer = nullptr;
      auto memory = TRITONSERVER_MEMORY_CPU;
      std::int64_t id = 0;
      const auto rank = static_cast<std::uint32_t>(shape.size());
      if (state) {
        TRITONBACKEND_State* kept = nullptr;
        check(TRITONBACKEND_StateNew(&kept, requests[r], name.c_str(), type.triton, shape.data(), rank));
        check(TRITONBACKEND_StateBuffer(kept, &buffer, bytes, &memory, &id));
        std::memcpy(buffer, from, bytes);
        check(TRITONBACKEND_StateUpdate(kept));
      } else if (requested(requests[r], name)) {
        TRITONBACKEND_Output* output = nullptr;
        check(TRITONBACKEND_ResponseOutput(responses[r], &output, name.c_str(), type.triton, shape.data(), rank));
        check(TRITONBACKEND_OutputBuffer(output, &buffer, bytes, &memory, &id));
        std::memcpy(buffer, from, bytes);
      }
      from += bytes;
    }
  }

  bool batched_;
  Ort::Session session_;
  Ort::MemoryInfo memory_ = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeCPU);
  std::vector<std::string> inputs_, outputs_, states_;
};

Json config_of(TRITONBACKEND_Model* model) {
  TRITONSERVER_Message* message = nullptr;
  check(TRITONBACKEND_ModelConfig(model, 1, &message));
  const char* text = nullptr;
  std::size_t size = 0;
  check(TRITONSERVER_MessageSerializeToJson(message, &text, &size));
  auto config = Json::parse(text, text + size);
  check(TRITONSERVER_MessageDelete(message));
  return config;
}

}  // namespace

TRITONSERVER_Error* TRITONBACKEND_ModelInitialize(TRITONBACKEND_Model* model) {
  return caught(TRITONSERVER_ERROR_INVALID_ARG, [&] {
    auto kind = TRITONBACKEND_ARTIFACT_FILESYSTEM;
    const char* folder = nullptr;
    std::uint64_t version = 0;
    check(TRITONBACKEND_ModelRepository(model, &kind, &folder));
    check(TRITONBACKEND_ModelVersion(model, &version));
    const auto file = std::string(folder) + "/" + std::to_string(version) + "/model.onnx";
    check(TRITONBACKEND_ModelSetState(model, new Model(file, config_of(model))));
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelFinalize(TRITONBACKEND_Model* model) {
  return caught(TRITONSERVER_ERROR_INTERNAL, [&] {
    void* state = nullptr;
    check(TRITONBACKEND_ModelState(model, &state));
    delete static_cast<Model*>(state);
  });
}

TRITONSERVER_Error* TRITONBACKEND_ModelInstanceExecute(TRITONBACKEND_ModelInstance* instance,
                                                       TRITONBACKEND_Request** requests, std::uint32_t count) {
  return caught(TRITONSERVER_ERROR_INTERNAL, [&] {
    TRITONBACKEND_Model* model = nullptr;
    void* state = nullptr;
    check(TRITONBACKEND_ModelInstanceModel(instance, &model));
    check(TRITONBACKEND_ModelState(model, &state));
    std::vector<TRITONBACKEND_Response*> responses(count);
    for (std::uint32_t r = 0; r < count; ++r) check(TRITONBACKEND_ResponseNew(&responses[r], requests[r]));
    std::string failure;
    try {
      static_cast<Model*>(state)->execute(requests, count, responses);
    } catch (const std::exception& error) {
      failure = error.what();
    }
    for (std::uint32_t r = 0; r < count; ++r) {
      auto* error = failure.empty() ? nullptr : TRITONSERVER_ErrorNew(TRITONSERVER_ERROR_INTERNAL, failure.c_str());
      check(TRITONBACKEND_ResponseSend(responses[r], TRITONSERVER_RESPONSE_COMPLETE_FINAL, error));
      TRITONSERVER_ErrorDelete(error);
      check(TRITONBACKEND_ModelInstanceReportStatistics(instance, requests[r], failure.empty(), 1, 1, 1, 1));
      check(TRITONBACKEND_RequestRelease(requests[r], TRITONSERVER_REQUEST_RELEASE_ALL));
    }
    check(TRITONBACKEND_ModelInstanceReportBatchStatistics(instance, count, 1, 1, 1, 1));
  });
}
