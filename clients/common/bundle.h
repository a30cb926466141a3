// A bundle's files, none of them other than when they were written.
#pragma once

#include <filesystem>

#include "manifest.h"

namespace rnn {

// The model file with an extension such as ".onnx". Raises InputError where there is none.
const Artifact& artifact_for(const std::filesystem::path& folder, const Manifest& manifest,
                             const std::string& extension);

// A file, and what lies beside it for weights that are too large for it, compared with the manifest's hashes. Raises
// InputError where one is not there, or was changed.
void check_hash(const std::filesystem::path& folder, const Manifest& manifest, const std::string& name);

}  // namespace rnn
