#include "bundle.h"

#include "error.h"
#include "files.h"

namespace rnn {

namespace fs = std::filesystem;

const Artifact& artifact_for(const fs::path& folder, const Manifest& manifest, const std::string& extension) {
  for (const auto& artifact : manifest.artifacts) {
    if (fs::path(artifact.file).extension() == extension) return artifact;
  }
  throw InputError(folder.string() + " holds no " + extension + " file. Export the model in that format too.");
}

void check_hash(const fs::path& folder, const Manifest& manifest, const std::string& name) {
  if (!manifest.sha256.count(name)) throw InputError("The manifest of " + folder.string() + " lacks " + name + ".");
  for (const auto& [file, hash] : manifest.sha256) {
    if (file != name && file.rfind(name + ".", 0) != 0) continue;
    if (sha256_of(folder / file) != hash) {
      throw InputError((folder / file).string() + " was changed after it was written. Export the model again.");
    }
  }
}

}  // namespace rnn
