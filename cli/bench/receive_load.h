#ifndef BARID_CLI_BENCH_RECEIVE_LOAD_H_
#define BARID_CLI_BENCH_RECEIVE_LOAD_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "apache/rocketmq/v2/definition.pb.h"
#include "cli/bench/calls.h"

namespace barid::cli {

namespace v2 = apache::rocketmq::v2;

struct ReceiveLoadOptions {
  std::vector<v2::MessageQueue> shards;
  v2::Resource group;
  v2::Resource topic;
  int outstanding = 4;  // Receives at once, spread over the shards.
  int batch = 32;
  std::string sql;          // Only what this filter takes; empty: all.
  bool ack_singly = false;  // One call per message, as official clients do.
  // Called for every message, on its lane's thread. May be empty.
  std::function<void(Lane* lane, absl::string_view message_id)> on_message;
};

// Receives and acknowledges, over and over, until the phase is kStopping.
class ReceiveLoad {
 public:
  // `lanes` outlive this, and their calls have ended before this is destroyed.
  ReceiveLoad(std::vector<Lane*> lanes, ReceiveLoadOptions options);
  ~ReceiveLoad();

  void Start();
  // Messages acknowledged so far, in whatever phase.
  int64_t settled() const { return settled_; }

 private:
  class Loop;

  const std::vector<Lane*> lanes_;
  const ReceiveLoadOptions options_;
  std::atomic<int64_t> settled_ = 0;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_RECEIVE_LOAD_H_
