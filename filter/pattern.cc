#include "filter/pattern.h"

#include <cstring>

namespace barid::filter {

size_t CharacterBytes(absl::string_view text) {
  size_t bytes = 1;
  while (bytes < text.size() && (static_cast<uint8_t>(text[bytes]) & 0xc0) == 0x80) ++bytes;
  return bytes;
}

void Pattern::AddText(absl::string_view text) {
  for (const char c : text) tokens_.push_back(static_cast<uint8_t>(c));
}

// What follows the last run that was met is tried at one place after the other; what came before it never needs to be
// tried again. Quadratic at worst, hence the steps.
std::optional<bool> Pattern::Matches(absl::string_view text, int64_t* steps) const {
  constexpr size_t kNone = SIZE_MAX;
  size_t at = 0;
  size_t token = 0;
  size_t behind_run = kNone;  // The token behind the last run,
  size_t tried = 0;           // and where in the text it is being tried.
  while (at < text.size()) {
    if (--*steps < 0) return std::nullopt;
    if (token < tokens_.size()) {
      const uint16_t wanted = tokens_[token];
      if (wanted == kAnyRun) {
        if (++token == tokens_.size()) return true;
        behind_run = token;
        tried = at;
        continue;
      }
      if (wanted == kAnyCharacter) {
        at += CharacterBytes(text.substr(at));
        ++token;
        continue;
      }
      if (wanted == static_cast<uint8_t>(text[at])) {
        ++at;
        ++token;
        continue;
      }
    }
    if (behind_run == kNone) return false;
    tried += CharacterBytes(text.substr(tried));
    if (tokens_[behind_run] < kAnyCharacter && tried < text.size()) {
      const void* const next = std::memchr(text.data() + tried, tokens_[behind_run], text.size() - tried);
      if (next == nullptr) return false;
      const size_t skipped = static_cast<size_t>(static_cast<const char*>(next) - text.data()) - tried;
      *steps -= static_cast<int64_t>(skipped / 16);
      tried += skipped;
    }
    at = tried;
    token = behind_run;
  }
  while (token < tokens_.size() && tokens_[token] == kAnyRun) ++token;
  return token == tokens_.size();
}

}  // namespace barid::filter
