#include "edge/h2/proxy_protocol.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "edge/h2/h2_server.h"
#include "tests/edge/h2/certificates.h"
#include "tests/edge/h2/dial.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/tls_client.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

const std::string kMagic2("\r\n\r\n\0\r\nQUIT\n", 12);

// A header of version 2.
std::string Version2(char command, char family, const std::string& rest) {
  std::string header = kMagic2;
  header += command;
  header += family;
  header += static_cast<char>(rest.size() >> 8);
  header += static_cast<char>(rest.size());
  return header + rest;
}
const std::string kV4 =
    std::string("\xc0\x00\x02\x01\xc0\x00\x02\x02\x12\x67\x1f\x91", 12);  // 192.0.2.1:4711 to 192.0.2.2:8081.
const std::string kV6 = std::string("\x20\x01\x0d\xb8", 4) + std::string(11, '\0') + "\x01" + std::string(16, '\0') +
                        std::string("\x12\x67\x1f\x91", 4);

struct Case {
  std::string name;
  std::string header;
  std::string peer;
  std::string address;
};

TEST(ProxyHeaderTest, NamesThePeer) {
  const std::vector<Case> cases = {
      {"TCP4", "PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n", "ipv4:192.0.2.1:4711", "192.0.2.1"},
      {"TCP6", "PROXY TCP6 2001:db8::1 2001:db8::2 4711 8081\r\n", "ipv6:[2001:db8::1]:4711", "2001:db8::1"},
      {"UNKNOWN", "PROXY UNKNOWN\r\n", "", ""},
      {"UNKNOWN with words", "PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", "", ""},
      {"v2 IPv4", Version2('\x21', '\x11', kV4), "ipv4:192.0.2.1:4711", "192.0.2.1"},
      {"v2 IPv6", Version2('\x21', '\x21', kV6), "ipv6:[2001:db8::1]:4711", "2001:db8::1"},
      {"v2 with more behind the addresses",
       Version2('\x21', '\x11',
                kV4 + std::string("\x03\x00\x04"
                                  "1234",
                                  7)),
       "ipv4:192.0.2.1:4711", "192.0.2.1"},
      {"v2 LOCAL", Version2('\x20', '\x00', ""), "", ""},
      {"v2 LOCAL with addresses", Version2('\x20', '\x11', kV4), "", ""},
      {"v2 of no IP", Version2('\x21', '\x31', std::string(216, 'p')), "", ""},
      {"v2 of no family", Version2('\x21', '\x00', ""), "", ""},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.name);
    // However much of it has come, and whatever follows.
    for (size_t size = 0; size < c.header.size(); ++size) {
      const auto part = ParseProxyHeader(c.header.substr(0, size));
      ASSERT_TRUE(part.ok()) << part.status();
      ASSERT_FALSE(part->has_value()) << size;
    }
    const auto header = ParseProxyHeader(c.header + "PRI * HTTP/2.0");
    ASSERT_TRUE(header.ok()) << header.status();
    ASSERT_TRUE(header->has_value());
    EXPECT_EQ((*header)->bytes, c.header.size());
    EXPECT_EQ((*header)->peer, c.peer);
    EXPECT_EQ((*header)->address, c.address);
  }
}

TEST(ProxyHeaderTest, RefusesWhatIsNone) {
  const std::vector<std::string> wrongs = {
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      "\x16\x03\x01",
      "PROXZ",
      "PROXY TCP4 192.0.2.1 192.0.2.2 4711\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081 9\r\n",
      "PROXY TCP4  192.0.2.1 192.0.2.2 4711 8081\r\n",
      "PROXY TCP4 192.0.2.256 192.0.2.2 4711 8081\r\n",
      "PROXY TCP4 2001:db8::1 192.0.2.2 4711 8081\r\n",
      "PROXY TCP6 192.0.2.1 2001:db8::2 4711 8081\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 65536 8081\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 -1 8081\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 +1 8081\r\n",
      "PROXY TCP4 192.0.2.1 192.0.2.2 4711 \r\n",
      "PROXY UDP4 192.0.2.1 192.0.2.2 4711 8081\r\n",
      "PROXY UNKNOWNS\r\n",
      absl::StrCat("PROXY UNKNOWN ", std::string(200, 'x'), "\r\n"),
      kMagic2 + std::string("\x11\x11\x00\x0c", 4),  // Version 1 in version 2's clothes.
      kMagic2 + std::string("\x22\x11\x00\x0c", 4),  // No such command.
      Version2('\x21', '\x11', kV4.substr(0, 11)),
      Version2('\x21', '\x21', kV6.substr(0, 35)),
      kMagic2 + std::string("\x21\x11\xff\xff", 4),  // 64 KiB.
  };
  for (const std::string& wrong : wrongs) {
    const auto header = ParseProxyHeader(wrong);
    EXPECT_TRUE(absl::IsInvalidArgument(header.status())) << testing::PrintToString(wrong);
  }
}

