#include "safetensors.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <tuple>

#include "error.h"
#include "files.h"

namespace rnn {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr std::size_t kLength = 8;

const std::map<std::string, DType> kDTypes{{"F16", DType::f16}, {"F32", DType::f32}, {"F64", DType::f64},
                                           {"I32", DType::i32}, {"I64", DType::i64}, {"BOOL", DType::boolean}};

// Where a tensor's elements are among all, in bytes.
struct Place {
  std::string name;
  DType dtype;
  Shape shape;
  std::size_t begin;
  std::size_t end;
};

[[noreturn]] void refuse(const fs::path& file, const std::string& why) {
  throw InputError(file.string() + " is not a safetensors file: " + why + ".");
}

// JSON's numbers may be negative, have a fraction, or be larger than any memory.
std::size_t whole(const Json& value, std::size_t limit) {
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() > limit) throw std::out_of_range("number");
  return value.get<std::size_t>();
}

Place place_of(const std::string& name, const Json& entry, std::size_t available) {
  const auto& offsets = entry.at("data_offsets");
  if (!offsets.is_array() || offsets.size() != 2 || !entry.at("shape").is_array()) throw std::out_of_range("shape");
  Place place{name,
              kDTypes.at(entry.at("dtype").get<std::string>()),
              {},
              whole(offsets[0], available),
              whole(offsets[1], available)};
  if (place.begin > place.end) throw std::out_of_range("offsets");
  // A product may not overflow, and a dimension beside one of size 0 be as large as it likes.
  constexpr std::size_t kLargest = std::size_t{1} << 40;
  std::size_t elements = 1;
  for (const auto& size : entry.at("shape")) {
    place.shape.push_back(static_cast<std::int64_t>(whole(size, kLargest)));
    elements *= static_cast<std::size_t>(place.shape.back());
    if (elements > kLargest) throw std::out_of_range("elements");
  }
  if (elements * size_of(place.dtype) != place.end - place.begin) throw std::out_of_range("size");
  return place;
}

std::vector<Place> places(const fs::path& file, const Json& header, std::size_t available) {
  std::vector<Place> found;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    try {
      found.push_back(place_of(name, entry, available));
    } catch (const std::exception&) {
      refuse(file, "tensor '" + name + "' has a dtype, shape or place that cannot be");
    }
  }
  std::sort(found.begin(), found.end(), [](const Place& one, const Place& other) {
    return std::tie(one.begin, one.end) < std::tie(other.begin, other.end);
  });
  std::size_t end = 0;
  for (const auto& place : found) {
    if (place.begin != end) refuse(file, "tensor '" + place.name + "' does not follow the one before");
    end = place.end;
  }
  if (end != available) refuse(file, "it goes on behind the last tensor");
  return found;
}

std::uint64_t length_of(const std::string& content) {
  std::uint64_t length = 0;
  for (std::size_t i = kLength; i-- > 0;) length = length << 8 | static_cast<unsigned char>(content[i]);
  return length;
}

std::string header_of(const std::vector<Place>& places) {
  Json header = Json::object();
  for (const auto& place : places) {
    const auto dtype =
        std::find_if(kDTypes.begin(), kDTypes.end(), [&](auto& each) { return each.second == place.dtype; });
    header[place.name] = {{"dtype", dtype->first}, {"shape", place.shape}, {"data_offsets", {place.begin, place.end}}};
  }
  auto text = header.dump();
  // Elements begin at a multiple of their size.
  text.resize((text.size() + kLength - 1) / kLength * kLength, ' ');
  return text;
}

void write(const fs::path& file, const Tensors& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : tensors) names.push_back(name);
  std::stable_sort(names.begin(), names.end(), [&](const std::string& one, const std::string& other) {
    return size_of(tensors.at(one).dtype) > size_of(tensors.at(other).dtype);
  });
  std::vector<Place> places;
  std::size_t end = 0;
  for (const auto& name : names) {
    const auto& tensor = tensors.at(name);
    places.push_back({name, tensor.dtype, tensor.shape, end, end + bytes(tensor)});
    end = places.back().end;
  }
  const auto header = header_of(places);
  std::ofstream stream(file, std::ios::binary);
  for (std::size_t i = 0; i < kLength; ++i) stream.put(static_cast<char>(header.size() >> 8 * i & 255));
  stream << header;
  for (const auto& name : names) {
    const auto& tensor = tensors.at(name);
    stream.write(static_cast<const char*>(tensor.data.get()), static_cast<std::streamsize>(bytes(tensor)));
  }
  stream.close();
  if (!stream) throw fs::filesystem_error("write", file, std::make_error_code(std::errc::io_error));
}

}  // namespace

Tensors read_safetensors(const fs::path& file) {
  const auto content = read_file(file);
  if (content.size() < kLength) refuse(file, "it is shorter than the length of a header");
  const auto length = length_of(content);
  if (length > content.size() - kLength) refuse(file, "its header would be longer than the file");
  const char* elements = content.data() + kLength + length;
  // The parser takes a NUL for the end.
  if (std::find(content.data() + kLength, elements, '\0') != elements) refuse(file, "its header is not JSON");
  const auto header = Json::parse(content.data() + kLength, elements, nullptr, false);
  if (!header.is_object()) refuse(file, "its header is not a JSON object");
  Tensors tensors;
  for (const auto& place : places(file, header, content.size() - kLength - length)) {
    auto memory = allocate(place.end - place.begin);
    std::memcpy(memory.get(), elements + place.begin, place.end - place.begin);
    tensors[place.name] = {place.dtype, place.shape, memory};
  }
  return tensors;
}

void write_safetensors(const fs::path& file, const Tensors& tensors) {
  const fs::path partial = file.string() + "." + std::to_string(getpid()) + ".partial";
  try {
    write(partial, tensors);
    fs::rename(partial, file);
  } catch (const fs::filesystem_error&) {
    std::error_code ignored;
    fs::remove(partial, ignored);
    throw InputError(file.string() + " cannot be written.");
  }
}

}  // namespace rnn
