#ifndef BARID_BROKER_AUDIT_H_
#define BARID_BROKER_AUDIT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/any_invocable.h"
#include "absl/status/status.h"
#include "base/metadata.h"
#include "broker/audit_scan.h"
#include "broker/shard_core.h"

namespace barid::broker {

// Recounts, every now and then, what a shard counts, and says what does not agree: an error in the log for each, and a
// figure that is to be 0 for ever. Nothing is repaired: a restart counts anew.
//
// It reads the newest checkpoint, a consistent moment at most a few seconds old, on the executor of look-ups, in slices
// with pauses between them; the shard's own thread only begins it and hears of its end. Belongs to the shard's
// executor.
class Audit {
 public:
  struct Report {
    int64_t runs = 0;                          // That came to an end,
    int64_t counts = 0;                        // what they compared,
    int64_t mismatches = 0;                    // and what of it did not agree.
    std::vector<std::string> last_mismatches;  // Of the last run that found any.
  };

  explicit Audit(ShardCore* core) : core_(core) {}
  ~Audit() { *stopped_ = true; }

  void SetMetadata(std::shared_ptr<const Metadata> metadata) { metadata_ = std::move(metadata); }

  // Begins one if it is time to.
  void Tick(int64_t now_us);
  // Begins one now. `done` runs when it has come to an end: kNotFound if there is nothing to compare yet, kAborted if
  // one is under way.
  void Run(absl::AnyInvocable<void(absl::Status)> done);
  const Report& report() const { return report_; }

 private:
  struct Job;
  static void RunSlice(const std::shared_ptr<Job>& job);
  void OnEnd(const Job& job, const absl::Status& status);
  static std::string Describe(const CountMismatch& mismatch);

  ShardCore* const core_;
  std::shared_ptr<const Metadata> metadata_ = std::make_shared<Metadata>();
  Report report_;
  bool under_way_ = false;
  int64_t next_us_ = 0;  // 0: not known yet.
  // Slices that are on their way stop at it.
  const std::shared_ptr<std::atomic<bool>> stopped_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace barid::broker

#endif  // BARID_BROKER_AUDIT_H_
