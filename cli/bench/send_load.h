#ifndef BARID_CLI_BENCH_SEND_LOAD_H_
#define BARID_CLI_BENCH_SEND_LOAD_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "cli/bench/calls.h"

namespace barid::cli {

namespace v2 = apache::rocketmq::v2;

// Requests of messages that are alike but for the message's id. What they have in common is serialised once and shared;
// only the id, short enough to live inside a slice, is written for each.
//
// Ids are the run's eight hex digits and the message's number in twelve.
class SendRequests {
 public:
  // Makes a message differ from others in more than its id. Any thread.
  using Vary = std::function<void(uint64_t number, v2::Message* message)>;

  // Everything but the id is taken from `message`. With `vary` each message is made and serialised by itself: a
  // microsecond or two of the client's.
  SendRequests(v2::Message message, uint32_t run, Vary vary = nullptr);

  static std::string IdOf(uint32_t run, uint64_t number);

  // Of `count` messages, numbered from `first`.
  grpc::ByteBuffer Make(uint64_t first, int count = 1) const;

  // The number in an id of this run; -1 for any other id.
  int64_t NumberOf(absl::string_view message_id) const;

 private:
  std::string run_;
  v2::Message message_;
  Vary vary_;
  grpc::Slice before_id_;
  grpc::Slice after_id_;
};

// Sends, in a closed loop or one by one.
class SendLoad {
 public:
  // `lanes` and `requests` outlive this, and their calls have ended before this is destroyed.
  SendLoad(std::vector<Lane*> lanes, const SendRequests* requests);
  ~SendLoad();

  // Keeps so many calls of `batch` messages outstanding until the phase is kStopping, or, if `limit` is positive, until
  // exactly so many messages were sent.
  void StartClosedLoop(int outstanding, int batch, int64_t limit);

  // One more message, whose latency counts from `due`. Any thread. Returns the number of the message.
  uint64_t SendOne(absl::Duration due);
  // Calls of SendOne that have not ended.
  int outstanding() const { return outstanding_; }
  // The number that the next message gets: so many were sent.
  uint64_t next_number() const { return next_number_; }

 private:
  class Call;
  class LoopCall;
  class SingleCall;

  // The numbers of a closed loop's next call. Returns how many, 0 if the limit is reached.
  int Take(uint64_t* first);

  const std::vector<Lane*> lanes_;
  const SendRequests* const requests_;
  std::atomic<uint64_t> next_number_ = 0;
  std::atomic<int> outstanding_ = 0;
  int batch_ = 1;
  int64_t limit_ = 0;
  std::vector<std::unique_ptr<LoopCall>> loop_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_SEND_LOAD_H_
