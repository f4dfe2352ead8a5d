#ifndef BARID_STORAGE_IDENTITY_H_
#define BARID_STORAGE_IDENTITY_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "base/ids.h"

namespace barid::storage {

// Whose log a directory holds. Written before the log's first record and with every new log id; the log id is secret
// (storage/record.h), so the file is as private as the messages.
struct Identity {
  std::string cluster;
  ShardId shard;
  std::string replica;
  uint64_t log_id = 0;
  // A record of the log was durable once: a log without any is not this one.
  bool has_records = false;

  friend bool operator==(const Identity&, const Identity&) = default;
};

// Replaces the file in one durable step. kInvalidArgument for a name that does not fit on a line.
absl::Status WriteIdentity(Env* env, absl::string_view path, const Identity& identity);

// kNotFound if there is no such file; kDataLoss, saying which line, if it is not as WriteIdentity leaves it.
absl::StatusOr<Identity> ReadIdentity(Env* env, absl::string_view path);

}  // namespace barid::storage

#endif  // BARID_STORAGE_IDENTITY_H_
