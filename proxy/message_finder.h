#ifndef BARID_PROXY_MESSAGE_FINDER_H_
#define BARID_PROXY_MESSAGE_FINDER_H_

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/broker_calls.h"
#include "base/metadata.h"
#include "proxy/router.h"

namespace barid::proxy {

// Of a call that asks the shards one after the other, from one on, until it has enough: where it stands.
//
// A continuation is "<shard>/<what that shard said>".
struct ShardTour {
  std::shared_ptr<const Metadata> metadata;
  std::vector<const ShardMetadata*> shards;
  size_t next = 0;
  std::string resume;  // What the next shard said before.

  // Where a continuation says. kInvalidArgument if it says nothing of use.
  absl::Status Begin(absl::string_view token);
  bool has_ended() const { return next == shards.size(); }
  const ShardMetadata& shard() const { return *shards[next]; }
  std::string Token(absl::string_view said) const;
  void Advance();
};

// Which messages are looked for. The shard and the continuation of `lookup` say nothing.
struct MessageSearch {
  LookupCall lookup;
  std::string only_shard = {};  // By name; empty: all.
  std::string resume = {};      // Of the answer before.
};

struct MessagesFound {
  struct Entry {
    const ShardMetadata* shard;  // Of the snapshot that was searched by.
    FoundMessage message;
  };
  std::vector<Entry> messages;              // By shard.
  std::string resume;                       // Not empty: there may be more.
  std::vector<std::string> silent_brokers;  // Their messages are missing; each with why.
};

// Asks the shards one after the other, until there are as many messages, or bytes, as `lookup` says. kInvalidArgument
// if the search is wrong. `router` outlives the call.
void FindMessages(Router* router, std::shared_ptr<const Metadata> metadata, MessageSearch search,
                  Callback<absl::StatusOr<MessagesFound>> done);

}  // namespace barid::proxy

#endif  // BARID_PROXY_MESSAGE_FINDER_H_
