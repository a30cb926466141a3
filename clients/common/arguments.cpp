#include "arguments.h"

#include "error.h"

namespace rnn {

bool parse(CLI::App& app, int argc, char** argv) {
  app.get_formatter()->column_width(24);
  for (auto* option : app.get_options()) option->take_last();
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {
    app.exit(asked);
    return false;
  } catch (const CLI::ArgumentMismatch& mismatch) {
    const std::string said = mismatch.what();
    throw InputError(said.substr(0, said.find(':')) + " needs a value. See --help.");
  } catch (const CLI::ParseError& error) {
    // A misspelt option is why a required one is missing.
    const auto unknown = app.remaining();
    const auto said = unknown.empty() ? error.what() : "Unexpected argument '" + unknown.front() + "'";
    throw InputError(first_line(said) + ". See --help.");
  }
  return true;
}

}  // namespace rnn
