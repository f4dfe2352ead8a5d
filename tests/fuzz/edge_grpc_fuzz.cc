// What gRPC puts into HTTP/2: messages, cut as the input says, against reading them in one piece; timeouts, binary
// headers and statuses, against saying them again.
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "edge/h2/encodings.h"
#include "edge/h2/message_reader.h"
#include "tests/edge/h2/frames.h"
#include "tests/fuzz/fuzz.h"

namespace barid::edge::h2 {
namespace {

constexpr size_t kMaxMessageBytes = 300;

struct Read {
  std::vector<std::string> messages;
  absl::Status error;
  bool is_empty = true;

  bool operator==(const Read&) const = default;
};

Read ReadInPieces(absl::string_view bytes, absl::string_view cuts) {
  Read read;
  MessageReader reader(kMaxMessageBytes);
  for (size_t piece = 0; !bytes.empty(); ++piece) {
    const size_t size = cuts.empty() ? bytes.size() : 1 + static_cast<uint8_t>(cuts[piece % cuts.size()]) % 37;
    absl::string_view left = bytes.substr(0, size);
    bytes.remove_prefix(left.size());
    while (!left.empty()) {
      const absl::StatusOr<bool> whole = reader.Read(&left);
      if (!whole.ok()) {
        read.error = whole.status();
        return read;
      }
      if (*whole) {
        CHECK(!reader.is_empty());
        read.messages.push_back(reader.Take().ToString());
        CHECK(read.messages.back().size() <= kMaxMessageBytes);
      } else {
        CHECK(left.empty());
      }
    }
  }
  read.is_empty = reader.is_empty();
  return read;
}

void FuzzMessages(absl::string_view bytes) {
  const Read whole = ReadInPieces(bytes, "");
  CHECK(ReadInPieces(bytes, bytes) == whole);
  CHECK(ReadInPieces(bytes, absl::string_view("\0", 1)) == whole);
  if (!whole.error.ok()) return;
  // What was read is what was there.
  std::string again;
  for (const std::string& message : whole.messages) again += Message(message);
  CHECK(absl::StartsWith(bytes, again));
  CHECK_EQ(whole.is_empty, again.size() == bytes.size());
}

void FuzzTexts(absl::string_view text) {
  if (const std::optional<absl::Duration> timeout = ParseTimeout(text)) {
    CHECK(*timeout >= absl::ZeroDuration());
    const absl::Time now = absl::FromUnixSeconds(1'700'000'000);
    CHECK(DeadlineAfter(now, *timeout) >= now);
  }
  if (const std::optional<std::string> decoded = DecodeBinaryHeader(text)) {
    CHECK(DecodeBinaryHeader(absl::Base64Escape(*decoded)) == decoded);
  }
  CHECK(DecodeBinaryHeader(absl::Base64Escape(text)) == std::string(text));
  CHECK(DecodeBinaryHeader(EncodeBinaryHeader(text)) == std::string(text));
  const std::string encoded = PercentEncode(text);
  std::string decoded;
  for (size_t i = 0; i < encoded.size(); ++i) {
    CHECK(encoded[i] >= ' ' && encoded[i] <= '~');
    if (encoded[i] != '%') {
      decoded.push_back(encoded[i]);
      continue;
    }
    CHECK(i + 2 < encoded.size());
    decoded += absl::HexStringToBytes(absl::string_view(encoded).substr(i + 1, 2));
    i += 2;
  }
  CHECK(decoded == text);
}

}  // namespace
}  // namespace barid::edge::h2

std::vector<std::string> FuzzSeeds() {
  using namespace barid::edge::h2;
  return {Message("a") + Message("") + Message(std::string(300, 'x')),
          Message(std::string(301, 'x')),
          Message("abc").substr(0, 6),
          "10S",
          "99999999H",
          "1n",
          "AAECAw==",
          "AAECAw",
          "100% of \xc3\xa9\n"};
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  barid::edge::h2::FuzzMessages(bytes);
  barid::edge::h2::FuzzTexts(bytes);
  return 0;
}
