#ifndef BARID_STORAGE_LEVELDB_ENV_H_
#define BARID_STORAGE_LEVELDB_ENV_H_

#include <memory>

#include "absl/status/status.h"
#include "base/env.h"
#include "leveldb/env.h"
#include "leveldb/status.h"

namespace barid::storage {

// LevelDB's view of our Env, so that its files lie on the same (simulated) disk as the log. Three things are stricter
// than LevelDB's own: the first Sync of a new file also syncs its directory, a new journal is in its directory durably
// before anything is written to it, and a rename is durable on return.
//
// Compactions run on the one background thread that LevelDB keeps per process (leveldb::Env::Default), also over a
// simulated disk: LevelDB schedules them with its mutex held, so they cannot run on the caller's thread. What they do
// is the same, when they do it is not repeatable. There is no clock and no sleep: LevelDB uses the one for statistics
// and the other to slow writers that are ahead of a compaction, and ours may wait for it instead.
//
// Any thread. `env` outlives it.
std::unique_ptr<leveldb::Env> NewLevelDbEnv(Env* env);

absl::Status FromLevelDb(const leveldb::Status& status);
leveldb::Status ToLevelDb(const absl::Status& status);

}  // namespace barid::storage

#endif  // BARID_STORAGE_LEVELDB_ENV_H_
