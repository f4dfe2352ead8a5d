#include "edge/h2/proxy_protocol.h"

#include <arpa/inet.h>

#include <cstdint>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace barid::edge::h2 {
namespace {

constexpr absl::string_view kVersion1 = "PROXY ";
constexpr size_t kMaxVersion1Bytes = 107;  // The longest line, CRLF included.

constexpr absl::string_view kVersion2("\r\n\r\n\0\r\nQUIT\n", 12);
constexpr size_t kVersion2Bytes = 16;  // Before the addresses.
constexpr uint8_t kLocal = 0x20;       // Version and command.
constexpr uint8_t kForwarded = 0x21;
constexpr uint8_t kTcpOverIpv4 = 0x11;  // Family and transport.
constexpr uint8_t kTcpOverIpv6 = 0x21;

absl::Status Wrong(absl::string_view what, absl::string_view bytes) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": \"", absl::CHexEscape(bytes.substr(0, 120)), "\""));
}

void SetPeer(ProxyHeader* header, int family, const void* address, uint16_t port) {
  char text[INET6_ADDRSTRLEN] = {};
  inet_ntop(family, address, text, sizeof(text));
  header->address = text;
  header->peer = family == AF_INET ? absl::StrCat("ipv4:", text, ":", port) : absl::StrCat("ipv6:[", text, "]:", port);
}

bool ParsePort(absl::string_view text, uint16_t* port) {
  uint32_t number = 0;
  if (text.empty() || text.size() > 5 || text[0] < '0' || text[0] > '9' || !absl::SimpleAtoi(text, &number))
    return false;
  *port = static_cast<uint16_t>(number);
  return number <= 65535;
}

// PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n
absl::StatusOr<std::optional<ProxyHeader>> ParseVersion1(absl::string_view bytes) {
  const size_t end = bytes.substr(0, kMaxVersion1Bytes).find("\r\n");
  if (end == absl::string_view::npos) {
    if (bytes.size() < kMaxVersion1Bytes) return std::nullopt;
    return Wrong("a PROXY line does not end", bytes);
  }
  ProxyHeader header;
  header.bytes = end + 2;
  const absl::string_view line = bytes.substr(0, end);
  if (line == "PROXY UNKNOWN" || absl::StartsWith(line, "PROXY UNKNOWN ")) return header;
  const std::vector<absl::string_view> words = absl::StrSplit(line, ' ');
  uint16_t port = 0;
  uint16_t our_port = 0;
  if (words.size() != 6 || (words[1] != "TCP4" && words[1] != "TCP6") || !ParsePort(words[4], &port) ||
      !ParsePort(words[5], &our_port)) {
    return Wrong("a PROXY line is not \"PROXY TCP4|TCP6 ADDRESS ADDRESS PORT PORT\"", line);
  }
  const int family = words[1] == "TCP4" ? AF_INET : AF_INET6;
  in6_addr address = {};  // Room for either.
  in6_addr ours = {};
  if (inet_pton(family, std::string(words[2]).c_str(), &address) != 1 ||
      inet_pton(family, std::string(words[3]).c_str(), &ours) != 1) {
    return Wrong("a PROXY line has an address that is none", line);
  }
  SetPeer(&header, family, &address, port);
  return header;
}

absl::StatusOr<std::optional<ProxyHeader>> ParseVersion2(absl::string_view bytes) {
  if (bytes.size() < kVersion2Bytes) return std::nullopt;
  const auto at = [&](size_t i) { return static_cast<uint8_t>(bytes[i]); };
  const auto number_at = [&](size_t i) { return static_cast<uint16_t>(at(i) << 8 | at(i + 1)); };
  const uint8_t command = at(12);
  const uint8_t family = at(13);
  const size_t size = number_at(14);
  if (command != kLocal && command != kForwarded)
    return Wrong("a PROXY header has an unknown version or command", bytes);
  ProxyHeader header;
  header.bytes = kVersion2Bytes + size;
  if (header.bytes > kMaxProxyHeaderBytes) {
    return Wrong(
        absl::StrCat("a PROXY header has ", header.bytes, " bytes, at most ", kMaxProxyHeaderBytes, " are taken"),
        bytes);
  }
  const bool is_v4 = family == kTcpOverIpv4;
  const bool has_peer = command == kForwarded && (is_v4 || family == kTcpOverIpv6);
  // Two addresses, then two ports.
  const size_t address_bytes = is_v4 ? sizeof(in_addr) : sizeof(in6_addr);
  if (has_peer && size < 2 * address_bytes + 4) return Wrong("a PROXY header is too short for its addresses", bytes);
  if (bytes.size() < header.bytes) return std::nullopt;
  if (has_peer) {
    SetPeer(&header, is_v4 ? AF_INET : AF_INET6, bytes.data() + kVersion2Bytes,
            number_at(kVersion2Bytes + 2 * address_bytes));
  }
  return header;
}

}  // namespace

absl::StatusOr<std::optional<ProxyHeader>> ParseProxyHeader(absl::string_view bytes) {
  for (const absl::string_view magic : {kVersion1, kVersion2}) {
    if (absl::StartsWith(bytes, magic)) return magic == kVersion1 ? ParseVersion1(bytes) : ParseVersion2(bytes);
    if (absl::StartsWith(magic, bytes)) return std::nullopt;
  }
  return Wrong("a connection does not begin with a PROXY header", bytes);
}

}  // namespace barid::edge::h2
