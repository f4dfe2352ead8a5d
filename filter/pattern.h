#ifndef BARID_FILTER_PATTERN_H_
#define BARID_FILTER_PATTERN_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/strings/string_view.h"

namespace barid::filter {

// What LIKE and CONTAINS look for: bytes, with "any run of characters" and "any character" between them. A character is
// a UTF-8 lead byte with what continues it; bytes that are no UTF-8 do no harm.
class Pattern {
 public:
  void AddText(absl::string_view text);
  void AddAnyCharacter() { tokens_.push_back(kAnyCharacter); }
  void AddAnyRun() {
    if (tokens_.empty() || tokens_.back() != kAnyRun) tokens_.push_back(kAnyRun);
  }

  // Whether it is all of `text`. Takes from `steps` what the search costs; nothing if they do not suffice.
  std::optional<bool> Matches(absl::string_view text, int64_t* steps) const;

  size_t memory_bytes() const { return tokens_.capacity() * sizeof(uint16_t); }

 private:
  static constexpr uint16_t kAnyCharacter = 256;
  static constexpr uint16_t kAnyRun = 257;

  std::vector<uint16_t> tokens_;
};

// The length of the character that `text`, which is not empty, begins with.
size_t CharacterBytes(absl::string_view text);

}  // namespace barid::filter

#endif  // BARID_FILTER_PATTERN_H_
