#include "controller/embedded_store.h"

#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <utility>

#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "base/coding.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status.h"

namespace barid::controller {
namespace {

// The map's keys:
//
//   "d" key  ->  varint revision | varint session | value
//   "r"      ->  fixed64 revision of the last transaction
constexpr char kDataPrefix[] = "d";
constexpr char kDataEnd[] = "e";
constexpr char kRevisionKey[] = "r";

std::string DataKey(absl::string_view key) { return absl::StrCat(kDataPrefix, key); }

struct StoredValue {
  int64_t revision = 0;
  SessionId session;
  std::string value;
};

std::string EncodeStored(int64_t revision, SessionId session, absl::string_view value) {
  std::string out;
  PutVarint(&out, static_cast<uint64_t>(revision));
  PutVarint(&out, static_cast<uint64_t>(session.value()));
  out.append(value.data(), value.size());
  return out;
}

absl::StatusOr<StoredValue> DecodeStored(absl::string_view key, absl::string_view bytes) {
  uint64_t revision = 0;
  uint64_t session = 0;
  if (!GetVarint(&bytes, &revision) || !GetVarint(&bytes, &session)) {
    return absl::DataLossError(absl::StrCat("the metadata store's entry \"", key, "\" is cut short: restore a backup"));
  }
  return StoredValue{static_cast<int64_t>(revision), SessionId(static_cast<int64_t>(session)), std::string(bytes)};
}

class EmbeddedStore : public MetadataStore {
 public:
  EmbeddedStore(std::unique_ptr<storage::KeyValueStore> map, const EmbeddedStoreOptions& options)
      : options_(options), map_(std::move(map)) {}

  // Reads the revision, and deletes what the sessions of the last process left.
  absl::Status Recover();

  absl::StatusOr<Entry> Get(absl::string_view key) const override;
  absl::StatusOr<Snapshot> Range(absl::string_view first, absl::string_view end) const override;
  absl::StatusOr<int64_t> Txn(const std::vector<Compare>& compares, std::vector<Operation> operations) override;
  absl::StatusOr<std::unique_ptr<Watch>> WatchFrom(int64_t revision, Observer observer) override;
  absl::StatusOr<SessionId> OpenSession(absl::Duration ttl) override;
  absl::Status KeepAlive(SessionId session) override;
  absl::Status EndSession(SessionId session) override;

 private:
  // The watches outlive neither side: a Watch may be destroyed after its store.
  struct Watchers {
    Mutex mu;
    std::map<int64_t, Observer> observers ABSL_GUARDED_BY(mu);
    int64_t next_id ABSL_GUARDED_BY(mu) = 0;
  };
  class EmbeddedWatch : public Watch {
   public:
    EmbeddedWatch(std::shared_ptr<Watchers> watchers, int64_t id) : watchers_(std::move(watchers)), id_(id) {}
    ~EmbeddedWatch() override {
      MutexLock lock(&watchers_->mu);
      watchers_->observers.erase(id_);
    }

   private:
    const std::shared_ptr<Watchers> watchers_;
    const int64_t id_;
  };

  absl::StatusOr<StoredValue> GetStored(absl::string_view key) const;
  absl::StatusOr<int64_t> TxnLocked(const std::vector<Compare>& compares, std::vector<Operation> operations)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mu_);

  const EmbeddedStoreOptions options_;
  const std::unique_ptr<storage::KeyValueStore> map_;
  const std::shared_ptr<Watchers> watchers_ = std::make_shared<Watchers>();

