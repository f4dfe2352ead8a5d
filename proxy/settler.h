#ifndef BARID_PROXY_SETTLER_H_
#define BARID_PROXY_SETTLER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/clients.h"
#include "proxy/receipt.h"
#include "proxy/router.h"

namespace barid::proxy {

// One delivery to settle, or why it cannot be.
struct Settlement {
  absl::StatusOr<Receipt> receipt = absl::UnknownError("no receipt");
  SettleKind kind = SettleKind::kAck;
  absl::Duration delay;
  std::string reason;
};

// The receipt of a handle if it is for a message of `topic` given to `group`; else INVALID_RECEIPT_HANDLE. A genuine
// one whose topic or group has been deleted is stale (IsStaleReceipt).
absl::StatusOr<Receipt> OpenReceipt(const Metadata& metadata, const ResourceName& topic, const ResourceName& group,
                                    absl::string_view handle);

// What a change of the invisible time means: push consumers return a message that failed (the group's back-off is the
// floor), simple consumers set the time. Told by what the client said of itself; if it did not, by how it received.
SettleKind KindOfChange(const std::optional<ClientProfile>& client, const Receipt& receipt);

// Settles deliveries, each at its shard. Any thread; no locks.
class Settler {
 public:
  // `router` outlives it.
  explicit Settler(Router* router) : router_(router) {}

  // `done` gets one status per settlement, in order.
  void Settle(std::vector<Settlement> settlements, Callback<std::vector<absl::Status>> done);

 private:
  struct Batch;
  // Those at `indexes` are of one shard.
  void SettleAt(ShardId shard, std::vector<size_t> indexes, std::shared_ptr<Batch> batch);
  static void Finish(const std::vector<size_t>& indexes, SettleResult result, Batch* batch);

  Router* const router_;
};

}  // namespace barid::proxy

#endif  // BARID_PROXY_SETTLER_H_
