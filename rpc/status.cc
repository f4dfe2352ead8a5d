#include "rpc/status.h"

#include <string>

#include "absl/strings/cord.h"
#include "base/coding.h"

namespace barid::rpc {
namespace {

// google.rpc.Status {1: code, 2: message, 3: repeated Any details} and Any {1: type_url, 2: value}, by hand: Debian
// ships no code for the former. Tags are (field << 3 | wire type).
constexpr uint64_t kCodeTag = 1 << 3;  // A varint; the others are length-prefixed.
constexpr uint64_t kMessageTag = (2 << 3) | 2;
constexpr uint64_t kDetailTag = (3 << 3) | 2;
constexpr uint64_t kUrlTag = (1 << 3) | 2;
constexpr uint64_t kValueTag = (2 << 3) | 2;

void PutField(uint64_t tag, absl::string_view value, std::string* out) {
  PutVarint(out, tag);
  PutLengthPrefixed(out, value);
}

std::string EncodeDetails(const absl::Status& status) {
  std::string out;
  PutVarint(&out, kCodeTag);
  PutVarint(&out, static_cast<uint64_t>(status.code()));
  PutField(kMessageTag, status.message(), &out);
  status.ForEachPayload([&out](absl::string_view url, const absl::Cord& payload) {
    std::string detail;
    PutField(kUrlTag, url, &detail);
    PutField(kValueTag, std::string(payload), &detail);
    PutField(kDetailTag, detail, &out);
  });
  return out;
}

void DecodeDetail(absl::string_view detail, absl::Status* status) {
  absl::string_view url, value;
  uint64_t tag = 0;
  while (GetVarint(&detail, &tag)) {
    if (tag != kUrlTag && tag != kValueTag) return;
    if (!GetLengthPrefixed(&detail, tag == kUrlTag ? &url : &value)) return;
  }
  if (!url.empty()) status->SetPayload(url, absl::Cord(value));
}

void DecodeDetails(absl::string_view encoded, absl::Status* status) {
  uint64_t tag = 0;
  while (GetVarint(&encoded, &tag)) {
    uint64_t code = 0;
    absl::string_view value;
    if (tag == kCodeTag) {
      if (!GetVarint(&encoded, &code)) return;
      continue;
    }
    if (!GetLengthPrefixed(&encoded, &value)) return;
    if (tag == kDetailTag) DecodeDetail(value, status);
  }
}

}  // namespace

grpc::Status ToGrpcStatus(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  bool has_payload = false;
  status.ForEachPayload([&has_payload](absl::string_view, const absl::Cord&) { has_payload = true; });
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()),
                      has_payload ? EncodeDetails(status) : std::string());
}

absl::Status FromGrpcStatus(const grpc::Status& status) {
  if (status.ok()) return absl::OkStatus();
  absl::Status result(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
  DecodeDetails(status.error_details(), &result);
  return result;
}

}  // namespace barid::rpc
