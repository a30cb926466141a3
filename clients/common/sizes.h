// Which sizes the dynamic dimensions have in given tensors.
#pragma once

#include "tensor.h"

namespace rnn {

using Sizes = std::map<std::string, std::int64_t>;

// The factors of a dimension: one for "T" and "3", two for "T*N".
std::vector<std::string> factors(const std::string& dim);

// What a number, a name, a product or a size that follows from others, such as 12*(T-4), stands for; nothing where a
// name is not known.
std::optional<std::int64_t> size_of(const std::string& dim, const Sizes& sizes);

// Raises InputError where a tensor is missing, or has another dtype or shape than the model takes.
Sizes sizes_of(const std::vector<Spec>& specs, const Tensors& tensors);

}  // namespace rnn
