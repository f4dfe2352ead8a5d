#include "edge/grpc/message.h"

#include <grpc/byte_buffer_reader.h>

#include <cstring>
#include <memory>

#include "absl/container/inlined_vector.h"
#include "base/log.h"

namespace barid::edge {
namespace {

struct ReceivedMessage {
  explicit ReceivedMessage(grpc_byte_buffer* b) : buffer(b) {}
  ~ReceivedMessage() { grpc_byte_buffer_destroy(buffer); }
  ReceivedMessage(const ReceivedMessage&) = delete;
  ReceivedMessage& operator=(const ReceivedMessage&) = delete;

  grpc_byte_buffer* const buffer;
};

// One slice for parts[first, end), copied together.
grpc_slice CopyTogether(const Bytes& bytes, size_t first, size_t end, size_t size) {
  grpc_slice slice = grpc_slice_malloc(size);
  uint8_t* to = GRPC_SLICE_START_PTR(slice);
  for (size_t i = first; i < end; ++i) {
    const Buffer& part = bytes.parts()[i];
    std::memcpy(to, part.data(), part.size());
    to += part.size();
  }
  return slice;
}

grpc_slice Share(const Buffer& part) {
  return grpc_slice_new_with_user_data(
      const_cast<char*>(part.data()), part.size(), [](void* share) { delete static_cast<Buffer*>(share); },
      new Buffer(part));
}

}  // namespace

Bytes FromByteBuffer(grpc_byte_buffer* buffer) {
  auto owner = std::make_shared<ReceivedMessage>(buffer);
  grpc_byte_buffer_reader reader;
  // grpc-core has decompressed what was not plain, so this always succeeds, and what it yields lives in `buffer`.
  CHECK(grpc_byte_buffer_reader_init(&reader, buffer) != 0);
  Bytes bytes;
  grpc_slice* slice = nullptr;
  while (grpc_byte_buffer_reader_peek(&reader, &slice) != 0) bytes.Append(Buffer(owner, SliceView(*slice)));
  grpc_byte_buffer_reader_destroy(&reader);
  return bytes;
}

grpc_byte_buffer* ToByteBuffer(const Bytes& bytes) {
  absl::InlinedVector<grpc_slice, 4> slices;
  const auto& parts = bytes.parts();
  for (size_t i = 0; i < parts.size();) {
    if (parts[i].size() >= kSendByReference) {
      slices.push_back(Share(parts[i++]));
      continue;
    }
    const size_t first = i;
    size_t size = 0;
    while (i < parts.size() && parts[i].size() < kSendByReference) size += parts[i++].size();
    slices.push_back(CopyTogether(bytes, first, i, size));
  }
  grpc_byte_buffer* buffer = grpc_raw_byte_buffer_create(slices.data(), slices.size());
  for (const grpc_slice& slice : slices) grpc_slice_unref(slice);
  return buffer;
}

absl::string_view SliceView(const grpc_slice& slice) {
  return absl::string_view(reinterpret_cast<const char*>(GRPC_SLICE_START_PTR(slice)), GRPC_SLICE_LENGTH(slice));
}

}  // namespace barid::edge
