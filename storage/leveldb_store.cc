#include <memory>
#include <string>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "base/log.h"
#include "base/mutex.h"
#include "base/status.h"
#include "leveldb/cache.h"
#include "leveldb/db.h"
#include "leveldb/env.h"
#include "leveldb/filter_policy.h"
#include "leveldb/iterator.h"
#include "leveldb/write_batch.h"
#include "storage/files.h"
#include "storage/key_value_store.h"
#include "storage/leveldb_env.h"
#include "storage/leveldb_journal.h"

namespace barid::storage {
namespace {

constexpr int kBloomBitsPerKey = 10;
// With one table of this size per file, their indexes and filters take some 100 KiB each.
constexpr int kMaxOpenFiles = 100;
constexpr size_t kTableBytes = size_t{4} << 20;

leveldb::Slice ToSlice(absl::string_view view) { return leveldb::Slice(view.data(), view.size()); }
absl::string_view View(const leveldb::Slice& slice) { return absl::string_view(slice.data(), slice.size()); }

leveldb::ReadOptions Verified() {
  leveldb::ReadOptions options;
  options.verify_checksums = true;
  return options;
}

// Of what the database holds, or held when `snapshot` was taken.
absl::StatusOr<std::string> GetFrom(leveldb::DB* db, const leveldb::Snapshot* snapshot, const std::string& dir,
                                    absl::string_view key) {
  leveldb::ReadOptions options = Verified();
  options.snapshot = snapshot;
  std::string value;
  const leveldb::Status status = db->Get(options, ToSlice(key), &value);
  if (!status.ok()) return Annotate(FromLevelDb(status), dir);
  return value;
}

absl::Status ScanOf(leveldb::DB* db, const leveldb::Snapshot* snapshot, const std::string& dir, absl::string_view first,
                    absl::string_view end, absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) {
  leveldb::ReadOptions options = Verified();
  options.snapshot = snapshot;
  options.fill_cache = false;  // A scan would push out what Get needs.
  const std::unique_ptr<leveldb::Iterator> it(db->NewIterator(options));
  for (it->Seek(ToSlice(first)); it->Valid(); it->Next()) {
    if (!end.empty() && View(it->key()) >= end) break;
    if (!visit(View(it->key()), View(it->value()))) break;
  }
  return Annotate(FromLevelDb(it->status()), dir);
}

class LevelDbSnapshot : public KeyValueReader {
 public:
  LevelDbSnapshot(leveldb::DB* db, const std::string& dir, LaterWork* later)
      : db_(db), dir_(dir), later_(*later), snapshot_(db->GetSnapshot()) {}
  ~LevelDbSnapshot() override { db_->ReleaseSnapshot(snapshot_); }

  absl::StatusOr<std::string> Get(absl::string_view key) const override {
    const absl::Cleanup compact = [this] { later_.Do(); };
    return GetFrom(db_, snapshot_, dir_, key);
  }
  absl::Status Scan(absl::string_view first, absl::string_view end,
                    absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) const override {
    const absl::Cleanup compact = [this] { later_.Do(); };
    return ScanOf(db_, snapshot_, dir_, first, end, visit);
  }

 private:
  leveldb::DB* const db_;
  const std::string dir_;
  LaterWork& later_;
  const leveldb::Snapshot* const snapshot_;
};

class LevelDbStore : public KeyValueStore {
 public:
  static absl::StatusOr<std::unique_ptr<KeyValueStore>> Open(Env* env, absl::string_view dir,
                                                             const KeyValueStoreOptions& options) {
    RETURN_IF_ERROR(CreateDirDurably(env, dir));
    RETURN_IF_ERROR(CutTornJournals(env, dir));
    std::unique_ptr<LevelDbStore> store(new LevelDbStore(env, dir, options));
    leveldb::DB* db = nullptr;
    const leveldb::Status opened = leveldb::DB::Open(store->options_, store->dir_, &db);
    store->db_.reset(db);
    store->later_.Do();
    if (!opened.ok()) return Annotate(FromLevelDb(opened), absl::StrCat("opening the store in ", dir));
    return store;
  }

