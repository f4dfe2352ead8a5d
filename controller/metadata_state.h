#ifndef BARID_CONTROLLER_METADATA_STATE_H_
#define BARID_CONTROLLER_METADATA_STATE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <variant>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/strings/match.h"
#include "absl/strings/string_view.h"
#include "base/metadata.h"
#include "controller/metadata_store.h"
#include "controller/records.h"

namespace barid::controller {

// The metadata store's records, decoded, as of one revision. A plain value: what the logic decides upon.
class MetadataState {
 public:
  static absl::StatusOr<MetadataState> FromSnapshot(const MetadataStore::Snapshot& snapshot);

  // The next change, or one further on; changes of revisions that are already in are passed over.
  absl::Status Apply(const MetadataStore::Change& change);

  int64_t revision() const { return revision_; }

  // nullptr if there is none. Valid until the next Apply.
  template <typename T>
  const T* Find(absl::string_view key) const {
    const auto it = entries_.find(key);
    return it == entries_.end() ? nullptr : &std::get<T>(it->second.record);
  }
  const TopicMetadata* FindTopic(TopicId id) const;
  const GroupMetadata* FindGroup(GroupId id) const;

  // Calls `visit(const T&)` for each record whose key begins with `prefix`, in the order of the keys.
  template <typename T, typename Visit>
  void ForEach(absl::string_view prefix, Visit visit) const {
    for (auto it = entries_.lower_bound(prefix); it != entries_.end() && absl::StartsWith(it->first, prefix); ++it) {
      visit(std::get<T>(it->second.record));
    }
  }

  // Of the transaction that wrote the record last; 0: there is none.
  int64_t RevisionOf(absl::string_view key) const;

  int64_t topic_count() const { return static_cast<int64_t>(topic_keys_.size()); }
  int64_t group_count() const { return static_cast<int64_t>(group_keys_.size()); }
  int64_t subscription_count() const { return subscription_count_; }

  // What the other roles may see, each table sorted by id. Linear in the number of records.
  Metadata::Tables ToTables() const;

 private:
  struct Entry {
    Record record;
    int64_t revision = 0;
  };

  absl::Status Put(absl::string_view key, absl::string_view value, int64_t revision);
  void Erase(absl::string_view key);

  int64_t revision_ = 0;
  absl::btree_map<std::string, Entry> entries_;
  absl::flat_hash_map<TopicId, std::string> topic_keys_;
  absl::flat_hash_map<GroupId, std::string> group_keys_;
  int64_t subscription_count_ = 0;
};

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_METADATA_STATE_H_
