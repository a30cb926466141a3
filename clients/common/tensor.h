// A tensor in memory: what goes into a model and what comes out of it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace rnn {

enum class DType { f16, f32, f64, i32, i64, boolean };

using Shape = std::vector<std::int64_t>;

// Row-major and without gaps. The pointer keeps whatever owns the memory alive, such as an output of a runtime, so that
// tensors are passed on without a copy.
struct Tensor {
  DType dtype = DType::f32;
  Shape shape;
  std::shared_ptr<const void> data;
};

using Tensors = std::map<std::string, Tensor>;

// What a model takes: a dimension is a number, the name of a size such as "T", a product such as "6*N", or "" for any.
struct Spec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::string> dims;
};

std::size_t size_of(DType dtype);
std::size_t count(const Shape& shape);
std::size_t bytes(const Tensor& tensor);

// "float32", as manifests have it.
const char* name_of(DType dtype);
std::optional<DType> dtype_named(const std::string& name);

// "float32[7, 2, 3]".
std::string describe(const Tensor& tensor);

// Memory for a tensor, aligned for every dtype; at least one byte, for runtimes refuse a null pointer.
std::shared_ptr<void> allocate(std::size_t bytes);

// The elements as float64: exact, but for integers beyond 2^53.
std::vector<double> as_doubles(const Tensor& tensor);

// Elements of a dtype from float64, rounded to the nearest.
Tensor from_doubles(DType dtype, const Shape& shape, const std::vector<double>& values);

}  // namespace rnn
