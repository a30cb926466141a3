// A model of several graphs: pipeline.json, and greedy decoding as it says.
#pragma once

#include <filesystem>
#include <functional>
#include <utility>

#include "tensor.h"

namespace rnn {

// A tensor for one sequence: the last tokens, as many as it has elements; or a state before the first step.
struct Begin {
  DType dtype = DType::i64;
  Shape shape;
  std::vector<double> reset;
};

// One frame of an output: the axis that counts frames, and whether it stays, as 1.
struct Frame {
  std::size_t axis = 0;
  bool kept = false;
};

// What goes into an input, and into a state after a token was emitted.
struct Feed {
  std::string input;
  std::string from;
  std::optional<std::string> then;
  std::optional<Frame> frame;
  std::optional<Begin> begin;
};

// A graph that runs on neither a frame nor a token runs once.
struct Graph {
  std::string name, bundle, file, manifest_sha256;
  bool on_frame = false, on_token = false;
  std::vector<Feed> inputs;
};

// What is emitted until when. `silent` is the blank token of a transducer, and the end token of a text, or -1.
struct PipelineSpec {
  std::vector<std::string> inputs;
  std::vector<Graph> graphs;  // in the order in which they run
  std::string step, first;    // the logits; `first` may be empty
  std::vector<std::int64_t> start;
  bool transducer = false;
  std::int64_t silent = -1, max_symbols = 0, limit = 0;
};

extern const char* const kPipeline;

// Raises InputError where the folder has none, or where it is none of this format.
PipelineSpec read_pipeline(const std::filesystem::path& folder);

// The outputs of a graph for its inputs.
using RunGraph = std::function<Tensors(const std::string& graph, const Tensors& inputs)>;

// One sequence that is decoded.
class Decoding {
 public:
  Decoding(const PipelineSpec& spec, RunGraph run) : spec_(spec), run_(std::move(run)), tokens_(spec.start) {}

  // The tokens that are emitted for these inputs; a transducer takes chunk after chunk of them. Raises InputError where
  // an input is missing, and what `run` raises.
  std::vector<std::int64_t> feed(const Tensors& inputs);

 private:
  void transduce();
  void write();
  void emit(std::int64_t token);
  bool full() const;
  void take_over();
  void run_those(bool frame, bool token);
  void run(const Graph& graph);
  Tensor value(const std::string& target, const Feed& feed) const;
  const Tensor& named(const std::string& source) const;
  std::int64_t likeliest(const std::string& source) const;

  const PipelineSpec& spec_;
  RunGraph run_;
  std::vector<std::int64_t> tokens_;
  Tensors values_, states_, next_;
  std::int64_t frame_ = 0;
  bool began_ = false;
};

}  // namespace rnn
