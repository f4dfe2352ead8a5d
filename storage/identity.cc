#include "storage/identity.h"

#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "base/crc32c.h"
#include "base/status.h"

namespace barid::storage {
namespace {

constexpr absl::string_view kTitle = "barid replica 1";
constexpr absl::string_view kHasRecords = "records: yes\n";

std::string Hex(uint64_t value) { return absl::StrCat(absl::Hex(value, absl::kZeroPad16)); }

std::string Format(const Identity& identity) {
  std::string text = absl::StrCat(kTitle, "\ncluster: ", identity.cluster, "\nshard: ", identity.shard.value(),
                                  "\nreplica: ", identity.replica, "\nlog_id: ", Hex(identity.log_id), "\n",
                                  identity.has_records ? kHasRecords : "");
  absl::StrAppend(&text, "crc32c: ", absl::Hex(Crc32c(text), absl::kZeroPad8), "\n");
  return text;
}

bool FitsOnALine(absl::string_view name) { return !name.empty() && name.find('\n') == absl::string_view::npos; }

}  // namespace

absl::Status WriteIdentity(Env* env, absl::string_view path, const Identity& identity) {
  if (!FitsOnALine(identity.cluster) || !FitsOnALine(identity.replica)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": cluster and replica must be one line and not empty"));
  }
  return WriteFileDurably(env, path, Format(identity));
}

absl::StatusOr<Identity> ReadIdentity(Env* env, absl::string_view path) {
  ASSIGN_OR_RETURN(const std::string text, ReadFile(env, path));
  const std::vector<absl::string_view> lines = absl::StrSplit(text, '\n');
  const auto bad = [&](size_t line, absl::string_view expected) {
    return absl::DataLossError(
        absl::StrCat(path, ":", line + 1, ": expected ", expected,
                     ". Without its identity this replica's log is not opened; restore the file."));
  };
  Identity identity;
  absl::string_view value;
  const auto has = [&](size_t line, absl::string_view name) {
    if (line >= lines.size()) return false;
    value = lines[line];
    return absl::ConsumePrefix(&value, absl::StrCat(name, ": "));
  };
  if (lines[0] != kTitle) return bad(0, absl::StrCat("\"", kTitle, "\""));
  if (!has(1, "cluster")) return bad(1, "cluster: <name>");
  identity.cluster = std::string(value);
  uint64_t shard = 0;
  if (!has(2, "shard") || !absl::SimpleAtoi(value, &shard)) return bad(2, "shard: <number>");
  identity.shard = ShardId(shard);
  if (!has(3, "replica")) return bad(3, "replica: <name>");
  identity.replica = std::string(value);
  if (!has(4, "log_id") || !absl::SimpleHexAtoi(value, &identity.log_id)) return bad(4, "log_id: <16 hex digits>");
  identity.has_records = has(5, "records");
  // What was read must be, byte for byte, what would be written: that covers the checksum's line, and what follows it.
  if (text != Format(identity))
    return bad(identity.has_records ? 6 : 5, "the checksum of the lines before it, and nothing behind it");
  return identity;
}

}  // namespace barid::storage
