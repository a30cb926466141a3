#include "options.h"

#include <charconv>

#include "arguments.h"
#include "error.h"

namespace rnn {
namespace {

constexpr const char* kWays =
    "Runs an exported model, in one of four ways:\n\n"
    "  MODEL CASES OUT     Run the model on every case, and write the outputs.\n"
    "  MODEL               Do so for each line CASES<tab>OUT on stdin, and answer\n"
    "                      with an empty line or with what is wrong.\n"
    "  --time MODEL CASES  Print the microseconds that each case takes.\n"
    "  --check BUNDLE      Replay the bundle's own cases, and compare them with\n"
    "                      what PyTorch computed.\n";

std::int64_t positive(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 1) {
    throw InputError("--chunk is '" + text + "'. Give a number of steps, 1 or more.");
  }
  return number;
}

bool fits(const Options& options) {
  if (options.bundle) return !options.time && !options.model;
  if (options.time) return options.cases && !options.out;
  return options.model && options.cases.has_value() == options.out.has_value();
}

}  // namespace

std::optional<Options> parse_options(const Client& client, int argc, char** argv) {
  Options options;
  CLI::App app(kWays, client.name);
  app.set_version_flag("--version", client.name + " " RNN_EXPORT_VERSION ", " + client.runtime + ", takes " +
                                        client.extension);
  app.add_option("--check", options.bundle, "Replay a bundle's cases.")->option_text("BUNDLE");
  app.add_flag("--time", options.time, "Time each case.");
  app.add_option("--provider", options.provider, "Where to run it: cpu if not given.")->option_text("NAME");
  const auto set_chunk = [&](const std::string& text) { options.chunk = positive(text); };
  app.add_option_function<std::string>("--chunk", set_chunk,
                                       "Feed K steps at a time, and carry the states. The model\n"
                                       "must have been exported with --stateful.")
      ->option_text("K");
  app.add_option("MODEL", options.model, "A " + client.extension + " file.")->option_text(" ");
  app.add_option("CASES", options.cases, "A safetensors file of <case>/inputs/<input>.")->option_text(" ");
  app.add_option("OUT", options.out, "The file that gets <case>/outputs/<output>.")->option_text(" ");
  app.footer("Exit codes: 0 right, 1 a case fails, 2 bad input.");
  if (!parse(app, argc, argv)) return std::nullopt;
  if (!fits(options)) {
    throw InputError("Give MODEL CASES OUT, MODEL, --time MODEL CASES or --check BUNDLE. See --help.");
  }
  return options;
}

}  // namespace rnn