class ProxyProtocolTest : public testing::Test {
 protected:
  void Serve(H2ServerOptions options = {}) {
    options.address = "127.0.0.1:0";
    options.proxy_protocol = true;
    MethodTable table;
    table.unary["/t/Peer"] = [](std::unique_ptr<UnaryCall> call) { call->Answer(Bytes(call->head().peer)); };
    server_ = *ServeH2(options, std::move(table));
  }
  std::string Peer(FrameClient* client) {
    client->Begin();
    return client->Echo("/t/Peer", "");
  }
  void ServeTls() { Serve({.tls = certificate_.WriteTo(dir_.path(), "server")}); }
  // The peer that a call sees whose TLS handshake follows `header`.
  std::string PeerOverTls(const std::string& header, const ClientTls& wanted = {}) {
    const int fd = Dial(server_->address());
    EXPECT_EQ(send(fd, header.data(), header.size(), MSG_NOSIGNAL), static_cast<ssize_t>(header.size()));
    SSL* const ssl = Handshake(fd, wanted);
    FrameClient client(fd, ssl);
    return ssl == nullptr ? "no handshake" : Peer(&client);
  }

  const TestDir dir_;
  const Certificate certificate_{"balanced"};
  std::unique_ptr<Server> server_;
};

TEST_F(ProxyProtocolTest, CallsSeeThePeerThatTheHeaderNames) {
  Serve();
  FrameClient named(server_->address());
  named.Write("PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n");
  EXPECT_EQ(Peer(&named), "ipv4:192.0.2.1:4711");
  FrameClient second(server_->address());
  second.Write(Version2('\x21', '\x11', kV4));
  EXPECT_EQ(Peer(&second), "ipv4:192.0.2.1:4711");
  FrameClient local(server_->address());  // The balancer looks whether we live.
  local.Write(Version2('\x20', '\x00', ""));
  EXPECT_TRUE(absl::StartsWith(Peer(&local), "ipv4:127.0.0.1:"));
}

TEST_F(ProxyProtocolTest, TheHeaderMayComeInPieces) {
  Serve();
  FrameClient other(server_->address());
  other.Write("PROXY UNKNOWN\r\n");
  (void)Peer(&other);
  FrameClient client(server_->address());
  for (const char byte : std::string("PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n")) {
    client.Write(std::string(1, byte));
    other.Settle();  // So that the server has seen the byte alone.
  }
  EXPECT_EQ(Peer(&client), "ipv4:192.0.2.1:4711");
}

TEST_F(ProxyProtocolTest, WhatBeginsOtherwiseIsClosed) {
  Serve({.limits = {.handshake_timeout = absl::Milliseconds(100)}});
  FrameClient direct(server_->address());
  direct.Write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
  EXPECT_TRUE(direct.ReadToEnd());
  FrameClient slow(server_->address());
  slow.Write("PROXY TCP4 192.");
  EXPECT_TRUE(slow.ReadToEnd());
  FrameClient gone(server_->address());
  gone.HalfClose();
  EXPECT_TRUE(gone.ReadToEnd());
}

