#include "edge/call.h"

namespace barid::edge {

const std::string* CallHead::Find(absl::string_view key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

}  // namespace barid::edge
