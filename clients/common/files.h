// Whole files.
#pragma once

#include <filesystem>
#include <string>

namespace rnn {

// Raises InputError where there is no file, or it cannot be read.
std::string read_file(const std::filesystem::path& file);

// The SHA-256 of a file, in hexadecimal, read a piece at a time. Raises InputError as above.
std::string sha256_of(const std::filesystem::path& file);

}  // namespace rnn
