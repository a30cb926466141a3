#include "files.h"

#include <openssl/evp.h>

#include <array>
#include <fstream>
#include <memory>
#include <vector>

#include "error.h"

namespace rnn {
namespace {

namespace fs = std::filesystem;

std::ifstream open(const fs::path& file) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) throw InputError("There is no file " + file.string() + ".");
  if (!fs::is_regular_file(file, ignored)) throw InputError(file.string() + " is not a file.");
  std::ifstream stream(file, std::ios::binary);
  if (!stream) throw InputError(file.string() + " cannot be read.");
  return stream;
}

}  // namespace

std::string read_file(const fs::path& file) {
  auto stream = open(file);
  std::string content(fs::file_size(file), '\0');
  if (!stream.read(content.data(), static_cast<std::streamsize>(content.size()))) {
    throw InputError(file.string() + " cannot be read.");
  }
  return content;
}

std::string sha256_of(const fs::path& file) {
  auto stream = open(file);
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  std::vector<char> piece(1 << 20);
  while (stream.read(piece.data(), static_cast<std::streamsize>(piece.size())), stream.gcount() > 0) {
    EVP_DigestUpdate(context.get(), piece.data(), static_cast<std::size_t>(stream.gcount()));
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &length);
  std::string text;
  for (unsigned i = 0; i < length; ++i) {
    text += "0123456789abcdef"[digest[i] >> 4];
    text += "0123456789abcdef"[digest[i] & 15];
  }
  return text;
}

}  // namespace rnn
