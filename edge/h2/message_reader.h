#ifndef BARID_EDGE_H2_MESSAGE_READER_H_
#define BARID_EDGE_H2_MESSAGE_READER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/bytes.h"

namespace barid::edge::h2 {

// Puts messages together from the bytes of DATA frames, however they are cut:
//
//   | compressed? u8 | length u32 big-endian | message |
//
// A message that is too large is refused when its length is known, before its bytes are kept.
class MessageReader {
 public:
  explicit MessageReader(size_t max_message_bytes) : max_message_bytes_(max_message_bytes) {}

  // Takes bytes off the front of `*data`, up to the end of one message at most. True if a message is whole: Take it
  // before the next call. An error is the gRPC status that the call ends with; nothing may be read after it.
  absl::StatusOr<bool> Read(absl::string_view* data);

  // The whole message.
  Bytes Take();

  // Whether it stands between two messages.
  bool is_empty() const { return prefix_size_ == 0; }

  // For another stream of messages.
  void Reset();

 private:
  static constexpr size_t kPrefixBytes = 5;

  absl::Status BeginMessage();

  const size_t max_message_bytes_;
  std::array<char, kPrefixBytes> prefix_ = {};
  size_t prefix_size_ = 0;
  size_t length_ = 0;
  std::string message_;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_MESSAGE_READER_H_
