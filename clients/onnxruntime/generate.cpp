// Writes text with a model of characters: copy this with the files that it includes, and what they include.
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>

#include "bundle.h"
#include "error.h"
#include "model.h"
#include "writing.h"

namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* kHelp = R"(Usage: rnn-export-generate BUNDLE --prompt TEXT [OPTIONS]

Writes text with a model of characters that rnn-export wrote, one character at a time.

  --prompt TEXT      What the text begins with.
  --temperature X    0 takes the likeliest character (default 0.5); the larger, the more surprising.
  --length K         How many characters to write (default 200).
  --help             Show this text.

How many characters were written per second is said on stderr. Exit codes: 0, or 2 if something that was given is wrong.
)";

struct Options {
  std::vector<std::string> paths;
  std::optional<std::string> prompt;
  std::string temperature = "0.5";
  std::string length = "200";
  bool help = false;
};

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  for (auto argument = arguments.begin(); argument != arguments.end(); ++argument) {
    if (argument->size() < 2 || argument->front() != '-') {
      options.paths.push_back(*argument);
      continue;
    }
    if (*argument == "--help" || *argument == "-h") {
      options.help = true;
      continue;
    }
    const auto equals = argument->find('=');
    const auto name = argument->substr(0, equals);
    const bool known = name == "--prompt" || name == "--temperature" || name == "--length";
    if (!known) throw rnn::InputError("Unknown option '" + name + "'. See --help.");
    const bool apart = equals == std::string::npos;
    if (apart && ++argument == arguments.end()) throw rnn::InputError(name + " needs a value. See --help.");
    const auto value = apart ? *argument : argument->substr(equals + 1);
    if (name == "--prompt") options.prompt = value;
    if (name == "--temperature") options.temperature = value;
    if (name == "--length") options.length = value;
  }
  return options;
}

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

void run(const std::vector<std::string>& arguments) {
  const auto options = parse(arguments);
  const auto temperature = temperature_of(options.temperature);
  const auto length = length_of(options.length);
  if (options.help) {
    std::cout << kHelp;
    return;
  }
  if (options.paths.size() != 1 || !options.prompt) {
    throw rnn::InputError("Give BUNDLE and --prompt TEXT. See --help.");
  }
  auto writer = writer_for(options.paths[0], *options.prompt, temperature);
  write(writer, *options.prompt, length);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    run({argv + 1, argv + argc});
    return 0;
  } catch (const std::bad_alloc&) {
    std::cerr << "Error: There is not enough memory.\n";
  } catch (const std::exception& error) {
    std::cerr << "Error: " << error.what() << "\n";
  }
  return 2;
}
