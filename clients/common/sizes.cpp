#include "sizes.h"

#include <algorithm>

#include "error.h"

namespace rnn {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool fits(const std::string& dim, std::int64_t size, Sizes& sizes) {
  if (dim.empty()) return true;
  if (const auto known = size_of(dim, sizes)) return *known == size;
  if (factors(dim).size() == 1) sizes[dim] = size;
  return true;
}

std::string describe(const Spec& spec) {
  std::string text;
  for (const auto& dim : spec.dims) text += (text.empty() ? "" : ", ") + (dim.empty() ? "?" : dim);
  return name_of(spec.dtype) + ("[" + text + "]");
}

}  // namespace

std::vector<std::string> factors(const std::string& dim) {
  std::vector<std::string> found;
  for (std::size_t begin = 0; begin <= dim.size();) {
    const auto star = std::min(dim.find('*', begin), dim.size());
    found.push_back(dim.substr(begin, star - begin));
    begin = star + 1;
  }
  return found;
}

std::optional<std::int64_t> size_of(const std::string& dim, const Sizes& sizes) {
  std::int64_t product = 1;
  for (const auto& factor : factors(dim)) {
    const auto known = sizes.find(factor);
    if (!is_number(factor) && known == sizes.end()) return std::nullopt;
    const auto size = is_number(factor) ? std::stoll(factor) : known->second;
    if (__builtin_mul_overflow(product, size, &product)) throw InputError("A dimension of " + dim + " is too large.");
  }
  return product;
}

Sizes sizes_of(const std::vector<Spec>& specs, const Tensors& tensors) {
  Sizes sizes;
  for (const auto& spec : specs) {
    const auto found = tensors.find(spec.name);
    if (found == tensors.end()) throw InputError("has no input '" + spec.name + "', which the model takes");
    const auto& shape = found->second.shape;
    // ONNX Runtime's recurrent kernels end the process for some of these.
    if (std::find(shape.begin(), shape.end(), 0) != shape.end()) {
      throw InputError("has an input '" + spec.name + "' that is " + describe(found->second) +
                       ", and a size of 0 is not run");
    }
    const bool fit = found->second.dtype == spec.dtype && shape.size() == spec.dims.size() &&
                     std::equal(shape.begin(), shape.end(), spec.dims.begin(),
                                [&](auto size, const auto& dim) { return fits(dim, size, sizes); });
    if (!fit) {
      throw InputError("has an input '" + spec.name + "' that is " + describe(found->second) + ", not " +
                       describe(spec));
    }
  }
  return sizes;
}

}  // namespace rnn
