#include "storage/leveldb_journal.h"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/strip.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/status.h"
#include "storage/files.h"

namespace barid::storage {
namespace {

constexpr uint64_t kBlockBytes = 32768;
constexpr uint64_t kHeaderBytes = 7;
enum Type : uint8_t { kWhole = 1, kFirst = 2, kMiddle = 3, kLast = 4 };

// LevelDB stores CRCs rotated and shifted, since a CRC over bytes that contain their own CRC is no check.
uint32_t Mask(uint32_t crc) { return ((crc >> 15) | (crc << 17)) + 0xa282ead8u; }

struct Piece {
  Type type;
  uint64_t end;
};

// The piece at `offset`, if one is there and its checksum is right.
std::optional<Piece> ReadPiece(absl::string_view content, uint64_t offset) {
  const uint64_t block_end = std::min<uint64_t>(content.size(), (offset / kBlockBytes + 1) * kBlockBytes);
  if (block_end - offset < kHeaderBytes) return std::nullopt;
  const char* header = content.data() + offset;
  const uint64_t length = LoadFixed<uint16_t>(header + 4);
  const auto type = static_cast<uint8_t>(header[6]);
  if (type < kWhole || type > kLast || length > block_end - offset - kHeaderBytes) return std::nullopt;
  if (Mask(Crc32c(content.substr(offset + 6, 1 + length))) != LoadFixed<uint32_t>(header)) return std::nullopt;
  return Piece{static_cast<Type>(type), offset + kHeaderBytes + length};
}

bool Begins(Type type) { return type == kWhole || type == kFirst; }

// How far the whole records at the front reach, and where the first bad place is (the end, if there is none).
struct Walk {
  uint64_t whole_end = 0;
  uint64_t bad = 0;
};

Walk WalkJournal(absl::string_view content, absl::FunctionRef<void(absl::string_view record)> visit) {
  Walk walk;
  std::string record;
  bool is_inside = false;  // Of a record of several pieces.
  while (walk.bad < content.size()) {
    if (kBlockBytes - walk.bad % kBlockBytes < kHeaderBytes) {
      // Too little for a header: filled with zeros.
      walk.bad = std::min<uint64_t>((walk.bad / kBlockBytes + 1) * kBlockBytes, content.size());
      if (!is_inside) walk.whole_end = walk.bad;
      continue;
    }
    const std::optional<Piece> piece = ReadPiece(content, walk.bad);
    if (!piece || Begins(piece->type) == is_inside) break;
    if (!is_inside) record.clear();
    const absl::string_view data = content.substr(walk.bad + kHeaderBytes, piece->end - walk.bad - kHeaderBytes);
    record.append(data.data(), data.size());
    walk.bad = piece->end;
    is_inside = piece->type == kFirst || piece->type == kMiddle;
    if (is_inside) continue;
    walk.whole_end = walk.bad;
    visit(record);
  }
  return walk;
}

absl::StatusOr<uint64_t> CheckedEnd(absl::string_view content, const Walk& walk) {
  // Any place, not only where LevelDB would go on: the length of the bad piece cannot be believed. A checksum that is
  // right by chance, or because somebody stored a journal in a value, makes us refuse a torn end; never the reverse.
  for (uint64_t later = std::max(walk.bad, walk.whole_end + 1); later < content.size(); ++later) {
    const std::optional<Piece> piece = ReadPiece(content, later);
    if (!piece || !Begins(piece->type)) continue;
    return absl::DataLossError(absl::StrCat("damaged between offset ", walk.whole_end, " and ", later,
                                            ", where a later record begins. Repair from another replica or a backup."));
  }
  return walk.whole_end;
}

// The number of the oldest journal of batches that an edit in a manifest says is still needed, if it says so.
// The fields are LevelDB's (db/version_edit.cc): a tag, then what the tag asks for.
std::optional<uint64_t> LogNumber(absl::string_view edit) {
  std::optional<uint64_t> number;
  uint64_t tag = 0;
  while (GetVarint(&edit, &tag)) {
    uint64_t value = 0;
    absl::string_view bytes;
    bool is_read = false;
    switch (tag) {
      case 1:  // Comparator.
        is_read = GetLengthPrefixed(&edit, &bytes);
        break;
      case 2:
        is_read = GetVarint(&edit, &value);
        if (is_read) number = value;
        break;
      case 3:  // Next file number, last sequence number, previous log.
      case 4:
      case 9:
        is_read = GetVarint(&edit, &value);
        break;
      case 5:  // Compaction pointer: level, key.
        is_read = GetVarint(&edit, &value) && GetLengthPrefixed(&edit, &bytes);
        break;
      case 6:  // Deleted table: level, number.
        is_read = GetVarint(&edit, &value) && GetVarint(&edit, &value);
        break;
      case 7:  // New table: level, number, size, smallest and largest key.
        is_read = GetVarint(&edit, &value) && GetVarint(&edit, &value) && GetVarint(&edit, &value) &&
                  GetLengthPrefixed(&edit, &bytes) && GetLengthPrefixed(&edit, &bytes);
        break;
    }
    if (!is_read) break;  // LevelDB says so itself, at once.
  }
  return number;
}

// Cuts the torn end of a journal off. Only the newest may have one.
absl::Status CutTornEnd(Env* env, const std::string& path, bool is_newest,
                        absl::FunctionRef<void(absl::string_view record)> visit) {
  // What the disk has of it: after a failed sync the page cache may show more.
  ASSIGN_OR_RETURN(const std::unique_ptr<DirectReader> reader, DirectReader::Open(env, path));
  ASSIGN_OR_RETURN(const absl::string_view content, reader->Read(0, reader->size()));
  ASSIGN_OR_RETURN(const std::string shown, ReadFile(env, path));
  const absl::StatusOr<uint64_t> end = CheckedEnd(content, WalkJournal(content, visit));
  if (!end.ok()) return Annotate(end.status(), path);
  if (shown != content) {
    // A sync of it failed before the process ended. LevelDB would believe the cache, go on in a newer journal, and this
    // one would be torn by the next power cut without being the newest. So it becomes what the disk has.
    return WriteFileDurably(env, path, content.substr(0, *end));
  }
  if (*end == content.size()) return absl::OkStatus();
  if (!is_newest) {
    return absl::DataLossError(absl::StrCat(path, ": damaged at offset ", *end,
                                            ", although it was finished. Repair from another replica or a backup."));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<File> file, env->Open(path, {.mode = OpenMode::kReadWrite}));
  RETURN_IF_ERROR(file->Truncate(*end));
  return file->Sync();
}

}  // namespace

absl::StatusOr<uint64_t> FindJournalEnd(absl::string_view content) {
  return CheckedEnd(content, WalkJournal(content, [](absl::string_view) {}));
}

absl::Status CutTornJournals(Env* env, absl::string_view dir) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListDir(dir));
  std::vector<std::string> logs;  // Sorted, as the names are: LevelDB pads its numbers to six digits.
  bool has_current = false;
  for (const std::string& name : names) {
    if (absl::EndsWith(name, ".log")) logs.push_back(name);
    has_current = has_current || name == "CURRENT";
  }
  if (!has_current) {
    const bool is_new = logs.empty() && std::none_of(names.begin(), names.end(), [](const std::string& name) {
                          return absl::EndsWith(name, ".ldb");
                        });
    if (is_new) return absl::OkStatus();
    return absl::DataLossError(
        absl::StrCat(dir, ": has files of a database but no CURRENT. Repair from another replica or a backup."));
  }
  // Of equal length they sort as numbers do; a longer number is a later one.
  std::stable_sort(logs.begin(), logs.end(),
                   [](const std::string& a, const std::string& b) { return a.size() < b.size(); });
  for (const std::string& log : logs) {
    RETURN_IF_ERROR(CutTornEnd(env, JoinPath(dir, log), log == logs.back(), [](absl::string_view) {}));
  }

  const std::string current = JoinPath(dir, "CURRENT");
  ASSIGN_OR_RETURN(const std::string manifest, ReadFile(env, current));
  if (!absl::StartsWith(manifest, "MANIFEST-") || !absl::EndsWith(manifest, "\n")) {
    return absl::DataLossError(
        absl::StrCat(current, ": does not name a manifest. Repair from another replica or a backup."));
  }
  const std::string path = JoinPath(dir, absl::StripSuffix(manifest, "\n"));
  uint64_t log_number = 0;
  const absl::Status cut = CutTornEnd(
      env, path, true, [&log_number](absl::string_view edit) { log_number = LogNumber(edit).value_or(log_number); });
  if (absl::IsNotFound(cut)) {
    return absl::DataLossError(absl::StrCat(current, ": names ", path, ", which is not there."));
  }
  RETURN_IF_ERROR(cut);
  // A journal is removed once a later edit is durable. So if it is gone, an edit was lost that had been durable, and
  // with it a table that LevelDB would not miss.
  const std::string log = absl::StrFormat("%06d.log", log_number);
  if (log_number == 0 || std::find(names.begin(), names.end(), log) != names.end()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat(path, ": needs ", log, ", which is not there. Repair from another replica or a backup."));
}

}  // namespace barid::storage
