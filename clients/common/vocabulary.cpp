#include "vocabulary.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "bundle.h"
#include "error.h"
#include "files.h"

namespace rnn {
namespace {

using Json = nlohmann::json;

constexpr const char* kVocabulary = "vocabulary.json";
constexpr int kFormat = 1;

// Of UTF-8, where all bytes of a character but the first begin with the bits 10.
std::vector<std::string> characters_of(const std::string& text) {
  std::vector<std::string> characters;
  for (const char byte : text) {
    const bool goes_on = (static_cast<unsigned char>(byte) & 0xc0) == 0x80;
    if (!goes_on || characters.empty()) characters.emplace_back();
    characters.back() += byte;
  }
  return characters;
}

Vocabulary vocabulary_of(const Json& json) {
  if (json.at("format") != kFormat) throw std::invalid_argument("format");
  Vocabulary vocabulary{json.at("input"), json.at("output"), json.at("characters")};
  const auto& characters = vocabulary.characters;
  const bool single = std::all_of(characters.begin(), characters.end(),
                                  [](const std::string& each) { return characters_of(each).size() == 1; });
  if (characters.empty() || !single) throw std::invalid_argument("characters");
  return vocabulary;
}

}  // namespace

Vocabulary read_vocabulary(const std::filesystem::path& folder, const Manifest& manifest) {
  if (!manifest.sha256.count(kVocabulary)) {
    throw InputError(folder.string() + " has no " + kVocabulary + ", so no text can be written with it.");
  }
  check_hash(folder, manifest, kVocabulary);
  const auto file = folder / kVocabulary;
  const auto content = read_file(file);
  try {
    // The parser takes a NUL for the end.
    if (content.find('\0') != std::string::npos) throw std::invalid_argument("NUL");
    return vocabulary_of(Json::parse(content));
  } catch (const std::exception&) {
    throw InputError(file.string() + " is not a vocabulary of format 1. Write it again.");
  }
}

std::vector<std::int64_t> encode(const Vocabulary& vocabulary, const std::string& text) {
  std::map<std::string, std::int64_t> known;
  std::int64_t token = 0;
  for (const auto& character : vocabulary.characters) known[character] = token++;
  std::vector<std::int64_t> tokens;
  for (const auto& character : characters_of(text)) {
    const auto found = known.find(character);
    if (found == known.end()) {
      const auto quoted = Json(character).dump(-1, ' ', false, Json::error_handler_t::replace);
      throw InputError("The model does not know the character " + quoted + ". Leave it out.");
    }
    tokens.push_back(found->second);
  }
  return tokens;
}

}  // namespace rnn
