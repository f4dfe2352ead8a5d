#include <map>
#include <memory>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/mutex.h"
#include "storage/key_value_store.h"

namespace barid::storage {
namespace {

using Entries = std::map<std::string, std::string>;

absl::StatusOr<std::string> GetFrom(const Entries& entries, absl::string_view key) {
  const auto it = entries.find(std::string(key));
  if (it == entries.end()) return absl::NotFoundError("no such key");
  return it->second;
}

void ScanOf(const Entries& entries, absl::string_view first, absl::string_view end,
            absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) {
  for (auto it = entries.lower_bound(std::string(first)); it != entries.end(); ++it) {
    if (!end.empty() && it->first >= end) break;
    if (!visit(it->first, it->second)) break;
  }
}

class MemorySnapshot : public KeyValueReader {
 public:
  explicit MemorySnapshot(Entries entries) : entries_(std::move(entries)) {}
  absl::StatusOr<std::string> Get(absl::string_view key) const override { return GetFrom(entries_, key); }
  absl::Status Scan(absl::string_view first, absl::string_view end,
                    absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) const override {
    ScanOf(entries_, first, end, visit);
    return absl::OkStatus();
  }

 private:
  const Entries entries_;
};

class MemoryStore : public KeyValueStore {
 public:
  std::unique_ptr<KeyValueReader> Snapshot() const override {
    MutexLock lock(&mu_);
    return std::make_unique<MemorySnapshot>(*entries_);
  }

  absl::StatusOr<std::string> Get(absl::string_view key) const override {
    MutexLock lock(&mu_);
    return GetFrom(*entries_, key);
  }

  // Of the entries as they were at the beginning, as with LevelDB.
  absl::Status Scan(absl::string_view first, absl::string_view end,
                    absl::FunctionRef<bool(absl::string_view, absl::string_view)> visit) const override {
    std::shared_ptr<const Entries> snapshot;
    {
      MutexLock lock(&mu_);
      snapshot = entries_;
    }
    ScanOf(*snapshot, first, end, visit);
    // Let go under the lock: Write changes the entries in place if nobody else has them.
    MutexLock lock(&mu_);
    snapshot.reset();
    return absl::OkStatus();
  }

  absl::StatusOr<std::pair<std::string, std::string>> Last(absl::string_view first,
                                                           absl::string_view end) const override {
    MutexLock lock(&mu_);
    auto it = end.empty() ? entries_->end() : entries_->lower_bound(std::string(end));
    if (it == entries_->begin()) return absl::NotFoundError("no entry in the range");
    --it;
    if (it->first < first) return absl::NotFoundError("no entry in the range");
    return std::make_pair(it->first, it->second);
  }

  absl::Status Write(std::vector<Operation> batch) override {
    MutexLock lock(&mu_);
    if (entries_.use_count() > 1) entries_ = std::make_shared<Entries>(*entries_);
    for (Operation& operation : batch) {
      if (operation.value) {
        entries_->insert_or_assign(std::move(operation.key), *std::move(operation.value));
      } else {
        entries_->erase(operation.key);
      }
    }
    return absl::OkStatus();
  }

 private:
  mutable Mutex mu_;
  std::shared_ptr<Entries> entries_ ABSL_GUARDED_BY(mu_) = std::make_shared<Entries>();
};

}  // namespace

std::unique_ptr<KeyValueStore> NewMemoryStore() { return std::make_unique<MemoryStore>(); }

}  // namespace barid::storage
