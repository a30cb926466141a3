#include "tensor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <new>

namespace rnn {
namespace {

struct Kind {
  DType dtype;
  const char* name;
  std::size_t size;
};

constexpr std::array<Kind, 6> kKinds{{{DType::f16, "float16", 2},
                                      {DType::f32, "float32", 4},
                                      {DType::f64, "float64", 8},
                                      {DType::i32, "int32", 4},
                                      {DType::i64, "int64", 8},
                                      {DType::boolean, "bool", 1}}};

const Kind& kind(DType dtype) {
  return kKinds.at(static_cast<std::size_t>(dtype));
}

// IEEE 754 binary16, which C++17 has no type for.
struct Half {
  std::uint16_t bits;

  explicit operator double() const {
    const int exponent = (bits >> 10) & 31;
    const int fraction = bits & 1023;
    double magnitude = std::ldexp(fraction + (exponent ? 1024 : 0), exponent ? exponent - 25 : -24);
    if (exponent == 31) {
      magnitude = fraction ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity();
    }
    return bits & 0x8000 ? -magnitude : magnitude;
  }

  static Half of(double value) {
    const unsigned sign = std::signbit(value) ? 0x8000 : 0;
    if (std::isnan(value)) return {static_cast<std::uint16_t>(sign | 0x7e00)};
    // What is no less than this is rounded to infinity.
    const double magnitude = std::fmin(std::fabs(value), 65520.0);
    if (magnitude == 0) return {static_cast<std::uint16_t>(sign)};  // which has no exponent
    int exponent = 0;
    std::frexp(magnitude, &exponent);
    exponent = std::max(exponent, -13);
    const auto steps = static_cast<unsigned>(std::nearbyint(std::ldexp(magnitude, 11 - exponent)));
    return {static_cast<std::uint16_t>(sign | ((static_cast<unsigned>(exponent + 13) << 10) + steps))};
  }
};

template <typename Element>
std::vector<double> widened(const Tensor& tensor) {
  const auto* elements = static_cast<const Element*>(tensor.data.get());
  std::vector<double> values(count(tensor.shape));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<double>(elements[i]);
  return values;
}

template <typename Element>
void narrow(const std::vector<double>& values, void* memory) {
  auto* elements = static_cast<Element*>(memory);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if constexpr (std::is_same_v<Element, Half>) {
      elements[i] = Half::of(values[i]);
    } else {
      elements[i] = static_cast<Element>(values[i]);
    }
  }
}

}  // namespace

std::size_t size_of(DType dtype) {
  return kind(dtype).size;
}

std::size_t count(const Shape& shape) {
  std::size_t product = 1;
  for (const auto size : shape) product *= static_cast<std::size_t>(size);
  return product;
}

std::size_t bytes(const Tensor& tensor) {
  return count(tensor.shape) * size_of(tensor.dtype);
}

const char* name_of(DType dtype) {
  return kind(dtype).name;
}

std::optional<DType> dtype_named(const std::string& name) {
  for (const auto& each : kKinds) {
    if (name == each.name) return each.dtype;
  }
  return std::nullopt;
}

std::string describe(const Tensor& tensor) {
  std::string text;
  for (const auto size : tensor.shape) text += (text.empty() ? "" : ", ") + std::to_string(size);
  return name_of(tensor.dtype) + ("[" + text + "]");
}

std::shared_ptr<void> allocate(std::size_t bytes) {
  return {::operator new(bytes ? bytes : 1), [](void* memory) { ::operator delete(memory); }};
}

std::vector<double> as_doubles(const Tensor& tensor) {
  switch (tensor.dtype) {
    case DType::f16:
      return widened<Half>(tensor);
    case DType::f32:
      return widened<float>(tensor);
    case DType::f64:
      return widened<double>(tensor);
    case DType::i32:
      return widened<std::int32_t>(tensor);
    case DType::i64:
      return widened<std::int64_t>(tensor);
    case DType::boolean:
      return widened<std::uint8_t>(tensor);
  }
  return {};
}

Tensor from_doubles(DType dtype, const Shape& shape, const std::vector<double>& values) {
  auto memory = allocate(values.size() * size_of(dtype));
  switch (dtype) {
    case DType::f16:
      narrow<Half>(values, memory.get());
      break;
    case DType::f32:
      narrow<float>(values, memory.get());
      break;
    case DType::f64:
      narrow<double>(values, memory.get());
      break;
    case DType::i32:
      narrow<std::int32_t>(values, memory.get());
      break;
    case DType::i64:
      narrow<std::int64_t>(values, memory.get());
      break;
    case DType::boolean:
      narrow<std::uint8_t>(values, memory.get());
      break;
  }
  return {dtype, shape, memory};
}

}  // namespace rnn
