#ifndef BARID_STORAGE_HASH_FILE_H_
#define BARID_STORAGE_HASH_FILE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "base/env.h"
#include "base/ids.h"

// Where in one segment of a log something stands, by hashes of what it is about: a file derived from the segment, so
// that it may be lost, and is made again. docs/storage-format.md draws it.
namespace barid::storage {

// Something with this hash stands in the record at this place. A place is an offset in the segment, in units of
// kRecordAlignment.
struct HashPlace {
  uint64_t hash = 0;
  uint32_t place = 0;

  friend auto operator<=>(const HashPlace&, const HashPlace&) = default;
};

// Of which segment a file is made.
struct HashFileInfo {
  uint64_t log_id = 0;  // The log's secret: a file of another log is refused.
  uint64_t segment = 0;
  LogIndex first_index = 0;  // Of the segment's records,
  LogIndex end_index = 0;    // [first, end).
  int64_t first_time_us = 0;
  int64_t last_time_us = 0;
};

// "<dir>/00000000000000000007.hashes"
std::string HashFilePath(absl::string_view dir, uint64_t segment);
// The segments that have a file in `dir`, ascending; what a crash left of others is not among them.
absl::StatusOr<std::vector<uint64_t>> ListHashFiles(Env* env, absl::string_view dir);
// Removes the files of the segments below `segment`, and what crashes left behind.
absl::Status RemoveHashFilesBelow(Env* env, absl::string_view dir, uint64_t segment);

// Writes a file in runs: a run is what its writer keeps in memory at once. Not thread-safe.
class HashFileWriter {
 public:
  // In a directory that exists. The file gets its name, durably, in Finish; what is written until then is thrown away
  // by whoever begins again, or with the object.
  static absl::StatusOr<std::unique_ptr<HashFileWriter>> Create(Env* env, absl::string_view dir, uint64_t log_id,
                                                                uint64_t segment);
  ~HashFileWriter();

  // Sorts and writes them.
  absl::Status AddRun(std::vector<HashPlace> places);
  absl::Status Finish(const HashFileInfo& info);

 private:
  HashFileWriter(Env* env, absl::string_view dir, std::unique_ptr<File> file, uint64_t log_id, uint64_t segment);

  Env* const env_;
  const std::string dir_;
  const uint64_t log_id_;
  const uint64_t segment_;
  std::unique_ptr<File> file_;
  uint64_t pages_ = 0;
  std::vector<uint64_t> runs_;  // Entries of each.
};

// A finished file. Any thread.
class HashFile {
 public:
  // kNotFound: there is none. kDataLoss: it is damaged, or of another log or segment.
  static absl::StatusOr<std::unique_ptr<HashFile>> Open(Env* env, absl::string_view dir, uint64_t log_id,
                                                        uint64_t segment);

  const HashFileInfo& info() const { return info_; }

  // The places of `hash`, ascending, each once. Reads some pages of each run. kDataLoss if one of them is damaged.
  absl::StatusOr<std::vector<uint32_t>> Find(uint64_t hash) const;

 private:
  struct Run {
    uint64_t first_page = 0;
    uint64_t entries = 0;
  };

  HashFile(std::unique_ptr<File> file, std::string path) : file_(std::move(file)), path_(std::move(path)) {}

  absl::StatusOr<std::vector<HashPlace>> ReadPage(const Run& run, uint64_t page) const;

  const std::unique_ptr<File> file_;
  const std::string path_;
  HashFileInfo info_;
  std::vector<Run> runs_;
};

}  // namespace barid::storage

#endif  // BARID_STORAGE_HASH_FILE_H_
