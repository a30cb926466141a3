#include "sizes.h"

#include <algorithm>

#include "error.h"

namespace rnn {
namespace {

bool is_number(const std::string& text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string::npos;
}

bool is_name(const std::string& text) {
  return !text.empty() && text.find_first_of("+-*/() ") == std::string::npos && !is_number(text);
}

bool fits(const std::string& dim, std::int64_t size, const Sizes& sizes) {
  return size_of(dim, sizes).value_or(size) == size;
}

// Reads a size such as 12*(T-4), T//2 or T*N; nothing where a name is not known or it is written otherwise.
class Expression {
 public:
  Expression(const std::string& text, const Sizes& sizes) : text_(text), sizes_(sizes) {}

  std::optional<std::int64_t> value() {
    const auto found = sum();
    return at_ == text_.size() ? found : std::nullopt;
  }

 private:
  using Value = std::optional<std::int64_t>;

  Value sum() {
    auto left = product();
    while (left && at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) {
      const bool adds = text_[at_++] == '+';
      const auto right = product();
      if (!right) return std::nullopt;
      if (adds ? __builtin_add_overflow(*left, *right, &*left) : __builtin_sub_overflow(*left, *right, &*left)) {
        too_large();
      }
    }
    return left;
  }

  Value product() {
    auto left = atom();
    while (left && at_ < text_.size() && (text_[at_] == '*' || text_[at_] == '/')) {
      const bool divides = text_.compare(at_, 2, "//") == 0;
      if (!divides && text_[at_] == '/') return std::nullopt;
      at_ += divides ? 2 : 1;
      const auto right = atom();
      if (!right || (divides && *right == 0)) return std::nullopt;
      if (divides) {
        const auto rest = *left % *right;
        *left = *left / *right - (rest != 0 && (rest < 0) != (*right < 0) ? 1 : 0);
      } else if (__builtin_mul_overflow(*left, *right, &*left)) {
        too_large();
      }
    }
    return left;
  }

  Value atom() {
    if (at_ < text_.size() && text_[at_] == '(') {
      ++at_;
      const auto inner = ++depth_ < kDeepest ? sum() : std::nullopt;
      if (!inner || at_ >= text_.size() || text_[at_] != ')') return std::nullopt;
      ++at_;
      --depth_;
      return inner;
    }
    const auto end = std::min(text_.find_first_of("+-*/()", at_), text_.size());
    const auto word = text_.substr(at_, end - at_);
    at_ = end;
    if (is_number(word)) return number(word);
    const auto known = sizes_.find(word);
    return known == sizes_.end() ? std::nullopt : Value(known->second);
  }

  std::int64_t number(const std::string& word) const {
    if (word.size() > 18) too_large();
    return std::stoll(word);
  }

  [[noreturn]] void too_large() const { throw InputError("A dimension of " + text_ + " is too large."); }

  static constexpr int kDeepest = 64;
  const std::string& text_;
  const Sizes& sizes_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

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
  return Expression(dim, sizes).value();
}

Sizes sizes_of(const std::vector<Spec>& specs, const Tensors& tensors) {
  Sizes sizes;
  // A size may follow from one that a later input has.
  for (const auto& spec : specs) {
    const auto found = tensors.find(spec.name);
    if (found == tensors.end()) continue;
    const auto& shape = found->second.shape;
    for (std::size_t axis = 0; axis < std::min(shape.size(), spec.dims.size()); ++axis) {
      if (is_name(spec.dims[axis])) sizes.emplace(spec.dims[axis], shape[axis]);
    }
  }
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