TEST_F(ProxyProtocolTest, TlsBeginsBehindTheHeader) {
  ServeTls();
  const std::string v1 = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n";
  const std::string v2 = Version2('\x21', '\x21', kV6);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_EQ(PeerOverTls(v1, {.min_version = version, .max_version = version}), "ipv4:192.0.2.1:4711");
    EXPECT_EQ(PeerOverTls(v2, {.min_version = version, .max_version = version}), "ipv6:[2001:db8::1]:4711");
  }
  EXPECT_TRUE(absl::StartsWith(PeerOverTls("PROXY UNKNOWN\r\n"), "ipv4:127.0.0.1:"));
  // And cleartext on the same port.
  FrameClient cleartext(server_->address());
  cleartext.Write(v2);
  EXPECT_EQ(Peer(&cleartext), "ipv6:[2001:db8::1]:4711");
}

TEST_F(ProxyProtocolTest, TlsWithoutAHeaderIsClosed) {
  ServeTls();
  EXPECT_EQ(PeerOverTls(""), "no handshake");
}

TEST_F(ProxyProtocolTest, AHeaderInsideTlsIsNone) {
  ServeTls();
  const int fd = Dial(server_->address());
  const std::string header = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n";
  ASSERT_EQ(send(fd, header.data(), header.size(), MSG_NOSIGNAL), static_cast<ssize_t>(header.size()));
  FrameClient client(fd, Handshake(fd));
  client.Write("PROXY TCP4 192.0.2.9 192.0.2.2 4711 8081\r\n");
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(ProxyProtocolTest, GarbageBehindTheHeaderIsClosed) {
  ServeTls();
  const std::string v1 = "PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n";
  const std::string v2 = Version2('\x21', '\x11', kV4);
  for (const std::string& header : {v1, v2}) {
    for (const std::string& garbage : {std::string("hello, is this HTTP/2?\r\n"), std::string(100, '\0'),
                                       std::string("\x16\x03\x01\x00\x05hello", 10), header}) {
      FrameClient client(server_->address());
      client.Write(header + garbage);
      EXPECT_TRUE(client.ReadToEnd()) << testing::PrintToString(header + garbage);
      EXPECT_TRUE(client.answers().empty());
    }
  }
  EXPECT_EQ(PeerOverTls(v1), "ipv4:192.0.2.1:4711");
}

TEST_F(ProxyProtocolTest, LimitsByAddressCountThePeerThatTheHeaderNames) {
  Serve({.limits = {.max_connections_per_address = 1}});
  FrameClient first(server_->address());
  first.Write("PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n");
  EXPECT_EQ(Peer(&first), "ipv4:192.0.2.1:4711");
  FrameClient same(server_->address());
  same.Write("PROXY TCP4 192.0.2.1 192.0.2.2 4712 8081\r\n");
  EXPECT_TRUE(same.ReadToEnd());
  FrameClient another(server_->address());
  another.Write("PROXY TCP4 192.0.2.9 192.0.2.2 4711 8081\r\n");
  EXPECT_EQ(Peer(&another), "ipv4:192.0.2.9:4711");
}

TEST_F(ProxyProtocolTest, ThoseOnTheirWayCountAsConnections) {
  Serve({.threads = 2, .limits = {.max_connections = 2}});
  FrameClient first(server_->address());
  first.Write("PROXY TCP4 192.0.2.1 192.0.2.2 4711 8081\r\n");
  EXPECT_EQ(Peer(&first), "ipv4:192.0.2.1:4711");
  FrameClient second(server_->address());
  second.Write("PROXY TCP4 192.");
  // Whichever of the two comes to be accepted first has the last place.
  FrameClient third(server_->address());
  third.Write("PROXY TCP4 192.");
  pollfd ended[] = {{second.fd(), POLLRDHUP, 0}, {third.fd(), POLLRDHUP, 0}};
  EXPECT_EQ(poll(ended, 2, 10'000), 1);
}

TEST_F(ProxyProtocolTest, ThoseOnTheirWayDoNotHoldUpTheEnd) {
  Serve();
  FrameClient client(server_->address());
  client.Write("PROXY TCP4 192.");
  const absl::Time begin = absl::Now();
  server_->Drain(absl::Seconds(60));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  EXPECT_TRUE(client.ReadToEnd());
}

}  // namespace
}  // namespace barid::edge::h2
