#ifndef BARID_EDGE_H2_OUT_QUEUE_H_
#define BARID_EDGE_H2_OUT_QUEUE_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/bytes.h"

namespace barid::edge::h2 {

// Memory for bytes on their way, kept for the next. So a connection that has nothing to send has no buffer. One thread.
class ChunkPool {
 public:
  std::string Take();
  void Return(std::string chunk);

 private:
  std::vector<std::string> spares_;
};

// What a connection has to write. Small things are copied together, large ones are sent from where they are.
class OutQueue {
 public:
  // Parts of this size and more are referred to; a smaller one is cheaper to copy than to keep.
  static constexpr size_t kByReference = 2048;

  explicit OutQueue(ChunkPool* pool) : pool_(pool) {}
  ~OutQueue();
  OutQueue(const OutQueue&) = delete;
  OutQueue& operator=(const OutQueue&) = delete;

  void Append(absl::string_view bytes);
  void Append(const Buffer& bytes);

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  // Of all that was ever appended, and written.
  uint64_t appended() const { return written_ + size_; }
  uint64_t written() const { return written_; }

  // The first parts, at most `count`; how many there are.
  int Peek(iovec* parts, int count) const;
  // The first `bytes` are written.
  void Pop(size_t bytes);

 private:
  // Either a chunk or a reference.
  struct Piece {
    std::string chunk;
    Buffer reference;
    absl::string_view view() const { return reference.empty() ? absl::string_view(chunk) : reference.view(); }
  };

  ChunkPool* const pool_;
  std::deque<Piece> pieces_;
  size_t first_begin_ = 0;  // Of the first piece, what is written.
  size_t size_ = 0;
  uint64_t written_ = 0;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_OUT_QUEUE_H_
