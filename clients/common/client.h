// The command line that every client has; see clients/README.md.
#pragma once

#include <filesystem>

#include "manifest.h"
#include "session.h"

namespace rnn {

// What tells one client from another. `open` takes a model file, an execution provider, and what the manifest beside
// the file says, if there is one.
struct Client {
  std::string name;
  std::string runtime;
  std::string extension;
  std::function<Session(const std::filesystem::path&, const std::string& provider, const Manifest*)> open;
};

// Returns the exit code: 0, 1 where a case fails, 2 for bad input.
int run(const Client& client, int argc, char** argv);

}  // namespace rnn
