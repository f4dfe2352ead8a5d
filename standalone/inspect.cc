#include "standalone/inspect.h"

#include <cstdio>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/overlay_env.h"
#include "base/setting_types.h"
#include "base/status.h"
#include "broker/command.h"
#include "broker/state.h"
#include "standalone/process.h"
#include "storage/identity.h"
#include "storage/key_value_store.h"
#include "storage/log_scan.h"

namespace barid {
namespace {

struct InspectOptions {
  std::string dir;
  int64_t segment_bytes = 256 * kMiB;
  bool records = false;  // Each record.
  bool entries = false;  // Each index entry, delivery and timer.
};

constexpr char kUsage[] =
    "usage: barid inspect DIR [--records] [--entries] [--segment-bytes SIZE]\n"
    "\n"
    "  --records        print each record of the logs\n"
    "  --entries        print each index entry, each delivery in flight and each scheduled message\n"
    "  --segment-bytes  the setting storage.segment_bytes, if it was changed\n";

// The records of a log, counted by kind, printed if wanted.
absl::Status InspectLog(Env* env, const InspectOptions& options, const std::string& dir, uint64_t log_id,
                        LogIndex* last_index) {
  storage::CommitLogOptions log_options;
  log_options.segment_bytes = static_cast<uint64_t>(options.segment_bytes);
  log_options.log_id = log_id;
  ASSIGN_OR_RETURN(const storage::LogStart start, storage::FindLogStart(env, dir, log_options));
  std::map<uint16_t, int64_t> kinds;
  ASSIGN_OR_RETURN(const storage::LogScan scan,
                   storage::ScanLog(env, dir, log_options, start, [&](const storage::Record& record) -> absl::Status {
                     ++kinds[record.header.type];
                     ASSIGN_OR_RETURN(const broker::Command command,
                                      broker::DecodeCommand(record.header.type, record.payload.view()));
                     if (!options.records) return absl::OkStatus();
                     std::string text;
                     std::visit(
                         [&text](const auto& message) {
                           if constexpr (!std::is_same_v<std::decay_t<decltype(message)>, std::monostate>) {
                             text = message.ShortDebugString();
                           }
                         },
                         command);
                     std::printf("    %d at %d epoch %d %s durable %d %s {%s} %d bytes\n",
                                 static_cast<int>(record.header.index), static_cast<int>(record.position),
                                 static_cast<int>(record.header.epoch),
                                 TimeText(absl::FromUnixMicros(record.header.time_us)).c_str(),
                                 static_cast<int>(record.header.durable),
                                 std::string(broker::CommandName(record.header.type)).c_str(), text.c_str(),
                                 static_cast<int>(record.header.length));
                     return absl::OkStatus();
                   }));
  *last_index = scan.last_index;
  std::printf("  log: %s\n",
              absl::StrCat(scan.segments.size(), " segments, records ", start.index, " to ", scan.last_index,
                           ", epoch ", scan.last_epoch, ", last at ", TimeText(absl::FromUnixMicros(scan.last_time_us)),
                           ", running hash ", absl::Hex(scan.chain),
                           scan.is_torn ? ", torn tail behind it (cut at the next start)" : "", ": verified")
                  .c_str());
  for (const auto& [kind, count] : kinds) {
    std::printf("    %-15s %s\n", std::string(broker::CommandName(kind)).c_str(), absl::StrCat(count).c_str());
  }
  return absl::OkStatus();
}

absl::Status PrintEntries(broker::State* state) {
  for (const auto& [key, queue] : state->queues()) {
    for (QueueOffset offset = queue.first; offset < queue.end; ++offset) {
      ASSIGN_OR_RETURN(const broker::IndexBlock* const block, state->index().Load(broker::BlockOf(key, offset)));
      const broker::IndexEntry& entry = block->entries[static_cast<size_t>(offset % broker::kBlockEntries)];
      std::printf(
          "    entry %s\n",
          absl::StrCat(key.topic.value(), "/", key.queue, "/", offset, ": record ", entry.index, " at ", entry.position,
                       "+", entry.offset, ", ", entry.bytes, " bytes, tag ", absl::Hex(entry.tag_hash),
                       entry.message_group == 0 ? "" : absl::StrCat(", message group ", absl::Hex(entry.message_group)),
                       ", ", TimeText(absl::FromUnixMicros(entry.time_us)))
              .c_str());
    }
  }
  for (const auto& [key, cursor] : state->cursors()) {
    for (const auto& [offset, delivery] : cursor.in_flight) {
      std::printf("    delivery %s\n",
                  absl::StrCat("group ", key.group.value(), " ", key.queue.topic.value(), "/", key.queue.queue, "/",
                               offset, ": attempt ", delivery.attempts, ", nonce ", delivery.nonce,
                               delivery.visible ? ", visible since " : ", invisible until ",
                               TimeText(absl::FromUnixMicros(delivery.invisible_until)),
                               delivery.held ? ", held by " : ", given to ", *delivery.client,
                               delivery.message_group == 0
                                   ? ""
                                   : absl::StrCat(", locks message group ", absl::Hex(delivery.message_group)))
                      .c_str());
    }
    for (const auto& [offset, message_group] : cursor.parked) {
      std::printf("    parked %s\n",
                  absl::StrCat("group ", key.group.value(), " ", key.queue.topic.value(), "/", key.queue.queue, "/",
                               offset, ": message group ", absl::Hex(message_group),
                               cursor.IsLocked(message_group) ? ", locked" : ", not locked")
                      .c_str());
    }
  }
  for (const auto& [key, offset] : state->offsets().all()) {
    std::printf("    stored offset %s\n", absl::StrCat("of group ", key.group.value(), " in ", key.queue.topic.value(),
                                                       "/", key.queue.queue, ": ", offset)
                                              .c_str());
  }
  for (const auto& [key, transaction] : state->transactions().open()) {
    std::printf("    transaction %s\n",
                absl::StrCat(
                    "for ", transaction.queue.topic.value(), "/", transaction.queue.queue, ", prepared ",
                    TimeText(absl::FromUnixMicros(transaction.prepared_us)), ", ", transaction.checks, " checks, next ",
                    TimeText(absl::FromUnixMicros(transaction.check_at_us)), ": record ", key.index, " entry ",
                    key.entry, " at ", transaction.position, "+", transaction.offset, ", ", transaction.bytes, " bytes",
                    transaction.carried_to == 0 ? "" : absl::StrCat(", carried to record ", transaction.carried_to))
                    .c_str());
  }
  return state->timers().VisitAll([](const TimerKey& key, const broker::Timer& timer) {
    std::printf("    timer %s\n",
                absl::StrCat("for ", timer.queue.topic.value(), "/", timer.queue.queue, ", due ",
                             TimeText(absl::FromUnixMicros(key.deliver_at_us)), ": record ", key.index, " entry ",
                             key.entry, " at ", timer.position, "+", timer.offset, ", ", timer.bytes, " bytes",
                             timer.carried_to == 0 ? "" : absl::StrCat(", carried to record ", timer.carried_to))
                    .c_str());
  });
}

absl::Status InspectCheckpoint(Env* env, const InspectOptions& options, const std::string& dir, LogIndex last_index) {
  ASSIGN_OR_RETURN(const bool exists, env->Exists(dir));
  if (!exists) {
    std::printf("  checkpoint: none\n");
    return absl::OkStatus();
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<storage::KeyValueStore> store, storage::OpenLevelDbStore(env, dir, {}));
  broker::State state(store.get(), 4096);
  RETURN_IF_ERROR(state.Load(*store));
  if (state.applied_index() > last_index) {
    return absl::DataLossError(
        absl::StrCat("the checkpoint covers record ", state.applied_index(), ", the log ends at ", last_index));
  }
  std::printf("  checkpoint: %s\n", absl::StrCat("applied ", state.applied_index(), ", log start ", state.log_start(),
                                                 ", state hash ", absl::Hex(state.hash()))
                                        .c_str());
  for (const auto& [key, queue] : state.queues()) {
    std::printf("    queue %s\n",
                absl::StrCat(key.topic.value(), "/", key.queue, ": offsets [", queue.first, ", ", queue.end, "), ",
                             queue.bytes, " bytes, ", queue.delayed, " scheduled", queue.deleted ? ", deleted" : "")
                    .c_str());
  }
  for (const auto& [key, cursor] : state.cursors()) {
    std::printf("    cursor %s\n",
                absl::StrCat("group ", key.group.value(), " on ", key.queue.topic.value(), "/", key.queue.queue,
                             ": floor ", cursor.floor(), ", next ", cursor.next, ", in flight ", cursor.invisible,
                             ", again ", static_cast<int64_t>(cursor.in_flight.size()) - cursor.invisible,
                             cursor.ordered ? absl::StrCat(", ordered: parked ", cursor.parked.size(),
                                                           ", message groups locked ", cursor.locks.size())
                                            : "")
                    .c_str());
  }
  std::printf("    stored offsets %s\n", absl::StrCat(state.offsets().all().size()).c_str());
  std::printf("    transactions %s\n", absl::StrCat(state.transactions().open().size(), " open, the ends of ",
                                                    state.transactions().ended(), " remembered")
                                           .c_str());
  if (options.entries) RETURN_IF_ERROR(PrintEntries(&state));
  ASSIGN_OR_RETURN(const uint64_t hash, state.RecomputeHash());
  if (hash != state.hash()) {
    return absl::DataLossError(
        absl::StrCat("the state hashes to ", absl::Hex(hash), ", the checkpoint says ", absl::Hex(state.hash())));
  }
  RETURN_IF_ERROR(state.VerifyCounts());
  std::printf("    hash and counts: verified\n");
  return absl::OkStatus();
}

absl::Status InspectShard(Env* env, const InspectOptions& options, const std::string& dir) {
  ASSIGN_OR_RETURN(const storage::Identity identity, storage::ReadIdentity(env, JoinPath(dir, "identity")));
  std::printf("shard %s\n",
              absl::StrCat(identity.shard.value(), " in ", dir, ": cluster ", identity.cluster, ", replica ",
                           identity.replica, ", log ", absl::Hex(identity.log_id, absl::kZeroPad16))
                  .c_str());
  LogIndex last_index = 0;
  const absl::Status log = InspectLog(env, options, JoinPath(dir, "log"), identity.log_id, &last_index);
  if (absl::IsNotFound(log)) {
    std::printf("  log: empty\n");
  } else {
    RETURN_IF_ERROR(Annotate(log, "log"));
  }
  return Annotate(InspectCheckpoint(env, options, JoinPath(dir, "state"), last_index), "checkpoint");
}

absl::Status Inspect(Env* env, const InspectOptions& options) {
  const std::string shards = JoinPath(options.dir, "shards");
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListDir(shards));
  for (const std::string& name : names) {
    const absl::Status inspected = InspectShard(env, options, JoinPath(shards, name));
    if (!inspected.ok()) return Annotate(inspected, absl::StrCat("shard ", name));
  }
  std::printf("%s: everything verified\n",
              absl::StrCat(names.size(), names.size() == 1 ? " shard" : " shards").c_str());
  return absl::OkStatus();
}

}  // namespace

