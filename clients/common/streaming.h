// A sequence fed in chunks, with the states carried from one to the next.
#pragma once

#include "manifest.h"
#include "session.h"
#include "sizes.h"

namespace rnn {

// A state before the first step. Raises InputError where it depends on a size that is not there, or does not fit.
Tensor initial(const State& state, const Sizes& sizes);

// The outputs of whole sequences, joined along time, and the states after the last step under their outputs' names.
//
// A state begins with its reset value, or with the input of its name where one is given. `inputs` are the model's own,
// without states; `outputs` says which dimensions the model's outputs have. A chunk of 0 steps means all in one pass.
// Outputs that are late are without what comes before their first element, unless the stream goes on from given states.
// Raises InputError where an input, an output or a chunk does not fit, and what the session raises.
Tensors feed(const Session& session, const Stream& stream, const std::vector<Spec>& inputs,
             const std::vector<Output>& outputs, const Tensors& given, std::int64_t chunk);

// The elements of a whole run's output that a stream gives too.
Tensor seen(const Stream& stream, const Output& output, const Tensor& whole);

}  // namespace rnn
