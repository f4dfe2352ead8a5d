// TLS and cleartext on one port, and the keys behind it.
#include "edge/h2/tls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "edge/h2/h2_server.h"
#include "edge/h2/self_signed.h"
#include "tests/base/status_matchers.h"
#include "tests/edge/h2/certificates.h"
#include "tests/edge/h2/dial.h"
#include "tests/edge/h2/frame_client.h"
#include "tests/edge/h2/tls_client.h"
#include "tests/edge/served.h"

namespace barid::edge::h2 {
namespace {

using testing::HasSubstr;
using testing::Not;

// An echo over a new TLS connection. What went wrong, if it did.
std::string EchoOverTls(const std::string& address, const ClientTls& wanted = {}) {
  const int fd = Dial(address);
  SSL* const ssl = Handshake(fd, wanted);
  if (ssl == nullptr) {
    close(fd);
    return "no handshake";
  }
  FrameClient client(fd, ssl);
  // In TLS 1.3 the server's refusal of a certificate comes after the client's handshake.
  client.Write(kMagic);
  client.Write(FrameBytes(NGHTTP2_SETTINGS, 0, 0, ""));
  if (!client.ReadFrame()) return "closed";
  return client.Echo("/t/Echo", "hello");
}

// Of the certificate that the server shows.
std::string NameOfServer(const std::string& address) {
  const int fd = Dial(address);
  SSL* const ssl = Handshake(fd);
  std::string name = "no handshake";
  if (ssl != nullptr) {
    X509* const shown = SSL_get1_peer_certificate(ssl);
    char text[64] = {};
    X509_NAME_get_text_by_NID(X509_get_subject_name(shown), NID_commonName, text, sizeof(text));
    name = text;
    X509_free(shown);
    SSL_free(ssl);
  }
  close(fd);
  return name;
}

class TlsTest : public testing::Test {
 protected:
  void Serve(TlsFiles files, PortLimits limits = {}) {
    server_ = *ServeH2({.address = "127.0.0.1:0", .limits = limits, .tls = std::move(files)}, served_.Table());
  }

  const TestDir dir_;
  const Certificate first_{"first"};
  const Certificate second_{"second"};
  Served served_;
  std::unique_ptr<Server> server_;
};

TEST_F(TlsTest, ServesTlsAndCleartextOnOnePort) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  FrameClient cleartext(server_->address());
  cleartext.Begin();
  EXPECT_EQ(EchoOverTls(server_->address(), {.min_version = TLS1_3_VERSION}), "hello");
  EXPECT_EQ(EchoOverTls(server_->address(), {.max_version = TLS1_2_VERSION}), "hello");
  EXPECT_EQ(cleartext.Echo("/t/Echo", "hello"), "hello");
}

TEST_F(TlsTest, WithoutACertificateItIsNoHttp) {
  Serve({});
  EXPECT_EQ(EchoOverTls(server_->address()), "no handshake");
}

TEST_F(TlsTest, RefusesOldVersions) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  EXPECT_EQ(EchoOverTls(server_->address(), {.min_version = TLS1_VERSION, .max_version = TLS1_1_VERSION}),
            "no handshake");
  EXPECT_EQ(EchoOverTls(server_->address()), "hello");
}

TEST_F(TlsTest, ChoosesH2AndNothingElse) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  EXPECT_EQ(EchoOverTls(server_->address(), {.alpn = absl::string_view("\x08http/1.1\x02h2", 12)}), "hello");
  EXPECT_EQ(EchoOverTls(server_->address(), {.alpn = absl::string_view("\x08http/1.1", 9)}), "no handshake");
  EXPECT_EQ(EchoOverTls(server_->address(), {.alpn = absl::string_view("\x03h2c", 4)}), "no handshake");
  const int fd = Dial(server_->address());
  SSL* const ssl = Handshake(fd);
  ASSERT_NE(ssl, nullptr);
  const unsigned char* chosen = nullptr;
  unsigned size = 0;
  SSL_get0_alpn_selected(ssl, &chosen, &size);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(chosen), size), "h2");
  SSL_free(ssl);
  close(fd);
}

TEST_F(TlsTest, CarriesLargeMessagesBothWays) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  const int fd = Dial(server_->address());
  SSL* const ssl = Handshake(fd);
  ASSERT_NE(ssl, nullptr);
  FrameClient client(fd, ssl);
  client.Begin();
  // As much as the stream's window takes.
  const std::string text(1000000, 'x');
  client.Write(FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1, HeaderBlock(RequestHeaders("/t/Echo"))));
  const std::string bytes = Message(text);
  for (size_t at = 0; at < bytes.size(); at += 16384) {
    const bool ends = at + 16384 >= bytes.size();
    client.Write(FrameBytes(NGHTTP2_DATA, ends ? NGHTTP2_FLAG_END_STREAM : 0, 1, bytes.substr(at, 16384)));
  }
  EXPECT_TRUE(client.Await(1).body == bytes);
}

