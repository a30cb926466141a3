#include "streaming.h"

#include <algorithm>
#include <cstring>

#include "error.h"

namespace rnn {
namespace {

constexpr std::size_t kLargestState = std::size_t{1} << 28;

// A tensor as rows of bytes: so many before an axis, and so many bytes for one element of it.
struct Layout {
  std::size_t rows = 1;
  std::size_t element = 1;
};

Layout layout(const Tensor& tensor, std::size_t axis) {
  const auto from = tensor.shape.begin() + static_cast<std::ptrdiff_t>(axis);
  return {count({tensor.shape.begin(), from}), count({from + 1, tensor.shape.end()}) * size_of(tensor.dtype)};
}

// Part of a tensor; where it lies in one piece, a view.
Tensor cut(const Tensor& tensor, std::size_t axis, std::int64_t begin, std::int64_t length) {
  const auto [rows, element] = layout(tensor, axis);
  const auto* from = static_cast<const std::byte*>(tensor.data.get()) + static_cast<std::size_t>(begin) * element;
  const auto stride = static_cast<std::size_t>(tensor.shape[axis]) * element;
  const auto piece = static_cast<std::size_t>(length) * element;
  Tensor part{tensor.dtype, tensor.shape, {tensor.data, from}};
  part.shape[axis] = length;
  if (rows == 1) return part;
  const auto memory = allocate(rows * piece);
  for (std::size_t row = 0; row < rows; ++row) {
    std::memcpy(static_cast<std::byte*>(memory.get()) + row * piece, from + row * stride, piece);
  }
  part.data = memory;
  return part;
}

Tensor cut(const Tensor& tensor, const Spec& spec, const std::string& time, std::int64_t begin, std::int64_t length) {
  Tensor part = tensor;
  for (std::size_t axis = 0; axis < spec.dims.size(); ++axis) {
    if (spec.dims[axis] == time) part = cut(part, axis, begin, length);
  }
  return part;
}

bool joinable(const Tensor& one, const Tensor& other, std::size_t axis, std::int64_t sequences) {
  auto shape = other.shape;
  if (shape.size() != one.shape.size() || axis >= shape.size() || shape[axis] % sequences) return false;
  shape[axis] = one.shape[axis];
  return shape == one.shape && other.dtype == one.dtype;
}

// Joins parts along an axis that has, for each of `sequences`, its steps.
Tensor join(const std::vector<Tensor>& parts, std::size_t axis, std::int64_t sequences) {
  Tensor whole = parts.front();
  whole.shape.at(axis) = 0;
  for (const auto& part : parts) {
    if (!joinable(parts.front(), part, axis, sequences)) {
      throw InputError("gives " + describe(part) + " for a chunk, which cannot be joined");
    }
    whole.shape[axis] += part.shape[axis];
  }
  const auto [rows, element] = layout(parts.front(), axis);
  const auto memory = allocate(bytes(whole));
  auto* to = static_cast<std::byte*>(memory.get());
  const auto many = static_cast<std::size_t>(sequences);
  for (std::size_t row = 0; row < rows * many; ++row) {
    for (const auto& part : parts) {
      const auto piece = static_cast<std::size_t>(part.shape[axis]) / many * element;
      std::memcpy(to, static_cast<const std::byte*>(part.data.get()) + row * piece, piece);
      to += piece;
    }
  }
  whole.data = memory;
  return whole;
}

// The axis that chunks are joined along: the first with the time in it, or of a length that nothing explains.
std::optional<std::size_t> time_axis(const std::vector<std::string>& dims, const std::string& time) {
  const auto timed = std::find_if(dims.begin(), dims.end(), [&](const std::string& dim) {
    const auto names = factors(dim);
    return std::find(names.begin(), names.end(), time) != names.end();
  });
  const auto found = timed != dims.end() ? timed : std::find(dims.begin(), dims.end(), "");
  if (found == dims.end()) return std::nullopt;
  return static_cast<std::size_t>(found - dims.begin());
}

// How many sequences an axis holds one after the other: the factors before the time, so 1 in "T*N" and N in "N*T".
std::int64_t sequences_in(const std::string& dim, const std::string& time, const Sizes& sizes) {
  if (dim.empty()) return 1;
  std::string before = "1";
  for (const auto& factor : factors(dim)) {
    if (factor == time) break;
    before += "*" + factor;
  }
  const auto size = size_of(before, sizes).value_or(0);
  if (size < 1) throw InputError("has no input with the sizes that the dimension " + dim + " of an output is made of");
  return size;
}

// What the given tensors must fit: the model's own inputs, and states that are given besides.
std::vector<Spec> given_specs(const Stream& stream, std::vector<Spec> inputs, const Tensors& given) {
  for (const auto& state : stream.states) {
    const bool own =
        std::any_of(inputs.begin(), inputs.end(), [&](auto& spec) { return spec.name == state.spec.name; });
    if (!own && given.count(state.spec.name)) inputs.push_back(state.spec);
  }
  return inputs;
}

struct Feeder {
  const Session& session;
  const Stream& stream;
  const std::vector<Spec>& inputs;
  const Tensors& given;
  const Sizes& sizes;

