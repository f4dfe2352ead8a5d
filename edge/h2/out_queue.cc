#include "edge/h2/out_queue.h"

#include <algorithm>
#include <utility>

namespace barid::edge::h2 {
namespace {

constexpr size_t kChunkBytes = size_t{16} << 10;
constexpr size_t kMostSpares = 64;

}  // namespace

std::string ChunkPool::Take() {
  if (spares_.empty()) {
    std::string chunk;
    chunk.reserve(kChunkBytes);
    return chunk;
  }
  std::string chunk = std::move(spares_.back());
  spares_.pop_back();
  return chunk;
}

void ChunkPool::Return(std::string chunk) {
  if (spares_.size() >= kMostSpares) return;
  chunk.clear();
  spares_.push_back(std::move(chunk));
}

OutQueue::~OutQueue() {
  for (Piece& piece : pieces_) {
    if (piece.reference.empty()) pool_->Return(std::move(piece.chunk));
  }
}

void OutQueue::Append(absl::string_view bytes) {
  size_ += bytes.size();
  while (!bytes.empty()) {
    if (pieces_.empty() || !pieces_.back().reference.empty() || pieces_.back().chunk.size() == kChunkBytes) {
      pieces_.emplace_back().chunk = pool_->Take();
    }
    std::string& chunk = pieces_.back().chunk;
    const size_t size = std::min(bytes.size(), kChunkBytes - chunk.size());
    chunk.append(bytes.data(), size);
    bytes.remove_prefix(size);
  }
}

void OutQueue::Append(const Buffer& bytes) {
  if (bytes.size() < kByReference) return Append(bytes.view());
  size_ += bytes.size();
  pieces_.emplace_back().reference = bytes;
}

int OutQueue::Peek(iovec* parts, int count) const {
  int filled = 0;
  size_t begin = first_begin_;
  for (auto it = pieces_.begin(); it != pieces_.end() && filled < count; ++it) {
    const absl::string_view view = it->view().substr(std::exchange(begin, 0));
    parts[filled].iov_base = const_cast<char*>(view.data());
    parts[filled].iov_len = view.size();
    ++filled;
  }
  return filled;
}

void OutQueue::Pop(size_t bytes) {
  size_ -= bytes;
  written_ += bytes;
  while (bytes > 0) {
    Piece& first = pieces_.front();
    const size_t left = first.view().size() - first_begin_;
    if (bytes < left) {
      first_begin_ += bytes;
      return;
    }
    bytes -= left;
    first_begin_ = 0;
    if (first.reference.empty()) pool_->Return(std::move(first.chunk));
    pieces_.pop_front();
  }
}

}  // namespace barid::edge::h2