  // Held across the write and the observers, which both belong to the order of transactions. It is the one lock here
  // that covers I/O: the store is the cluster's single writer, and readers of a half-written transaction would be
  // worse. Acquired before watchers_->mu.
  mutable Mutex mu_;
  int64_t revision_ ABSL_GUARDED_BY(mu_) = 0;
  int64_t last_session_ ABSL_GUARDED_BY(mu_) = 0;
  absl::flat_hash_set<SessionId> sessions_ ABSL_GUARDED_BY(mu_);
  absl::btree_set<std::pair<SessionId, std::string>> session_keys_ ABSL_GUARDED_BY(mu_);
  std::deque<Change> history_ ABSL_GUARDED_BY(mu_);  // The newest changes, by revision, without gaps.
};

absl::Status EmbeddedStore::Recover() {
  MutexLock lock(&mu_);
  const absl::StatusOr<std::string> stored = map_->Get(kRevisionKey);
  if (absl::IsNotFound(stored.status())) return absl::OkStatus();  // A new store.
  RETURN_IF_ERROR(Annotate(stored.status(), "reading the metadata store's revision"));
  absl::string_view bytes = *stored;
  if (!GetFixed(&bytes, &revision_) || !bytes.empty() || revision_ <= 0) {
    return absl::DataLossError("the metadata store's revision is not a positive 64-bit number: restore a backup");
  }

  std::vector<Operation> left_behind;
  absl::Status damage;
  RETURN_IF_ERROR(map_->Scan(kDataPrefix, kDataEnd, [&](absl::string_view key, absl::string_view value) {
    key.remove_prefix(1);
    const absl::StatusOr<StoredValue> entry = DecodeStored(key, value);
    damage = entry.status();
    if (!damage.ok()) return false;
    if (entry->session != SessionId()) left_behind.push_back({std::string(key), std::nullopt, SessionId()});
    return true;
  }));
  RETURN_IF_ERROR(damage);
  if (left_behind.empty()) return absl::OkStatus();
  return TxnLocked({}, std::move(left_behind)).status();
}

absl::StatusOr<StoredValue> EmbeddedStore::GetStored(absl::string_view key) const {
  ASSIGN_OR_RETURN(const std::string bytes, map_->Get(DataKey(key)));
  return DecodeStored(key, bytes);
}

absl::StatusOr<MetadataStore::Entry> EmbeddedStore::Get(absl::string_view key) const {
  ASSIGN_OR_RETURN(StoredValue stored, GetStored(key));
  return Entry{std::string(key), std::move(stored.value), stored.revision};
}

absl::StatusOr<MetadataStore::Snapshot> EmbeddedStore::Range(absl::string_view first, absl::string_view end) const {
  MutexLock lock(&mu_);
  Snapshot snapshot;
  snapshot.revision = revision_;
  absl::Status damage;
  const std::string data_end = end.empty() ? std::string(kDataEnd) : DataKey(end);
  RETURN_IF_ERROR(map_->Scan(DataKey(first), data_end, [&](absl::string_view key, absl::string_view value) {
    key.remove_prefix(1);
    absl::StatusOr<StoredValue> stored = DecodeStored(key, value);
    damage = stored.status();
    if (!damage.ok()) return false;
    snapshot.entries.push_back({std::string(key), std::move(stored->value), stored->revision});
    return true;
  }));
  RETURN_IF_ERROR(damage);
  return snapshot;
}

absl::StatusOr<int64_t> EmbeddedStore::Txn(const std::vector<Compare>& compares, std::vector<Operation> operations) {
  MutexLock lock(&mu_);
  return TxnLocked(compares, std::move(operations));
}

absl::StatusOr<int64_t> EmbeddedStore::TxnLocked(const std::vector<Compare>& compares,
                                                 std::vector<Operation> operations) {
  for (const Compare& compare : compares) {
    const absl::StatusOr<StoredValue> stored = GetStored(compare.key);
    if (!stored.ok() && !absl::IsNotFound(stored.status())) return stored.status();
    const int64_t found = stored.ok() ? stored->revision : 0;
    if (found != compare.revision) {
      return absl::AbortedError(absl::StrCat("\"", compare.key, "\" was written at revision ", found, ", expected ",
                                             compare.revision, ": read again and retry"));
    }
  }

  if (operations.empty()) return revision_;

  const int64_t revision = revision_ + 1;
  std::vector<storage::KeyValueStore::Operation> batch;
  absl::flat_hash_set<std::string> keys;
  for (const Operation& operation : operations) {
    CHECK(keys.insert(operation.key).second) << KV("key", operation.key);
    if (operation.session != SessionId() && !sessions_.contains(operation.session)) {
      return absl::NotFoundError(absl::StrCat("session ", operation.session.value(), " has ended"));
    }
    std::optional<std::string> value;
    if (operation.value) value = EncodeStored(revision, operation.session, *operation.value);
    batch.push_back({DataKey(operation.key), std::move(value)});
  }
  std::string encoded_revision;
  PutFixed(&encoded_revision, revision);
  batch.push_back({kRevisionKey, std::move(encoded_revision)});
  RETURN_IF_ERROR(Annotate(map_->Write(std::move(batch)), absl::StrCat("writing metadata revision ", revision)));

  revision_ = revision;
  for (const Operation& operation : operations) {
    // Whoever wrote the key last decides whose it is.
    for (const SessionId session : sessions_) session_keys_.erase({session, operation.key});
    if (operation.value && operation.session != SessionId()) session_keys_.insert({operation.session, operation.key});
  }
  history_.push_back({revision, std::move(operations)});
  if (history_.size() > options_.history_revisions) history_.pop_front();
  MutexLock lock(&watchers_->mu);
  for (auto& [id, observer] : watchers_->observers) observer(history_.back());
  return revision;
}

absl::StatusOr<std::unique_ptr<MetadataStore::Watch>> EmbeddedStore::WatchFrom(int64_t revision, Observer observer) {
  MutexLock lock(&mu_);
  const int64_t oldest = revision_ - static_cast<int64_t>(history_.size());
  if (revision < oldest || revision > revision_) {
    return OffsetRangeError({oldest, revision_ + 1},
                            absl::StrCat("a watch may begin at revisions ", oldest, " to ", revision_, ", not at ",
                                         revision, ": read a snapshot and watch from there"));
  }
  for (const Change& change : history_) {
    if (change.revision > revision) observer(change);
  }
  MutexLock watchers_lock(&watchers_->mu);
  const int64_t id = watchers_->next_id++;
  watchers_->observers.emplace(id, std::move(observer));
  return std::make_unique<EmbeddedWatch>(watchers_, id);
}

absl::StatusOr<SessionId> EmbeddedStore::OpenSession(absl::Duration) {
  MutexLock lock(&mu_);
  const SessionId session(++last_session_);
  sessions_.insert(session);
  return session;
}

absl::Status EmbeddedStore::KeepAlive(SessionId session) {
  MutexLock lock(&mu_);
  if (sessions_.contains(session)) return absl::OkStatus();
  return absl::NotFoundError(absl::StrCat("session ", session.value(), " has ended"));
}

absl::Status EmbeddedStore::EndSession(SessionId session) {
  MutexLock lock(&mu_);
  if (sessions_.erase(session) == 0)
    return absl::NotFoundError(absl::StrCat("session ", session.value(), " has ended"));
  std::vector<Operation> operations;
  for (auto it = session_keys_.lower_bound({session, ""}); it != session_keys_.end() && it->first == session;) {
    operations.push_back({it->second, std::nullopt, SessionId()});
    it = session_keys_.erase(it);
  }
  if (operations.empty()) return absl::OkStatus();
  return TxnLocked({}, std::move(operations)).status();
}

}  // namespace

absl::StatusOr<std::unique_ptr<MetadataStore>> NewEmbeddedStore(std::unique_ptr<storage::KeyValueStore> map,
                                                                const EmbeddedStoreOptions& options) {
  auto store = std::make_unique<EmbeddedStore>(std::move(map), options);
  RETURN_IF_ERROR(store->Recover());
  return store;
}

absl::StatusOr<std::unique_ptr<MetadataStore>> OpenLevelDbMetadataStore(Env* env, absl::string_view dir,
                                                                        const EmbeddedStoreOptions& options) {
  ASSIGN_OR_RETURN(std::unique_ptr<storage::KeyValueStore> map, storage::OpenLevelDbStore(env, dir, {}));
  absl::StatusOr<std::unique_ptr<MetadataStore>> store = NewEmbeddedStore(std::move(map), options);
  if (!store.ok()) return Annotate(store.status(), absl::StrCat("opening the metadata store in ", dir));
  return store;
}

std::unique_ptr<MetadataStore> NewMemoryMetadataStore() {
  absl::StatusOr<std::unique_ptr<MetadataStore>> store = NewEmbeddedStore(storage::NewMemoryStore(), {});
  CHECK_OK(store.status());
  return *std::move(store);
}

}  // namespace barid::controller
