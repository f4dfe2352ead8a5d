#include "edge/h2/message_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"

namespace barid::edge::h2 {
namespace {

// A length is only a promise, and only bytes that have come are counted: so many times as much is reserved for it.
constexpr size_t kMostReserved = 4;

}  // namespace

absl::StatusOr<bool> MessageReader::Read(absl::string_view* data) {
  if (prefix_size_ < kPrefixBytes) {
    const size_t size = std::min(kPrefixBytes - prefix_size_, data->size());
    std::copy_n(data->begin(), size, prefix_.begin() + prefix_size_);
    prefix_size_ += size;
    data->remove_prefix(size);
    if (prefix_size_ < kPrefixBytes) return false;
    RETURN_IF_ERROR(BeginMessage());
    message_.reserve(std::min(length_, kMostReserved * data->size()));
  }
  const size_t size = std::min(length_ - message_.size(), data->size());
  // The edge's one copy of a request: it outlives the buffer that the socket is read into, which all connections of the
  // loop share.
  message_.append(data->data(), size);
  data->remove_prefix(size);
  return message_.size() == length_;
}

absl::Status MessageReader::BeginMessage() {
  if (prefix_[0] != 0) {
    // grpc-encoding other than identity was refused with the headers.
    return absl::InternalError("a message is marked as compressed, but the call names no grpc-encoding");
  }
  length_ = 0;
  for (size_t i = 1; i < kPrefixBytes; ++i) length_ = length_ << 8 | static_cast<unsigned char>(prefix_[i]);
  if (length_ > max_message_bytes_) {
    return absl::ResourceExhaustedError(
        absl::StrCat("received message larger than max (", length_, " vs. ", max_message_bytes_, ")"));
  }
  return absl::OkStatus();
}

Bytes MessageReader::Take() {
  prefix_size_ = 0;
  return Bytes(std::exchange(message_, std::string()));
}

void MessageReader::Reset() {
  prefix_size_ = 0;
  message_ = std::string();
}

}  // namespace barid::edge::h2
