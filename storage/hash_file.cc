#include "storage/hash_file.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "base/coding.h"
#include "base/crc32c.h"
#include "base/status.h"

namespace barid::storage {
namespace {

constexpr absl::string_view kSuffix = ".hashes";
constexpr absl::string_view kUnfinished = ".hashes.new";
constexpr uint64_t kMagic = 0x3153454853414842;  // "BHASHES1"

constexpr size_t kPageBytes = 4096;
constexpr size_t kCrcOffset = kPageBytes - sizeof(uint32_t);
constexpr size_t kEntryBytes = 12;
constexpr size_t kPageEntries = kCrcOffset / kEntryBytes;
static_assert(kPageEntries * kEntryBytes == kCrcOffset);
// Of the last page: what stands before the runs' sizes.
constexpr size_t kFootBytes = 7 * sizeof(uint64_t) + sizeof(uint32_t);
constexpr size_t kMaxRuns = (kCrcOffset - kFootBytes) / sizeof(uint64_t);

// The page's place goes into it, so that a page which stands elsewhere does not pass.
uint32_t PageCrc(uint64_t log_id, uint64_t segment, uint64_t page, absl::string_view bytes) {
  std::string where;
  PutFixed(&where, log_id);
  PutFixed(&where, segment);
  PutFixed(&where, page);
  return ExtendCrc32c(Crc32c(where), bytes);
}

void SealPage(uint64_t log_id, uint64_t segment, uint64_t page, std::string* bytes) {
  bytes->resize(kCrcOffset);
  PutFixed(bytes, PageCrc(log_id, segment, page, *bytes));
}

uint64_t PagesOf(uint64_t entries) { return (entries + kPageEntries - 1) / kPageEntries; }

std::string UnfinishedPath(absl::string_view dir, uint64_t segment) {
  return JoinPath(dir, absl::StrFormat("%020d%s", segment, kUnfinished));
}

}  // namespace

std::string HashFilePath(absl::string_view dir, uint64_t segment) {
  return JoinPath(dir, absl::StrFormat("%020d%s", segment, kSuffix));
}

absl::StatusOr<std::vector<uint64_t>> ListHashFiles(Env* env, absl::string_view dir) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListDir(dir));
  std::vector<uint64_t> segments;
  for (const std::string& name : names) {
    uint64_t segment = 0;
    if (absl::EndsWith(name, kSuffix) &&
        absl::SimpleAtoi(absl::string_view(name).substr(0, name.size() - kSuffix.size()), &segment)) {
      segments.push_back(segment);
    }
  }
  std::sort(segments.begin(), segments.end());
  return segments;
}

absl::Status RemoveHashFilesBelow(Env* env, absl::string_view dir, uint64_t segment) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, env->ListDir(dir));
  for (const std::string& name : names) {
    const absl::string_view digits = absl::string_view(name).substr(0, name.find('.'));
    uint64_t of = 0;
    if (!absl::SimpleAtoi(digits, &of) || of >= segment) continue;
    RETURN_IF_ERROR(env->Remove(JoinPath(dir, name)));
  }
  return absl::OkStatus();
}

HashFileWriter::HashFileWriter(Env* env, absl::string_view dir, std::unique_ptr<File> file, uint64_t log_id,
                               uint64_t segment)
    : env_(env), dir_(dir), log_id_(log_id), segment_(segment), file_(std::move(file)) {}

HashFileWriter::~HashFileWriter() {
  if (file_ == nullptr) return;
  file_ = nullptr;
  // If it stays, whoever begins again cuts it.
  env_->Remove(UnfinishedPath(dir_, segment_)).IgnoreError();
}

absl::StatusOr<std::unique_ptr<HashFileWriter>> HashFileWriter::Create(Env* env, absl::string_view dir, uint64_t log_id,
                                                                       uint64_t segment) {
  ASSIGN_OR_RETURN(std::unique_ptr<File> file, env->Open(UnfinishedPath(dir, segment), {.mode = OpenMode::kTruncate}));
  return std::unique_ptr<HashFileWriter>(new HashFileWriter(env, dir, std::move(file), log_id, segment));
}

absl::Status HashFileWriter::AddRun(std::vector<HashPlace> places) {
  if (places.empty()) return absl::OkStatus();
  if (runs_.size() == kMaxRuns) {
    return absl::ResourceExhaustedError(absl::StrCat("a file of hashes takes at most ", kMaxRuns, " runs"));
  }
  std::sort(places.begin(), places.end());
  places.erase(std::unique(places.begin(), places.end()), places.end());
  runs_.push_back(places.size());
  std::string page;
  for (size_t first = 0; first < places.size(); first += kPageEntries) {
    page.clear();
    const size_t end = std::min(first + kPageEntries, places.size());
    for (size_t i = first; i < end; ++i) {
      PutFixed(&page, places[i].hash);
      PutFixed(&page, places[i].place);
    }
    SealPage(log_id_, segment_, pages_, &page);
    RETURN_IF_ERROR(file_->Write(pages_ * kPageBytes, page));
    ++pages_;
  }
  return absl::OkStatus();
}