TEST_F(TlsTest, GoesOnWhereTheKernelTookNoMore) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  const int fd = Dial(server_->address());
  FrameClient client(fd, Handshake(fd));
  client.Begin(SettingBytes(NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0x7fffffff));
  client.Write(WindowUpdate(0, 0x7fffffff - 65535));
  // More than the kernel takes of what nobody reads, within the server's window; parts of all sizes.
  constexpr uint32_t kCalls = 60;
  const auto text = [](uint32_t call) { return std::string(1 + size_t{call} * 4321, static_cast<char>('A' + call)); };
  for (uint32_t call = 0; call < kCalls; ++call) {
    const uint32_t stream = 2 * call + 1;
    client.Write(FrameBytes(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, stream, HeaderBlock(RequestHeaders("/t/Echo"))));
    const std::string bytes = Message(text(call));
    for (size_t at = 0; at < bytes.size(); at += 16384) {
      const bool ends = at + 16384 >= bytes.size();
      client.Write(FrameBytes(NGHTTP2_DATA, ends ? NGHTTP2_FLAG_END_STREAM : 0, stream, bytes.substr(at, 16384)));
    }
  }
  for (uint32_t call = 0; call < kCalls; ++call) {
    EXPECT_TRUE(client.Await(2 * call + 1).body == Message(text(call))) << call;
  }
}

TEST_F(TlsTest, ResumesASession) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  int fd = Dial(server_->address());
  SSL* ssl = Handshake(fd, {.max_version = TLS1_2_VERSION});
  ASSERT_NE(ssl, nullptr);
  SSL_SESSION* const session = SSL_get1_session(ssl);
  SSL_shutdown(ssl);  // Else OpenSSL does not trust it any more.
  SSL_free(ssl);
  close(fd);
  fd = Dial(server_->address());
  ssl = Handshake(fd, {.max_version = TLS1_2_VERSION, .session = session});
  ASSERT_NE(ssl, nullptr);
  EXPECT_EQ(SSL_session_reused(ssl), 1);
  SSL_free(ssl);
  close(fd);
  SSL_SESSION_free(session);
}

TEST_F(TlsTest, GivesTickets) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    const int fd = Dial(server_->address());
    SSL* const ssl = Handshake(fd, {.min_version = version, .max_version = version});
    ASSERT_NE(ssl, nullptr);
    FrameClient client(fd, ssl);
    client.Begin();  // TLS 1.3 gives them behind the handshake.
    EXPECT_EQ(SSL_SESSION_has_ticket(SSL_get0_session(ssl)), 1) << version;
  }
}

TEST_F(TlsTest, DoesNotRenegotiate) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  const int fd = Dial(server_->address());
  SSL* const ssl = Handshake(fd, {.max_version = TLS1_2_VERSION});
  ASSERT_NE(ssl, nullptr);
  SSL_renegotiate(ssl);
  EXPECT_NE(SSL_do_handshake(ssl), 1);
  SSL_free(ssl);
  close(fd);
  EXPECT_EQ(EchoOverTls(server_->address()), "hello");
}

TEST_F(TlsTest, AHandshakeThatDoesNotEndIsClosed) {
  Serve(first_.WriteTo(dir_.path(), "server"), {.handshake_timeout = absl::Milliseconds(100)});
  // One that says nothing, some that begin, and one that says nothing more once it speaks TLS.
  std::vector<std::unique_ptr<FrameClient>> clients;
  for (const absl::string_view begun :
       {absl::string_view(), absl::string_view("\x16\x03\x01\x02\x00\x01", 6), kMagic, absl::string_view("PRI * HT")}) {
    clients.push_back(std::make_unique<FrameClient>(server_->address()));
    clients.back()->Write(begun);
  }
  const int fd = Dial(server_->address());
  SSL* const ssl = Handshake(fd);
  ASSERT_NE(ssl, nullptr);
  clients.push_back(std::make_unique<FrameClient>(fd, ssl));
  for (const auto& client : clients) EXPECT_TRUE(client->ReadToEnd());
}

TEST_F(TlsTest, WhatIsNoHandshakeIsClosed) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  FrameClient client(server_->address());
  client.Write(absl::string_view("\x16\x03\x01\x00\x05hello", 10));
  EXPECT_TRUE(client.ReadToEnd());
}

