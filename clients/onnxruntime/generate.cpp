// Writes text with a model of characters: copy this with the files that it includes, and what they include.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "arguments.h"
#include "bundle.h"
#include "error.h"
#include "model.h"
#include "writing.h"

namespace {

using Clock = std::chrono::steady_clock;

struct Options {
  std::string bundle;
  std::string prompt;
  double temperature = 0.5;
  long length = 200;
};

double temperature_of(const std::string& text) {
  // Also "inf", "nan" and "0x1" are numbers to strtod.
  const bool plain = !text.empty() && text.find_first_not_of("0123456789.eE+-") == std::string::npos;
  char* end = nullptr;
  const double number = std::strtod(text.c_str(), &end);
  if (!plain || *end || !std::isfinite(number) || number < 0) {
    throw rnn::InputError("--temperature is " + text + ". Give a number, 0 or more.");
  }
  return number;
}

long length_of(const std::string& text) {
  const bool digits = text.find_first_not_of("0123456789") == std::string::npos;
  const long number = digits && text.size() < 10 ? std::atol(text.c_str()) : 0;
  if (number < 1) {
    throw rnn::InputError("--length is " + text + ". Give a whole number from 1 to 999999999.");
  }
  return number;
}

// Nothing where --help was given, after printing the help.
std::optional<Options> parse(int argc, char** argv) {
  Options options;
  CLI::App app("Writes text with an exported model of characters, one character at a time.", "rnn-export-generate");
  app.add_option("BUNDLE", options.bundle, "The bundle's folder.")->required()->option_text(" ");
  app.add_option("--prompt", options.prompt, "What the text begins with.")->required()->option_text("TEXT");
  const auto set_temperature = [&](const std::string& text) { options.temperature = temperature_of(text); };
  app.add_option_function<std::string>("--temperature", set_temperature,
                                       "0 takes the likeliest character; the larger, the more\n"
                                       "surprising. 0.5 if not given.")
      ->option_text("X");
  const auto set_length = [&](const std::string& text) { options.length = length_of(text); };
  app.add_option_function<std::string>("--length", set_length, "How many characters to write: 200 if not given.")
      ->option_text("K");
  app.footer(
      "How many characters were written per second is said on stderr.\n"
      "Exit codes: 0, or 2 for bad input.");
  if (!rnn::parse(app, argc, argv)) return std::nullopt;
  return options;
}

rnn::Session open(const std::filesystem::path& file, const rnn::Artifact& artifact) {
  auto options = rnn::session_options();
  // Layers that have a form for single steps take it.
  if (artifact.stream) {
    Ort::ThrowOnError(Ort::GetApi().AddFreeDimensionOverrideByName(options, artifact.stream->time.c_str(), 1));
  }
  try {
    const auto model = std::make_shared<rnn::Model>(file, options);
    return {model->inputs(), [model](const rnn::Tensors& inputs) { return model->run(inputs); }};
  } catch (const Ort::Exception& error) {
    throw rnn::InputError(file.string() + " cannot be loaded (" + rnn::first_line(error.what()) + ").");
  }
}

rnn::Writer writer_for(const std::filesystem::path& folder, const std::string& prompt, double temperature) {
  const auto manifest = rnn::read_manifest(folder);
  const auto& artifact = rnn::artifact_for(folder, manifest, ".onnx");
  rnn::check_hash(folder, manifest, artifact.file);
  auto vocabulary = rnn::read_vocabulary(folder, manifest);
  auto session = open(folder / artifact.file, artifact);
  return {folder.string(), manifest, artifact, std::move(session), std::move(vocabulary), prompt, temperature};
}

void write(rnn::Writer& writer, const std::string& prompt, long length) {
  const auto first = writer.next();
  std::cout << prompt << first << std::flush;
  const auto began = Clock::now();
  for (long written = 1; written < length; ++written) std::cout << writer.next() << std::flush;
  const std::chrono::duration<double> taken = Clock::now() - began;
  std::cout << std::endl;
  if (!std::cout) throw rnn::InputError("The text cannot be written to the standard output.");
  std::fprintf(stderr, "%ld characters", length);
  if (length > 1) std::fprintf(stderr, ", %.0f a second", static_cast<double>(length - 1) / taken.count());
  std::fprintf(stderr, "\n");
}

void run(const Options& options) {
  auto writer = writer_for(options.bundle, options.prompt, options.temperature);
  write(writer, options.prompt, options.length);
}

}  // namespace

int main(int argc, char** argv) {
  return rnn::guarded("Error", [&] {
    if (const auto options = parse(argc, argv)) run(*options);
    return 0;
  });
}