  std::vector<Tensors> parts(std::int64_t steps, std::int64_t chunk) const {
    Tensors states;
    for (const auto& state : stream.states) {
      const auto own = given.find(state.spec.name);
      states[state.spec.name] = own == given.end() ? initial(state, sizes) : own->second;
    }
    std::vector<Tensors> results;
    std::int64_t start = 0;
    do {
      const auto length = std::min(chunk, steps - start);
      Tensors feeds = states;
      for (const auto& spec : inputs) {
        if (!states.count(spec.name)) feeds[spec.name] = cut(given.at(spec.name), spec, stream.time, start, length);
      }
      results.push_back(session.run(feeds));
      for (const auto& state : stream.states) states[state.spec.name] = results.back().at(state.output);
      start += length;
    } while (start < steps);
    return results;
  }
};

// An output without what comes before its first element and after a whole run's last.
Tensor in_time(const Tensor& joined, const Timing& timing, std::size_t axis) {
  const auto length = joined.shape.at(axis);
  const auto kept = std::min(length - timing.delay, length + timing.extra);
  return kept < 1 ? cut(joined, axis, 0, 0) : cut(joined, axis, timing.delay, kept);
}

void check_chunks(const Stream& stream, std::int64_t steps, std::int64_t chunk) {
  if (steps % stream.multiple == 0 && chunk % stream.multiple == 0) return;
  throw InputError("takes chunks of a multiple of " + std::to_string(stream.multiple) + " steps");
}

std::vector<Tensor> all(const std::vector<Tensors>& parts, const std::string& name) {
  std::vector<Tensor> found;
  for (const auto& part : parts) found.push_back(part.at(name));
  return found;
}

}  // namespace

Tensor initial(const State& state, const Sizes& sizes) {
  Shape shape;
  for (const auto& dim : state.spec.dims) {
    const auto size = size_of(dim, sizes);
    if (!size) throw InputError("has no input with the dimension " + dim + " of state '" + state.spec.name + "'");
    shape.push_back(*size);
  }
  if (count(shape) > kLargestState) throw InputError("has a state '" + state.spec.name + "' that is too large");
  // The index among the reset values of each element: dynamic dimensions have one, and repeat it.
  std::vector<std::size_t> from{0};
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    const auto size = static_cast<std::size_t>(shape[axis]);
    const bool fixed = size_of(state.spec.dims[axis], {}).has_value();
    std::vector<std::size_t> next;
    for (const auto before : from) {
      for (std::size_t i = 0; i < size; ++i) next.push_back(fixed ? before * size + i : before);
    }
    from = std::move(next);
  }
  std::vector<double> values;
  for (const auto index : from) {
    if (state.reset.size() != 1 && index >= state.reset.size()) {
      throw InputError("cannot begin: state '" + state.spec.name + "' has too few reset values");
    }
    values.push_back(state.reset[state.reset.size() == 1 ? 0 : index]);
  }
  return from_doubles(state.spec.dtype, shape, values);
}

Tensors feed(const Session& session, const Stream& stream, const std::vector<Spec>& inputs,
             const std::vector<Output>& outputs, const Tensors& given, std::int64_t chunk) {
  const auto sizes = sizes_of(given_specs(stream, inputs, given), given);
  if (stream.time.empty()) {
    if (chunk) throw InputError("has no time to cut chunks along: one call after another is the stream");
    return Feeder{session, stream, inputs, given, sizes}.parts(1, 1).back();
  }
  const auto time = sizes.find(stream.time);
  if (time == sizes.end()) throw InputError("has no input with the dimension " + stream.time + " to cut along");
  const auto steps = time->second;
  check_chunks(stream, steps, chunk);
  const Feeder feeder{session, stream, inputs, given, sizes};
  const auto parts = feeder.parts(steps, chunk ? chunk : std::max<std::int64_t>(steps, 1));
  Tensors joined = parts.back();
  const bool goes_on = std::any_of(stream.states.begin(), stream.states.end(),
                                   [&](const State& state) { return given.count(state.spec.name) > 0; });
  for (const auto& output : outputs) {
    const auto axis = time_axis(output.dims, stream.time);
    if (!axis) continue;
    if (parts.size() > 1) {
      const auto sequences = sequences_in(output.dims[*axis], stream.time, sizes);
      joined[output.name] = join(all(parts, output.name), *axis, sequences);
    }
    const auto timing = stream.timings.find(output.name);
    if (timing == stream.timings.end() || goes_on) continue;
    joined[output.name] = in_time(joined.at(output.name), timing->second, *axis);
  }
  return joined;
}

Tensor seen(const Stream& stream, const Output& output, const Tensor& whole) {
  const auto timing = stream.timings.find(output.name);
  const auto axis = time_axis(output.dims, stream.time);
  if (timing == stream.timings.end() || !axis || *axis >= whole.shape.size()) return whole;
  const auto length = whole.shape[*axis];
  const auto kept = std::min(length, length - timing->second.extra - timing->second.delay);
  return cut(whole, *axis, 0, std::max<std::int64_t>(kept, 0));
}

}  // namespace rnn
