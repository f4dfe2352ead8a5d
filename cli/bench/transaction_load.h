#ifndef BARID_CLI_BENCH_TRANSACTION_LOAD_H_
#define BARID_CLI_BENCH_TRANSACTION_LOAD_H_

#include <memory>
#include <vector>

#include "cli/bench/calls.h"
#include "cli/bench/send_load.h"

namespace barid::cli {

// Prepares a message, commits it, and again: each loop has one transaction open at a time.
class TransactionLoad {
 public:
  // `lanes` and `requests`, of TRANSACTION messages to `topic`, outlive this, and their calls have ended before this is
  // destroyed.
  TransactionLoad(std::vector<Lane*> lanes, const SendRequests* requests, v2::Resource topic);
  ~TransactionLoad();

  // So many loops, until the phase is kStopping. Latency of the two calls is in the meters as that of sends and of
  // acknowledgements; `sent` counts transactions that were committed.
  void Start(int outstanding);

 private:
  class Loop;

  const std::vector<Lane*> lanes_;
  const SendRequests* const requests_;
  const v2::Resource topic_;
  std::atomic<uint64_t> next_number_ = 0;
  std::vector<std::unique_ptr<Loop>> loops_;
};

}  // namespace barid::cli

#endif  // BARID_CLI_BENCH_TRANSACTION_LOAD_H_
