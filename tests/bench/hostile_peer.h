#ifndef BARID_TESTS_BENCH_HOSTILE_PEER_H_
#define BARID_TESTS_BENCH_HOSTILE_PEER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace barid::edge::h2 {

// Something that a server said to an attacker, or did to its connection.
enum class Kind {
  kGoaway,  // With the code of HTTP/2,
  kReset,   // as this one.
  kStatus,  // With gRPC's code.
  kHttpStatus,
  kData,
  kPingAck,
  kSettingsAck,  // But for the first, which each connection begins with.
  kHttp1,        // With its status.
  kHandshake,
  kRenegotiated,
  kAlert,  // With the code of TLS.
  kNoHttp,
  kClosed,
  kNoConnection,
};

// What came how often over all connections of an attack.
using Answers = std::map<std::pair<Kind, uint32_t>, int64_t>;
std::string TextOf(const Answers& answers);

// Preface and settings.
std::string Greeting(absl::string_view settings = "");
// Of a client's TLS handshake, the beginning.
std::string ClientHello();

class AnswerReader;
class Renegotiation;

// A connection that writes what it likes and reads if it likes, and never waits. One thread.
class Peer {
 public:
  // `answers` outlives it.
  Peer(const std::string& address, const std::string& greeting, Answers* answers);
  ~Peer();
  Peer(const Peer&) = delete;
  Peer& operator=(const Peer&) = delete;

  // There is nothing more to be had from it.
  bool is_over() const;
  // The number of the stream that it opens next.
  uint32_t NextStream() { return std::exchange(stream_, stream_ + 2); }
  // The call that it began last, or 0 if there is none or the server has ended it.
  uint32_t OpenStream() const;
  int Turn() { return turn_++; }
  // Whether it is time for the next byte of who is slow.
  bool IsDue();
  // What makes TLS of it, and then asks for one handshake after another.
  std::string Renegotiate();
  // False: the kernel has not taken what was written before.
  bool Write(absl::string_view bytes);
  void Push();
  // What is there.
  void Read();

 private:
  void Close();

  const int fd_;
  const std::unique_ptr<AnswerReader> reader_;
  std::unique_ptr<Renegotiation> tls_;
  bool is_closed_;  // By the server.
  uint32_t stream_ = 1;
  int turn_ = 0;
  absl::Time due_ = absl::InfinitePast();
  std::string out_;
};

}  // namespace barid::edge::h2

#endif  // BARID_TESTS_BENCH_HOSTILE_PEER_H_
