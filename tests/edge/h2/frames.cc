#include "tests/edge/h2/frames.h"

#include "absl/strings/str_cat.h"

namespace barid::edge::h2 {
namespace {

// HPACK 5.1, with a prefix of 7 bits.
std::string HpackText(absl::string_view text) {
  std::string bytes;
  size_t left = text.size();
  if (left < 127) {
    bytes.push_back(static_cast<char>(left));
  } else {
    bytes.push_back(127);
    for (left -= 127; left >= 128; left >>= 7) bytes.push_back(static_cast<char>(left % 128 + 128));
    bytes.push_back(static_cast<char>(left));
  }
  return absl::StrCat(bytes, text);
}

}  // namespace

std::string Number(uint64_t value, int bytes) {
  std::string text;
  for (int i = bytes - 1; i >= 0; --i) text.push_back(static_cast<char>(value >> 8 * i));
  return text;
}

std::string FrameBytes(uint8_t type, uint8_t flags, uint32_t stream, absl::string_view payload) {
  return absl::StrCat(Number(payload.size(), 3), Number(type, 1), Number(flags, 1), Number(stream, 4), payload);
}

std::string SettingBytes(uint16_t id, uint32_t value) { return Number(id, 2) + Number(value, 4); }

std::string WindowUpdate(uint32_t stream, uint32_t increment) {
  return FrameBytes(NGHTTP2_WINDOW_UPDATE, 0, stream, Number(increment, 4));
}

std::string Reset(uint32_t stream, uint32_t code) { return FrameBytes(NGHTTP2_RST_STREAM, 0, stream, Number(code, 4)); }

std::string Ping(absl::string_view eight_bytes) { return FrameBytes(NGHTTP2_PING, 0, 0, eight_bytes); }

std::string HeaderBlock(const Headers& headers) {
  std::string block;
  for (const auto& [name, value] : headers) absl::StrAppend(&block, Number(0, 1), HpackText(name), HpackText(value));
  return block;
}

std::string LargeEntry() {
  return std::string("\x40\x01x", 3) + "\x7f" + std::string("\xa1\x1e", 2) + std::string(4000, 'v');
}

Headers RequestHeaders(const std::string& path, Headers more) {
  Headers headers = {{":method", "POST"}, {":scheme", "http"}, {":path", path},
                     {":authority", "t"}, {"te", "trailers"},  {"content-type", "application/grpc"}};
  headers.insert(headers.end(), more.begin(), more.end());
  return headers;
}

std::string Message(absl::string_view text) { return absl::StrCat(Number(0, 1), Number(text.size(), 4), text); }

std::string Request(uint32_t stream, const std::string& path, absl::string_view text) {
  return FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, HeaderBlock(RequestHeaders(path))) +
         FrameBytes(NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, stream, Message(text));
}

}  // namespace barid::edge::h2
