#include "pipeline.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <nlohmann/json.hpp>

#include "error.h"
#include "files.h"

namespace rnn {

const char* const kPipeline = "pipeline.json";

namespace {

using Json = nlohmann::ordered_json;

std::vector<double> numbers(const Json& value) {
  std::vector<double> found;
  for (const auto& each : value.is_array() ? value : Json::array({value})) {
    // "Infinity", "-Infinity" and "NaN", which JSON lacks.
    found.push_back(each.is_string() ? std::strtod(each.get<std::string>().c_str(), nullptr) : each.get<double>());
  }
  return found;
}

Begin begin_of(const Json& json) {
  const auto dtype = dtype_named(json.at("dtype").get<std::string>());
  if (!dtype) throw std::invalid_argument("dtype");
  return {*dtype, json.at("shape").get<Shape>(), json.count("reset") ? numbers(json.at("reset")) : std::vector<double>{}};
}

Feed feed_of(const std::string& input, const Json& json) {
  Feed feed{input, json.at("from"), {}, {}, {}};
  if (json.count("then")) feed.then = json.at("then").get<std::string>();
  if (json.count("frame")) {
    const auto& frame = json.at("frame");
    feed.frame = Frame{frame.at("axis").get<std::size_t>(), frame.at("kept").get<bool>()};
  }
  if (json.count("begin")) feed.begin = begin_of(json.at("begin"));
  return feed;
}

Graph graph_of(const std::string& name, const Json& json) {
  Graph graph;
  graph.name = name;
  graph.bundle = json.at("bundle");
  graph.file = json.at("file");
  graph.manifest_sha256 = json.at("manifest_sha256");
  // A pipeline names folders beside it, and nothing elsewhere.
  if (std::filesystem::path(graph.bundle).filename() != graph.bundle) throw std::invalid_argument("bundle");
  for (const auto& when : json.at("runs")) {
    (when == "frame" ? graph.on_frame : graph.on_token) = true;
  }
  for (const auto& [input, feed] : json.at("inputs").items()) graph.inputs.push_back(feed_of(input, feed));
  return graph;
}

PipelineSpec pipeline_of(const Json& json) {
  if (json.at("format") != 1) throw std::invalid_argument("format");
  PipelineSpec spec;
  for (const auto& [name, described] : json.at("inputs").items()) spec.inputs.push_back(name);
  for (const auto& [name, graph] : json.at("graphs").items()) spec.graphs.push_back(graph_of(name, graph));
  const auto& logits = json.at("logits");
  spec.step = logits.at("step");
  if (logits.count("first")) spec.first = logits.at("first");
  spec.start = json.at("start").get<std::vector<std::int64_t>>();
  const auto& decoding = json.at("decoding");
  spec.transducer = decoding.at("kind") == "transducer";
  if (!spec.transducer && decoding.at("kind") != "text") throw std::invalid_argument("kind");
  spec.limit = decoding.at("limit");
  if (spec.transducer) spec.max_symbols = decoding.at("max_symbols");
  const auto& silent = decoding.at(spec.transducer ? "blank" : "end");
  if (!silent.is_null()) spec.silent = silent;
  return spec;
}

Tensor one_of(const Tensor& whole, const Frame& frame, std::int64_t index) {
  const auto at = whole.shape.begin() + static_cast<std::ptrdiff_t>(frame.axis);
  const auto rows = count({whole.shape.begin(), at});
  const auto piece = count({at + 1, whole.shape.end()}) * size_of(whole.dtype);
  const auto memory = allocate(rows * piece);
  const auto* from = static_cast<const std::byte*>(whole.data.get()) + static_cast<std::size_t>(index) * piece;
  for (std::size_t row = 0; row < rows; ++row) {
    std::memcpy(static_cast<std::byte*>(memory.get()) + row * piece, from + row * static_cast<std::size_t>(*at) * piece,
                piece);
  }
  Tensor part{whole.dtype, whole.shape, memory};
  part.shape[frame.axis] = 1;
  if (!frame.kept) part.shape.erase(part.shape.begin() + static_cast<std::ptrdiff_t>(frame.axis));
  return part;
}

}  // namespace

PipelineSpec read_pipeline(const std::filesystem::path& folder) {
  const auto file = folder / kPipeline;
  const auto content = read_file(file);
  try {
    return pipeline_of(Json::parse(content));
  } catch (const std::exception&) {
    throw InputError(file.string() + " is no pipeline that an export wrote. Export the model again.");
  }
}

std::vector<std::int64_t> Decoding::feed(const Tensors& inputs) {
  const auto before = static_cast<std::ptrdiff_t>(tokens_.size());
  for (const auto& name : spec_.inputs) {
    if (!inputs.count(name)) throw InputError("Input '" + name + "' is missing.");
    values_["inputs." + name] = inputs.at(name);
  }
  for (const auto& graph : spec_.graphs) {
    if (!graph.on_frame && !graph.on_token) run(graph);
  }
  take_over();
  spec_.transducer ? transduce() : write();
  return {tokens_.begin() + before, tokens_.end()};
}

void Decoding::transduce() {
  const Feed* framed = nullptr;
  for (const auto& graph : spec_.graphs) {
    for (const auto& feed : graph.inputs) {
      if (!framed && feed.frame) framed = &feed;
    }
  }
  if (!framed) throw InputError("No input of the transducer is fed frame by frame. Export it again.");
  const auto frames = named(framed->from).shape.at(framed->frame->axis);
  for (frame_ = 0; frame_ < frames; ++frame_) {
    run_those(true, !began_);
    began_ = true;
    for (std::int64_t symbols = 0; symbols < spec_.max_symbols; ++symbols) {
      if (full()) return;
      const auto token = likeliest(spec_.step);
      if (token == spec_.silent) break;
      emit(token);
    }
  }
}

void Decoding::write() {
  auto source = spec_.first;
  if (source.empty()) run_those(false, true);
  while (!full()) {
    const auto token = likeliest(source.empty() ? spec_.step : source);
    if (token == spec_.silent) return;
    emit(token);
    source.clear();
  }
}

void Decoding::emit(std::int64_t token) {
  tokens_.push_back(token);
  take_over();
  if (!full()) run_those(false, true);
}

bool Decoding::full() const {
  return static_cast<std::int64_t>(tokens_.size() - spec_.start.size()) >= spec_.limit;
}

void Decoding::take_over() {
  for (auto& [target, state] : next_) states_[target] = std::move(state);
  next_.clear();
}

void Decoding::run_those(bool frame, bool token) {
  for (const auto& graph : spec_.graphs) {
    if ((frame && graph.on_frame) || (token && graph.on_token)) run(graph);
  }
}

void Decoding::run(const Graph& graph) {
  Tensors inputs;
  for (const auto& feed : graph.inputs) inputs[feed.input] = value(graph.name + "." + feed.input, feed);
  for (auto& [output, tensor] : run_(graph.name, inputs)) values_[graph.name + "." + output] = std::move(tensor);
  for (const auto& feed : graph.inputs) {
    if (feed.then) next_[graph.name + "." + feed.input] = named(graph.name + "." + *feed.then);
  }
}

Tensor Decoding::value(const std::string& target, const Feed& feed) const {
  if (const auto state = states_.find(target); state != states_.end()) return state->second;
  if (!feed.begin) {
    const auto& whole = named(feed.from);
    if (!feed.frame) return whole;
    if (feed.frame->axis >= whole.shape.size() || frame_ >= whole.shape[feed.frame->axis]) {
      throw InputError("'" + target + "' has no frame " + std::to_string(frame_) + ". Export it again.");
    }
    return one_of(whole, *feed.frame, frame_);
  }
  const auto size = count(feed.begin->shape);
  std::vector<double> values = feed.begin->reset;
  if (feed.from == "token") {
    if (size > tokens_.size()) throw InputError("'" + target + "' reads more tokens than there are. Export it again.");
    values.assign(tokens_.end() - static_cast<std::ptrdiff_t>(size), tokens_.end());
  } else if (values.size() == 1) {
    values = std::vector<double>(size, double{values.front()});
  }
  if (values.size() != size) throw InputError("'" + target + "' has too few reset values. Export it again.");
  return from_doubles(feed.begin->dtype, feed.begin->shape, values);
}

const Tensor& Decoding::named(const std::string& source) const {
  const auto found = values_.find(source);
  if (found == values_.end()) throw InputError("'" + source + "' is not there when it is read. Export it again.");
  return found->second;
}

std::int64_t Decoding::likeliest(const std::string& source) const {
  const auto values = as_doubles(named(source));
  const auto& shape = named(source).shape;
  if (shape.empty() || values.empty()) throw InputError("'" + source + "' has no logits. Export it again.");
  const auto row = values.end() - static_cast<std::ptrdiff_t>(shape.back());
  return std::max_element(row, values.end()) - row;
}

}  // namespace rnn
