#include "edge/call.h"

#include <algorithm>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "base/log.h"

namespace barid::edge {
namespace {

// RFC 9113 6.5.2.
constexpr size_t kPairCost = 32;

// By gRPC over HTTP/2, "Custom-Metadata".
bool IsKey(absl::string_view key) {
  return !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
    return absl::ascii_isdigit(c) || absl::ascii_islower(c) || c == '_' || c == '-' || c == '.';
  });
}

// What transports say themselves, and what RFC 9113 8.2.2 forbids.
bool IsReserved(absl::string_view key) {
  static constexpr absl::string_view kReserved[] = {"connection",        "content-length",   "content-type", "host",
                                                    "keep-alive",        "proxy-connection", "te",           "trailer",
                                                    "transfer-encoding", "upgrade"};
  // Google's rich errors, which are the service's.
  if (key == "grpc-status-details-bin") return false;
  return absl::StartsWith(key, "grpc-") || absl::c_linear_search(kReserved, key);
}

bool IsText(absl::string_view value) {
  if (!value.empty() && (value.front() == ' ' || value.back() == ' ')) return false;
  return std::all_of(value.begin(), value.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

const std::string* CallHead::Find(absl::string_view key) const {
  for (const auto& [name, value] : metadata) {
    if (name == key) return &value;
  }
  return nullptr;
}

bool AddMetadata(absl::string_view key, std::string value, Metadata* metadata) {
  CHECK(IsKey(key)) << "metadata with the key \"" << key << "\"";
  CHECK(!IsReserved(key)) << "metadata with the key " << key << ", which is the transport's";
  if (!absl::EndsWith(key, "-bin") && !IsText(value)) return false;
  size_t bytes = kPairCost + key.size() + value.size();
  for (const auto& [other, text] : *metadata) bytes += kPairCost + other.size() + text.size();
  if (bytes > kMostResponseMetadata) return false;
  metadata->emplace_back(std::string(key), std::move(value));
  return true;
}

}  // namespace barid::edge
