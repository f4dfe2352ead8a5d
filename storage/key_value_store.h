#ifndef BARID_STORAGE_KEY_VALUE_STORE_H_
#define BARID_STORAGE_KEY_VALUE_STORE_H_

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"

namespace barid::storage {

// An ordered map, to be read. Any thread.
class KeyValueReader {
 public:
  virtual ~KeyValueReader() = default;

  // kNotFound; kDataLoss if what is on disk does not verify.
  virtual absl::StatusOr<std::string> Get(absl::string_view key) const = 0;

  // Calls `visit` for each key in [first, end), in order, until it returns false. An empty `end` means to the last key.
  virtual absl::Status Scan(absl::string_view first, absl::string_view end,
                            absl::FunctionRef<bool(absl::string_view key, absl::string_view value)> visit) const = 0;
};

// An ordered map on disk (LevelDB), written only in atomic batches. Any thread; one writer at a time.
class KeyValueStore : public KeyValueReader {
 public:
  struct Operation {
    std::string key;
    std::optional<std::string> value;  // Absent: the key is deleted.
  };

  // What it holds now, whatever is written later. The store outlives it. Costs the space of what is deleted meanwhile.
  virtual std::unique_ptr<KeyValueReader> Snapshot() const = 0;

  // The last entry in [first, end): kNotFound if there is none.
  virtual absl::StatusOr<std::pair<std::string, std::string>> Last(absl::string_view first,
                                                                   absl::string_view end) const = 0;

  // All or nothing. Durable on return. After an error the store answers every Write with it.
  virtual absl::Status Write(std::vector<Operation> batch) = 0;
};

struct KeyValueStoreOptions {
  size_t write_buffer_bytes = size_t{4} << 20;
  size_t block_cache_bytes = size_t{8} << 20;
  // Compactions are part of the call after which they are due, instead of running on a thread beside it: the same calls
  // then make the same calls to the Env. For simulations.
  bool compacts_in_calls = false;
};

// Opens or creates a LevelDB in `dir`, all its files through `env`. Every block that is read is verified.
absl::StatusOr<std::unique_ptr<KeyValueStore>> OpenLevelDbStore(Env* env, absl::string_view dir,
                                                                const KeyValueStoreOptions& options);

// One in memory, for tests and for the controller's `memory` store.
std::unique_ptr<KeyValueStore> NewMemoryStore();

}  // namespace barid::storage

#endif  // BARID_STORAGE_KEY_VALUE_STORE_H_