  absl::StatusOr<std::string> Get(absl::string_view key) const override {
    const absl::Cleanup compact = [this] { later_.Do(); };
    return GetFrom(db_.get(), nullptr, dir_, key);
  }

  absl::Status Scan(absl::string_view first, absl::string_view end,
                    absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) const override {
    const absl::Cleanup compact = [this] { later_.Do(); };
    return ScanOf(db_.get(), nullptr, dir_, first, end, visit);
  }

  std::unique_ptr<KeyValueReader> Snapshot() const override {
    return std::make_unique<LevelDbSnapshot>(db_.get(), dir_, &later_);
  }

  absl::StatusOr<std::pair<std::string, std::string>> Last(absl::string_view first,
                                                           absl::string_view end) const override {
    const absl::Cleanup compact = [this] { later_.Do(); };
    const std::unique_ptr<leveldb::Iterator> it(db_->NewIterator(Verified()));
    if (end.empty()) {
      it->SeekToLast();
    } else {
      it->Seek(ToSlice(end));
      if (it->Valid()) {
        it->Prev();
      } else if (it->status().ok()) {
        it->SeekToLast();
      }
    }
    RETURN_IF_ERROR(Annotate(FromLevelDb(it->status()), dir_));
    if (!it->Valid() || View(it->key()) < first)
      return absl::NotFoundError(absl::StrCat(dir_, ": no entry in the range"));
    return std::make_pair(it->key().ToString(), it->value().ToString());
  }

  absl::Status Write(std::vector<Operation> operations) override {
    {
      MutexLock lock(&mu_);
      RETURN_IF_ERROR(failure_);
    }
    leveldb::WriteBatch batch;
    for (const Operation& operation : operations) {
      if (operation.value) {
        batch.Put(operation.key, *operation.value);
      } else {
        batch.Delete(operation.key);
      }
    }
    leveldb::WriteOptions options;
    options.sync = true;
    const absl::Status status = Annotate(FromLevelDb(db_->Write(options, &batch)), dir_);
    later_.Do();
    if (!status.ok()) {
      LOG(ERROR) << "store refuses writes" << KV("cause", status);
      MutexLock lock(&mu_);
      failure_ = status;
    }
    return status;
  }

 private:
  LevelDbStore(Env* env, absl::string_view dir, const KeyValueStoreOptions& options)
      : dir_(dir),
        env_(NewLevelDbEnv(env, options.compacts_in_calls ? &later_ : nullptr)),
        filter_(leveldb::NewBloomFilterPolicy(kBloomBitsPerKey)),
        cache_(leveldb::NewLRUCache(options.block_cache_bytes)) {
    leveldb::Logger* logger = nullptr;
    CHECK(env_->NewLogger("", &logger).ok());
    logger_.reset(logger);
    options_.env = env_.get();
    options_.info_log = logger_.get();
    options_.create_if_missing = true;
    options_.paranoid_checks = true;
    options_.write_buffer_size = options.write_buffer_bytes;
    options_.block_cache = cache_.get();
    options_.filter_policy = filter_.get();
    options_.max_open_files = kMaxOpenFiles;
    options_.max_file_size = kTableBytes;
  }

  const std::string dir_;
  mutable LaterWork later_;  // Empty, but for what a call adds that is under way.
  // LevelDB borrows these until it is destroyed: before them, being declared after them.
  const std::unique_ptr<leveldb::Env> env_;
  const std::unique_ptr<const leveldb::FilterPolicy> filter_;
  const std::unique_ptr<leveldb::Cache> cache_;
  std::unique_ptr<leveldb::Logger> logger_;
  leveldb::Options options_;
  std::unique_ptr<leveldb::DB> db_;

  Mutex mu_;
  absl::Status failure_ ABSL_GUARDED_BY(mu_);
};

}  // namespace

absl::StatusOr<std::unique_ptr<KeyValueStore>> OpenLevelDbStore(Env* env, absl::string_view dir,
                                                                const KeyValueStoreOptions& options) {
  return LevelDbStore::Open(env, dir, options);
}

}  // namespace barid::storage
