#ifndef BARID_BASE_BYTES_H_
#define BARID_BASE_BYTES_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/inlined_vector.h"
#include "absl/strings/string_view.h"

namespace barid {

// A run of immutable bytes with a share in whatever holds them. Copies share; nothing copies the bytes. Any thread.
class Buffer {
 public:
  Buffer() = default;
  // Takes `text`.
  explicit Buffer(std::string text) {
    auto owned = std::make_shared<const std::string>(std::move(text));
    view_ = *owned;
    owner_ = std::move(owned);
  }
  // `view` lives as long as `owner`.
  Buffer(std::shared_ptr<const void> owner, absl::string_view view) : owner_(std::move(owner)), view_(view) {}

  absl::string_view view() const { return view_; }
  const char* data() const { return view_.data(); }
  size_t size() const { return view_.size(); }
  bool empty() const { return view_.empty(); }

  // A part of it, sharing the owner.
  Buffer Slice(size_t pos, size_t size) const { return Buffer(owner_, view_.substr(pos, size)); }

 private:
  std::shared_ptr<const void> owner_;
  absl::string_view view_;
};

// A chain of buffers read as one run of bytes: a message put together from parts without copying them.
class Bytes {
 public:
  Bytes() = default;
  explicit Bytes(Buffer buffer) { Append(std::move(buffer)); }
  explicit Bytes(std::string text) : Bytes(Buffer(std::move(text))) {}

  void Append(Buffer buffer) {
    if (buffer.empty()) return;
    size_ += buffer.size();
    parts_.push_back(std::move(buffer));
  }
  void Append(const Bytes& other) {
    for (const Buffer& part : other.parts_) Append(part);
  }

  size_t size() const { return size_; }
  bool empty() const { return size_ == 0; }
  const absl::InlinedVector<Buffer, 3>& parts() const { return parts_; }

  // All of it in one piece; copies unless there is one part.
  Buffer Flatten() const {
    if (parts_.empty()) return Buffer();
    if (parts_.size() == 1) return parts_[0];
    return Buffer(ToString());
  }
  std::string ToString() const {
    std::string out;
    out.reserve(size_);
    for (const Buffer& part : parts_) out.append(part.data(), part.size());
    return out;
  }

 private:
  absl::InlinedVector<Buffer, 3> parts_;
  size_t size_ = 0;
};

}  // namespace barid

#endif  // BARID_BASE_BYTES_H_