TEST_F(TlsTest, RefusesAKeyOfAnotherCertificate) {
  TlsFiles files = first_.WriteTo(dir_.path(), "first");
  files.private_key = second_.WriteTo(dir_.path(), "second").private_key;
  EXPECT_THAT(TlsKeys::Load(files), StatusIs(absl::StatusCode::kInvalidArgument));
  EXPECT_THAT(ServeH2({.address = "127.0.0.1:0", .tls = files}, MethodTable()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TlsTest, RefusesFilesThatAreMissingOrNone) {
  const TlsFiles files = first_.WriteTo(dir_.path(), "first");
  TlsFiles missing = files;
  missing.certificate_chain = dir_.path() + "/none.crt";
  EXPECT_THAT(TlsKeys::Load(missing), StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("none.crt")));
  missing = files;
  missing.private_key = "";
  EXPECT_THAT(TlsKeys::Load(missing), StatusIs(absl::StatusCode::kInvalidArgument));
  missing = files;
  missing.client_authorities = dir_.path() + "/none.crt";
  EXPECT_THAT(TlsKeys::Load(missing), StatusIs(absl::StatusCode::kInvalidArgument));
  std::ofstream(files.certificate_chain) << "no certificate";
  EXPECT_THAT(TlsKeys::Load(files), StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TlsTest, RefusesHalfAnIdentity) {
  TlsFiles files = first_.WriteTo(dir_.path(), "first");
  files.certificate_chain = "";
  EXPECT_THAT(ServeH2({.address = "127.0.0.1:0", .tls = files}, MethodTable()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST_F(TlsTest, RefusesToCheckClientsByNothing) {
  TlsFiles unchecked = first_.WriteTo(dir_.path(), "first");
  unchecked.requires_client_certificate = true;
  EXPECT_THAT(ServeH2({.address = "127.0.0.1:0", .tls = unchecked}, MethodTable()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no authorities")));
  TlsFiles cleartext;
  cleartext.client_authorities = unchecked.certificate_chain;
  EXPECT_THAT(ServeH2({.address = "127.0.0.1:0", .tls = cleartext}, MethodTable()),
              StatusIs(absl::StatusCode::kInvalidArgument, HasSubstr("no certificate chain")));
}

TEST_F(TlsTest, MakesACertificateOfItsOwnOnce) {
  const TlsFiles files = *SelfSignedIn(dir_.path());
  const auto permissions = std::filesystem::status(files.private_key).permissions();
  EXPECT_EQ(permissions & (std::filesystem::perms::group_all | std::filesystem::perms::others_all),
            std::filesystem::perms::none);
  const auto made_at = std::filesystem::last_write_time(files.certificate_chain);
  EXPECT_THAT(SelfSignedIn(dir_.path()), IsOk());
  EXPECT_EQ(std::filesystem::last_write_time(files.certificate_chain), made_at);
  Serve(files);
  EXPECT_EQ(NameOfServer(server_->address()), "localhost");
  EXPECT_EQ(EchoOverTls(server_->address()), "hello");
  EXPECT_THAT(SelfSignedIn(dir_.path() + "/none"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(TlsTest, TakesChangedFilesAndKeepsTheOldOnesIfTheyAreWrong) {
  const TlsFiles files = first_.WriteTo(dir_.path(), "server");
  const auto keys = *TlsKeys::Load(files);
  const auto before = keys->context();
  EXPECT_FALSE(keys->ReloadIfChanged());
  // Wrong: a key that is not the certificate's.
  std::filesystem::rename(second_.WriteTo(dir_.path(), "second").private_key, files.private_key);
  EXPECT_FALSE(keys->ReloadIfChanged());
  EXPECT_EQ(keys->context(), before);
  // And gone.
  std::filesystem::remove(files.private_key);
  EXPECT_FALSE(keys->ReloadIfChanged());
  EXPECT_EQ(keys->context(), before);
  second_.WriteTo(dir_.path(), "server");
  EXPECT_TRUE(keys->ReloadIfChanged());
  EXPECT_NE(keys->context(), before);
  EXPECT_FALSE(keys->ReloadIfChanged());
}

TEST_F(TlsTest, AServerShowsItsNewCertificateToNewConnections) {
  Serve(first_.WriteTo(dir_.path(), "server"));
  EXPECT_EQ(NameOfServer(server_->address()), "first");
  const int fd = Dial(server_->address());
  FrameClient old(fd, Handshake(fd));
  old.Begin();
  second_.WriteTo(dir_.path(), "server");
  const absl::Time end = absl::Now() + kPatience;
  while (NameOfServer(server_->address()) != "second" && absl::Now() < end) {
  }
  EXPECT_EQ(NameOfServer(server_->address()), "second");
  EXPECT_EQ(old.Echo("/t/Echo", "still there"), "still there");
}

TEST_F(TlsTest, ChecksTheCertificatesOfClients) {
  TlsFiles files = first_.WriteTo(dir_.path(), "server");
  const Certificate known("known");
  files.client_authorities = known.WriteTo(dir_.path(), "known").certificate_chain;
  Serve(files);
  EXPECT_EQ(EchoOverTls(server_->address(), {.certificate = &known}), "hello");
  EXPECT_EQ(EchoOverTls(server_->address()), "hello");
  EXPECT_NE(EchoOverTls(server_->address(), {.certificate = &second_}), "hello");
  files.requires_client_certificate = true;
  Serve(files);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    EXPECT_EQ(EchoOverTls(server_->address(), {.max_version = version, .certificate = &known}), "hello");
    EXPECT_NE(EchoOverTls(server_->address(), {.max_version = version}), "hello");
    EXPECT_NE(EchoOverTls(server_->address(), {.max_version = version, .certificate = &second_}), "hello");
  }
}

}  // namespace
}  // namespace barid::edge::h2
