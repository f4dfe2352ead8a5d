#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <memory>
#include <string>
#include <utility>

#include "base/log.h"
#include "edge/grpc/grpc_server.h"
#include "tests/edge/generic_client.h"

namespace barid::edge {
namespace {

std::string Text(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  std::string text(data, size);
  BIO_free(bio);
  return text;
}

// A certificate for "localhost", signed by itself, and its key, as PEM.
std::pair<std::string, std::string> SelfSigned() {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("localhost"), -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  CHECK(X509_sign(certificate, key, EVP_sha256()) > 0);
  BIO* certificate_pem = BIO_new(BIO_s_mem());
  CHECK(PEM_write_bio_X509(certificate_pem, certificate) == 1);
  BIO* key_pem = BIO_new(BIO_s_mem());
  CHECK(PEM_write_bio_PrivateKey(key_pem, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  X509_free(certificate);
  EVP_PKEY_free(key);
  return {Text(certificate_pem), Text(key_pem)};
}

TEST(GrpcTlsTest, ServesTls) {
  const auto [certificate, key] = SelfSigned();
  Served served;
  const auto server = *ServeGrpc(
      {.address = "127.0.0.1:0", .tls_certificate_chain = certificate, .tls_private_key = key}, served.Table());
  grpc::ChannelArguments args;
  args.SetSslTargetNameOverride("localhost");
  const auto channel = grpc::CreateCustomChannel(
      server->address(),
      grpc::SslCredentials({.pem_root_certs = certificate, .pem_private_key = {}, .pem_cert_chain = {}}), args);
  EXPECT_TRUE(channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kPatience)));
  // And nothing else.
  EXPECT_THAT(GenericClient(server->address()).Call("/t/Echo", "hi"), StatusIs(absl::StatusCode::kUnavailable));
}

TEST(GrpcTlsTest, RefusesHalfAnIdentity) {
  EXPECT_THAT(ServeGrpc({.address = "127.0.0.1:0", .tls_private_key = "key"}, MethodTable()),
              StatusIs(absl::StatusCode::kInvalidArgument));
}

TEST(GrpcTlsTest, RefusesACertificateThatIsNone) {
  EXPECT_THAT(
      ServeGrpc({.address = "127.0.0.1:0", .tls_certificate_chain = "none", .tls_private_key = "none"}, MethodTable()),
      testing::Not(IsOk()));
}

}  // namespace
}  // namespace barid::edge
