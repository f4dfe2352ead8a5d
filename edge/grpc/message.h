#ifndef BARID_EDGE_GRPC_MESSAGE_H_
#define BARID_EDGE_GRPC_MESSAGE_H_

#include <grpc/byte_buffer.h>
#include <grpc/slice.h>

#include "absl/strings/string_view.h"
#include "base/bytes.h"

// Between grpc-core's byte buffers and ours, without copying what is large.
namespace barid::edge {

// Parts of this size and more are sent from where they are; smaller ones are copied together, which is cheaper than a
// reference each.
inline constexpr size_t kSendByReference = 2048;

// Takes `buffer`. The bytes stay in the memory that the socket was read into, which is shared by what arrived together:
// whoever keeps a small part for long should copy it.
Bytes FromByteBuffer(grpc_byte_buffer* buffer);

// The caller owns the result. It shares the large parts of `bytes`.
grpc_byte_buffer* ToByteBuffer(const Bytes& bytes);

absl::string_view SliceView(const grpc_slice& slice);

}  // namespace barid::edge

#endif  // BARID_EDGE_GRPC_MESSAGE_H_
