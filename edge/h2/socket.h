#ifndef BARID_EDGE_H2_SOCKET_H_
#define BARID_EDGE_H2_SOCKET_H_

#include <openssl/ssl.h>
#include <sys/uio.h>

#include <cstddef>
#include <memory>
#include <string>

#include "edge/h2/tls.h"

namespace barid::edge::h2 {

// One end of a connection: cleartext, or TLS if the peer begins with it. Told apart by the first byte, which is 22 in
// TLS (a handshake record) and 'P' in HTTP/2. Never blocks. One thread.
class Socket {
 public:
  // Takes `fd`. `keys` may be null: cleartext only.
  Socket(int fd, std::shared_ptr<TlsKeys> keys);
  ~Socket();
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;

  int fd() const { return fd_; }
  bool is_tls() const { return ssl_ != nullptr; }

  enum class End {
    kDone,     // There may be more at once.
    kBlocked,  // Wait for the socket.
    kClosed,   // By the peer, or an error.
  };
  struct Result {
    size_t bytes = 0;
    End end = End::kDone;
    bool waits_to_write = false;  // kBlocked: wait until it can be written, even if this was a read (TLS).
  };
  Result Read(char* to, size_t size);
  Result Write(const iovec* parts, int count);
  // Nothing is written after it: the peer reads an end. It may still be read.
  void EndWriting();

 private:
  enum class State { kUnknown, kHandshake, kOpen };

  // Learns what the peer speaks, and shakes hands. kDone: it is open.
  Result Begin();
  Result FromSsl(int result);

  const int fd_;
  const std::shared_ptr<TlsKeys> keys_;
  State state_ = State::kUnknown;
  SSL* ssl_ = nullptr;
  std::string together_;  // Small parts, in one TLS record.
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_SOCKET_H_
