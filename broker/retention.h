#ifndef BARID_BROKER_RETENTION_H_
#define BARID_BROKER_RETENTION_H_

#include <functional>
#include <memory>

#include "absl/container/flat_hash_set.h"
#include "base/metadata.h"
#include "broker/shard_core.h"

namespace barid::broker {

// Drops what a topic's retention no longer covers, by Expire records, and frees whole log segments, by Trim records.
// Queues of deleted topics and cursors of deleted groups go too. Belongs to the shard's executor; leaders only.
class Retention {
 public:
  explicit Retention(ShardCore* core) : core_(core) {}

  // Queues of which a group's place is being moved: nothing expires meanwhile, so that what was settled a moment ago
  // and is to be delivered again does not go.
  void SetIsMoving(std::function<bool(const QueueKey&)> is_moving) { is_moving_ = std::move(is_moving); }
  void SetMetadata(std::shared_ptr<const Metadata> metadata);

  // Looks at every queue but those of lite topics, of which it looks at some thousands, others each time.
  void Run();
  // Frees what nothing points at any more.
  void ProposeTrim();

 private:
  // How far the queue may go: everything below is over its age or bytes, and settled where the topic asks for that.
  void ExpireStep(const QueueKey& key);
  QueueOffset KeepFrom(const QueueKey& key, const TopicMetadata& topic) const;
  void DropDeleted();
  void SweepLite();
  // Whether nothing was sent to it for so long that it goes, and nobody is owed anything of it.
  bool IsIdle(const LiteTable::LiteTopic& lite, const Queue& queue) const;
  bool IsSettled(const QueueKey& key, const Queue& queue) const;

  ShardCore* const core_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  bool has_metadata_ = false;
  std::function<bool(const QueueKey&)> is_moving_ = [](const QueueKey&) { return false; };
  absl::flat_hash_set<QueueKey> expiring_;
  QueueKey lite_from_;  // Where SweepLite goes on.
  bool trimming_ = false;
};

}  // namespace barid::broker

#endif  // BARID_BROKER_RETENTION_H_
