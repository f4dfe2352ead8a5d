#ifndef BARID_CONTROLLER_METADATA_STORE_H_
#define BARID_CONTROLLER_METADATA_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "base/ids.h"

namespace barid::controller {

// A holder of keys that vanish with it. 0 is none: the key stays until it is deleted.
using SessionId = StrongId<struct SessionIdTag, int64_t>;

// The cluster's memory: an ordered map of small values. Every transaction that changes something takes the next
// revision, and every key remembers the revision that wrote it last, so a writer can say "if nobody was here since I
// looked".
//
// A transaction is durable when Txn returns, and visible to every later Get and Range. Calls may block on the disk or
// on the network, so they belong on an executor that may wait. Any thread.
class MetadataStore {
 public:
  virtual ~MetadataStore() = default;

  struct Entry {
    std::string key;
    std::string value;
    int64_t revision = 0;  // Of the transaction that wrote it last.
  };
  struct Snapshot {
    int64_t revision = 0;  // Of the store when it was read.
    std::vector<Entry> entries;
  };

  // The key was last written by the transaction `revision`; 0: there is no such key.
  struct Compare {
    std::string key;
    int64_t revision = 0;
  };
  struct Operation {
    std::string key;
    std::optional<std::string> value;  // Absent: the key is deleted; no error if there is none.
    SessionId session;                 // For a value: deleted again when this session ends.
  };

  // What one transaction changed, in the order of its operations.
  struct Change {
    int64_t revision = 0;
    std::vector<Operation> operations;
  };
  using Observer = absl::AnyInvocable<void(const Change&)>;
  // Destroying it ends the watch: the observer does not run afterwards. Not from within the observer.
  class Watch {
   public:
    virtual ~Watch() = default;
  };

  // kNotFound.
  virtual absl::StatusOr<Entry> Get(absl::string_view key) const = 0;

  // The keys in [first, end), in order, all as of one revision. An empty `end` means to the last key.
  virtual absl::StatusOr<Snapshot> Range(absl::string_view first, absl::string_view end) const = 0;

  // Applies all operations, or none of them:
  //   OK           the revision of the change; without operations, the store's
  //   kAborted     a comparison failed; nothing changed
  //   kNotFound    an operation's session does not exist (any more)
  //   other        outcome unknown: the change may be there after a restart
  // No key stands in two operations.
  virtual absl::StatusOr<int64_t> Txn(const std::vector<Compare>& compares, std::vector<Operation> operations) = 0;

  // Calls `observer` with every change after `revision`, in revision order and without gaps, on any thread, one at a
  // time. Changes that are there already may be delivered before this returns, those of a Txn before it returns. The
  // observer must not call the store. kOutOfRange, with the range that is left (barid::OffsetRange): `revision` is too
  // long ago or in the future; read a Range and watch from there.
  virtual absl::StatusOr<std::unique_ptr<Watch>> WatchFrom(int64_t revision, Observer observer) = 0;

  // A session ends by EndSession, with the process, or, where the store is another process, when `ttl` passes without
  // KeepAlive. Its keys are then deleted in one transaction. kNotFound: it has ended.
  virtual absl::StatusOr<SessionId> OpenSession(absl::Duration ttl) = 0;
  virtual absl::Status KeepAlive(SessionId session) = 0;
  virtual absl::Status EndSession(SessionId session) = 0;
};

}  // namespace barid::controller

#endif  // BARID_CONTROLLER_METADATA_STORE_H_
