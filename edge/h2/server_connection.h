#ifndef BARID_EDGE_H2_SERVER_CONNECTION_H_
#define BARID_EDGE_H2_SERVER_CONNECTION_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "edge/h2/connection.h"
#include "edge/h2/rate_limit.h"

namespace barid::edge::h2 {

// A connection that a port has accepted: makes calls of what comes, within the port's limits.
class ServerConnection final : public Connection, public Alarm {
 public:
  // Takes `fd`. `address` is the peer's without port, `peer` as in CallHead.
  ServerConnection(std::shared_ptr<LoopPort> home, int fd, std::string address, std::string peer);
  ~ServerConnection() override;

  // Begins to read. Once, after construction; home->connections has it.
  void Open();

  // And who is idle or old.
  void Look() override;

  // The server drains: no new calls; closes when those that run are over, which are told (GOAWAY, RFC 9113 6.8).
  void Drain();

  bool TakeBytes(size_t bytes) override;
  void ReturnBytes(size_t bytes) override;
  // One alarm for all calls, which is set anew only for an earlier deadline: most calls are over long before it rings.
  void WatchDeadline(absl::Duration at) override;
  void OnAlarm() override;

 private:
  int OnBeginHeaders(const nghttp2_frame& frame) override;
  int OnHeader(const nghttp2_frame& frame, absl::string_view name, absl::string_view value) override;
  int OnFrame(const nghttp2_frame& frame) override;
  int OnFrameSent(const nghttp2_frame& frame) override;
  void OnStreamClosed(int32_t id, uint32_t error) override;
  void SendHead(H2Call* call) override;
  void SendEnd(H2Call* call, uint32_t* flags) override;
  bool IsDone() override;
  void OnClosed() override;
  // The second half of Leave: the GOAWAY that counts.
  void TakeNoMore();
  // Tells the peer to go (GOAWAY, RFC 9113 6.8). Once; TakeNoMore follows.
  void Leave();

  void BeginCall(int32_t id, bool has_ended);
  // Answers a stream that has no call.
  void RefuseStream(int32_t id, int http_status, const absl::Status& status);
  // The peer is not one to serve: GOAWAY with ENHANCE_YOUR_CALM, and the end.
  int Calm(absl::string_view what);

  const std::shared_ptr<LoopPort> home_;
  const PortLimits& limits_;
  const std::string address_;

  // The header block that is being read: one at a time (RFC 9113 4.3).
  struct Head {
    int32_t id = 0;  // 0: none.
    size_t bytes = 0;
    bool too_large = false;
    bool is_post = false;
    bool is_grpc = false;
    absl::Status bad;
    CallHead call;
    size_t headers = 0;  // Of call.metadata, whose strings are used again.
  };
  Head reading_;
  // Where the value of one more goes.
  std::string* NextMetadata(absl::string_view name);

  size_t held_bytes_ = 0;
  absl::Duration opened_at_;
  absl::Duration block_since_ =
      absl::InfiniteDuration();  // When the header block that is being read began, of trailers too.
  absl::Duration expires_at_;    // By age.
  absl::Duration rings_at_ = absl::InfiniteDuration();
  absl::Duration drained_at_ = absl::InfiniteDuration();
  absl::Duration ends_at_ = absl::InfiniteDuration();  // If it drains by age or because it was idle.
  bool has_preface_ = false;
  bool is_draining_ = false;  // The server drains.
  int drain_pings_left_ = 2;  // To be answered before that.
  bool is_going_ = false;     // The final GOAWAY is sent.
  RateLimit control_frames_;
  RateLimit resets_;
};

}  // namespace barid::edge::h2

#endif  // BARID_EDGE_H2_SERVER_CONNECTION_H_
