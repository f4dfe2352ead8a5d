#ifndef BARID_CONTROLLER_EMBEDDED_STORE_H_
#define BARID_CONTROLLER_EMBEDDED_STORE_H_

#include <cstddef>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "controller/metadata_store.h"
#include "storage/key_value_store.h"

namespace barid::controller {

struct EmbeddedStoreOptions {
  size_t history_revisions = 1024;  // How far back a watch may begin.
};

// A metadata store inside this process, over an ordered map: LevelDB on disk, or memory for tests. One transaction is
// one atomic, synced batch that carries the store's revision with it (docs/controller.md draws the keys).
//
// A session ends with the process, which is the only thing that can fail here, so `ttl` is not enforced: what a session
// left behind is deleted when the store is opened. After a write error everything but reading fails with that error,
// since nobody can say what the disk holds: restart.
absl::StatusOr<std::unique_ptr<MetadataStore>> NewEmbeddedStore(std::unique_ptr<storage::KeyValueStore> map,
                                                                const EmbeddedStoreOptions& options);

// The embedded store over a LevelDB in `dir`, which is created if it is missing.
absl::StatusOr<std::unique_ptr<MetadataStore>> OpenLevelDbMetadataStore(Env* env, absl::string_view dir,
                                                                        const EmbeddedStoreOptions& options);

// The embedded store over memory. Holds nothing beyond its own life.
std::unique_ptr<MetadataStore> NewMemoryMetadataStore();

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_EMBEDDED_STORE_H_
