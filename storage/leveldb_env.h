#ifndef BARID_STORAGE_LEVELDB_ENV_H_
#define BARID_STORAGE_LEVELDB_ENV_H_

#include <deque>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "base/env.h"
#include "base/mutex.h"
#include "leveldb/env.h"
#include "leveldb/status.h"

namespace barid::storage {

class LaterWork;

// LevelDB's view of our Env, so that its files lie on the same (simulated) disk as the log. Three things are stricter
// than LevelDB's own: the first Sync of a new file also syncs its directory, a new journal is in its directory durably
// before anything is written to it, and a rename is durable on return.
//
// Compactions run on the one background thread that LevelDB keeps per process (leveldb::Env::Default): when they do is
// not repeatable. With `later` they wait there instead: LevelDB schedules them with its mutex held, so they cannot run
// at once on the caller's thread. There is no clock and no sleep: LevelDB uses the one for statistics and the other to
// slow writers that are ahead of a compaction, and ours may wait for it instead.
//
// Any thread. `env` and `later` outlive it.
std::unique_ptr<leveldb::Env> NewLevelDbEnv(Env* env, LaterWork* later = nullptr);

// What LevelDB wants to have done in the background, until somebody does it who does not hold its mutex. Any thread.
class LaterWork {
 public:
  void Add(void (*function)(void*), void* argument);
  // Does all of it, and what that adds.
  void Do();

 private:
  Mutex mu_;
  std::deque<std::pair<void (*)(void*), void*>> work_ ABSL_GUARDED_BY(mu_);
};

absl::Status FromLevelDb(const leveldb::Status& status);
leveldb::Status ToLevelDb(const absl::Status& status);

}  // namespace barid::storage

#endif  // BARID_STORAGE_LEVELDB_ENV_H_
