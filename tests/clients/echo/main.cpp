// A client whose model returns its inputs under their names, to test what the
// clients share.
#include "client.h"

int main(int argc, char **argv) {
  const auto open = [](const std::filesystem::path &, const std::string &,
                       const rnn::Manifest *manifest) {
    return rnn::Session{manifest ? manifest->inputs : std::vector<rnn::Spec>{},
                        [](const rnn::Tensors &inputs) { return inputs; }};
  };
  return rnn::run({"echo", "Echo 1", ".onnx", open}, argc, argv);
}
