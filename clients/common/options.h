// The options that every client has; see clients/README.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "client.h"

namespace rnn {

// Either a bundle or a model, with cases or without. A chunk of 0 steps means all in one pass.
struct Options {
  std::optional<std::string> bundle;
  bool time = false;
  std::optional<std::string> model;
  std::optional<std::string> cases;
  std::optional<std::string> out;
  std::string provider = "cpu";
  std::int64_t chunk = 0;
};

// Nothing where --help or --version was given, after printing what it asks for. Raises InputError where the command
// line is none of those in clients/README.md.
std::optional<Options> parse_options(const Client& client, int argc, char** argv);

}  // namespace rnn