absl::Status HashFileWriter::Finish(const HashFileInfo& info) {
  std::string page;
  PutFixed(&page, kMagic);
  PutFixed(&page, log_id_);
  PutFixed(&page, segment_);
  PutFixed(&page, info.first_index);
  PutFixed(&page, info.end_index);
  PutFixed(&page, info.first_time_us);
  PutFixed(&page, info.last_time_us);
  PutFixed(&page, static_cast<uint32_t>(runs_.size()));
  for (const uint64_t entries : runs_) PutFixed(&page, entries);
  SealPage(log_id_, segment_, pages_, &page);
  RETURN_IF_ERROR(file_->Write(pages_ * kPageBytes, page));
  RETURN_IF_ERROR(file_->Sync());
  RETURN_IF_ERROR(env_->Rename(UnfinishedPath(dir_, segment_), HashFilePath(dir_, segment_)));
  file_ = nullptr;
  return env_->SyncDir(dir_);
}

absl::StatusOr<std::unique_ptr<HashFile>> HashFile::Open(Env* env, absl::string_view dir, uint64_t log_id,
                                                         uint64_t segment) {
  const std::string path = HashFilePath(dir, segment);
  ASSIGN_OR_RETURN(std::unique_ptr<File> opened, env->Open(path, {.mode = OpenMode::kRead}));
  std::unique_ptr<HashFile> file(new HashFile(std::move(opened), path));
  const auto damaged = [&path](absl::string_view what) { return absl::DataLossError(absl::StrCat(path, ": ", what)); };
  ASSIGN_OR_RETURN(const uint64_t size, file->file_->Size());
  if (size < kPageBytes || size % kPageBytes != 0) return damaged(absl::StrCat("has ", size, " bytes"));
  std::string page(kPageBytes, '\0');
  const uint64_t last = size / kPageBytes - 1;
  ASSIGN_OR_RETURN(const size_t read, file->file_->Read(last * kPageBytes, kPageBytes, page.data()));
  absl::string_view foot = absl::string_view(page).substr(0, kCrcOffset);
  if (read < kPageBytes || PageCrc(log_id, segment, last, foot) != LoadFixed<uint32_t>(page.data() + kCrcOffset)) {
    return damaged("the checksum of its last page does not match");
  }
  uint64_t magic = 0;
  uint32_t runs = 0;
  HashFileInfo& info = file->info_;
  GetFixed(&foot, &magic);
  GetFixed(&foot, &info.log_id);
  GetFixed(&foot, &info.segment);
  GetFixed(&foot, &info.first_index);
  GetFixed(&foot, &info.end_index);
  GetFixed(&foot, &info.first_time_us);
  GetFixed(&foot, &info.last_time_us);
  GetFixed(&foot, &runs);
  if (magic != kMagic || info.log_id != log_id || info.segment != segment || runs > kMaxRuns) {
    return damaged("is not a file of hashes of this segment");
  }
  uint64_t first_page = 0;
  for (uint32_t i = 0; i < runs; ++i) {
    Run run;
    run.first_page = first_page;
    GetFixed(&foot, &run.entries);
    if (run.entries == 0 || run.entries > (last - first_page) * kPageEntries) return damaged("its runs do not add up");
    first_page += PagesOf(run.entries);
    file->runs_.push_back(run);
  }
  if (first_page != last) return damaged("its runs do not add up");
  return file;
}

absl::StatusOr<std::vector<HashPlace>> HashFile::ReadPage(const Run& run, uint64_t page) const {
  char bytes[kPageBytes];
  const uint64_t number = run.first_page + page;
  ASSIGN_OR_RETURN(const size_t read, file_->Read(number * kPageBytes, kPageBytes, bytes));
  if (read < kPageBytes || PageCrc(info_.log_id, info_.segment, number, absl::string_view(bytes, kCrcOffset)) !=
                               LoadFixed<uint32_t>(bytes + kCrcOffset)) {
    return absl::DataLossError(absl::StrCat(path_, ": the checksum of page ", number, " does not match"));
  }
  std::vector<HashPlace> places(std::min<uint64_t>(kPageEntries, run.entries - page * kPageEntries));
  for (size_t i = 0; i < places.size(); ++i) {
    places[i].hash = LoadFixed<uint64_t>(bytes + i * kEntryBytes);
    places[i].place = LoadFixed<uint32_t>(bytes + i * kEntryBytes + sizeof(uint64_t));
  }
  return places;
}

absl::StatusOr<std::vector<uint32_t>> HashFile::Find(uint64_t hash) const {
  std::vector<uint32_t> found;
  for (const Run& run : runs_) {
    // The first page whose last entry is not before the hash.
    uint64_t low = 0;
    uint64_t high = PagesOf(run.entries);
    while (low < high) {
      const uint64_t middle = low + (high - low) / 2;
      ASSIGN_OR_RETURN(const std::vector<HashPlace> places, ReadPage(run, middle));
      if (places.back().hash < hash) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    for (bool more = true; more && low < PagesOf(run.entries); ++low) {
      ASSIGN_OR_RETURN(const std::vector<HashPlace> places, ReadPage(run, low));
      for (auto it = std::lower_bound(places.begin(), places.end(), HashPlace{hash, 0}); it != places.end(); ++it) {
        more = it->hash == hash;
        if (!more) break;
        found.push_back(it->place);
      }
    }
  }
  std::sort(found.begin(), found.end());
  found.erase(std::unique(found.begin(), found.end()), found.end());
  return found;
}

}  // namespace barid::storage