int RunInspect(const std::vector<std::string>& arguments) {
  InspectOptions options;
  for (size_t i = 0; i < arguments.size(); ++i) {
    ByteSize size;
    if (arguments[i] == "--records") {
      options.records = true;
    } else if (arguments[i] == "--entries") {
      options.entries = true;
    } else if (arguments[i] == "--segment-bytes" && i + 1 < arguments.size() &&
               settings_internal::Parse(arguments[i + 1], &size)) {
      options.segment_bytes = size;
      ++i;
    } else if (options.dir.empty() && !absl::StartsWith(arguments[i], "-")) {
      options.dir = arguments[i];
    } else {
      std::fprintf(stderr, "barid inspect: \"%s\" is not understood\n\n%s", arguments[i].c_str(), kUsage);
      return kExitBadSetting;
    }
  }
  if (options.dir.empty()) {
    std::fprintf(stderr, "%s", kUsage);
    return kExitBadSetting;
  }
  // LevelDB cannot be opened without tidying it up, so that happens in memory.
  OverlayEnv env(RealEnv());
  const absl::StatusOr<std::unique_ptr<DirLock>> lock = env.LockDir(options.dir);
  if (!lock.ok()) {
    std::fprintf(stderr, "barid inspect: %s; stop it first\n", std::string(lock.status().message()).c_str());
    return kExitDataDirInUse;
  }
  const absl::Status inspected = Inspect(&env, options);
  if (inspected.ok()) return kExitDrained;
  std::fprintf(stderr, "barid inspect: %s\n", std::string(inspected.message()).c_str());
  return absl::IsDataLoss(inspected) ? kExitDamage : kExitFailed;
}

}  // namespace barid
