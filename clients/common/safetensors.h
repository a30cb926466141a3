// Tensors in a file: eight bytes with the length of a JSON header, the header, and the elements.
#pragma once

#include <filesystem>

#include "tensor.h"

namespace rnn {

// Raises InputError where there is no file, or where it is anything but what the format allows.
Tensors read_safetensors(const std::filesystem::path& file);

// Writes a file beside it first, which then takes its place. Raises InputError where nothing can be written there.
void write_safetensors(const std::filesystem::path& file, const Tensors& tensors);

}  // namespace rnn
