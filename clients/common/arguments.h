// A command line, read by CLI11.
#pragma once

#include <CLI/CLI.hpp>

namespace rnn {

// Sets what the app's options are bound to; of an option given twice, to the last value. Returns false where --help or
// --version was given, after printing what it asks for. Raises InputError for an unknown option or a path too many, and
// where something required is missing.
bool parse(CLI::App& app, int argc, char** argv);

}  // namespace rnn
