#ifndef BARID_TESTS_EDGE_H2_FRAMES_H_
#define BARID_TESTS_EDGE_H2_FRAMES_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace barid::edge::h2 {

using Headers = std::vector<std::pair<std::string, std::string>>;

// Bytes of HTTP/2, right or wrong. Types and flags are libnghttp2's: NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM and so on.
std::string Number(uint64_t value, int bytes);  // Big-endian.
std::string FrameBytes(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload);
std::string SettingBytes(uint16_t id, uint32_t value);
std::string WindowUpdate(uint32_t stream, uint32_t increment);
std::string Reset(uint32_t stream, uint32_t code);
std::string Ping(absl::string_view eight_bytes);
// HPACK: literals without indexing, whatever the names.
std::string HeaderBlock(const Headers& headers);
// Puts a header of 4,000 bytes into the table, where each kLargeEntryAgain names it.
std::string LargeEntry();
inline constexpr char kLargeEntryAgain = '\xbe';
// As the gRPC clients have it; `more` follows.
Headers RequestHeaders(const std::string& path, Headers more = {});
// With a gRPC prefix that says what is true.
std::string Message(absl::string_view text);
// HEADERS and DATA of a whole unary call.
std::string Request(uint32_t stream, const std::string& path, absl::string_view text);

inline constexpr absl::string_view kMagic = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_EDGE_H2_FRAMES_H_
