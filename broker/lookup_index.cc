#include "broker/lookup_index.h"

#include <algorithm>
#include <utility>

#include "base/log.h"
#include "base/status.h"
#include "broker/lookup_keys.h"
#include "storage/files.h"

namespace barid::broker {
namespace {

constexpr size_t kSliceBytes = size_t{1} << 20;
constexpr int kSliceRecords = 64;

}  // namespace

// --- Searches ---

void LookupIndex::Find(Query query, Visit visit, Done done) {
  auto search = std::make_shared<Search>();
  search->wanted.insert(query.hashes.begin(), query.hashes.end());
  search->query = std::move(query);
  search->visit = std::move(visit);
  search->done = std::move(done);
  executor_->Post([self = shared_from_this(), search]() mutable {
    search->segment = std::max(search->query.from, self->log_->first_position()) / self->segment_bytes_;
    self->Run(std::move(search));
  });
}

void LookupIndex::Run(std::shared_ptr<Search> search) {
  const absl::StatusOr<Progress> progress = Step(search.get());
  if (!progress.ok()) return search->done(progress.status());
  if (*progress == Progress::kDone) return search->done(absl::OkStatus());
  executor_->Post([self = shared_from_this(), search = std::move(search)]() mutable { self->Run(std::move(search)); });
}

absl::StatusOr<LookupIndex::Progress> LookupIndex::Step(Search* search) {
  if (search->segment * segment_bytes_ >= search->query.end) return Progress::kDone;
  absl::StatusOr<Progress> progress = Progress::kMore;
  switch (search->mode) {
    case Search::Mode::kBegin:
      Begin(search);
      break;
    case Search::Mode::kPlaces:
      progress = ReadPlaces(search);
      break;
    case Search::Mode::kTail:
      if (const absl::Status status = ReadTail(search); !status.ok()) progress = status;
      break;
    case Search::Mode::kScan:
      progress = Scan(search);
      break;
  }
  if (absl::IsOutOfRange(progress.status())) {
    // Trimmed meanwhile.
    search->mode = Search::Mode::kBegin;
    search->segment = std::max(search->segment + 1, log_->first_position() / segment_bytes_);
    return Progress::kMore;
  }
  return progress;
}

void LookupIndex::Begin(Search* search) {
  const uint64_t segment = search->segment;
  search->places.clear();
  search->next_place = 0;
  search->scan = {segment * segment_bytes_, 0};
  search->mode = Search::Mode::kScan;
  const bool is_last = search->query.end / segment_bytes_ == segment;
  if (!is_last) {
    absl::Status status;
    if (auto file = storage::HashFile::Open(env_, dir_, log_id_, segment); file.ok()) {
      for (const uint64_t hash : search->query.hashes) {
        const absl::StatusOr<std::vector<uint32_t>> found = (*file)->Find(hash);
        if (!found.ok()) {
          status = found.status();
          break;
        }
        search->places.insert(search->places.end(), found->begin(), found->end());
      }
      if (status.ok()) {
        std::sort(search->places.begin(), search->places.end());
        search->places.erase(std::unique(search->places.begin(), search->places.end()), search->places.end());
        search->mode = Search::Mode::kPlaces;
        return;
      }
    } else {
      status = file.status();
    }
    search->places.clear();
    if (!absl::IsNotFound(status)) {
      LOG(WARNING) << "a file of hashes cannot be read; its segment is scanned, and the file made again"
                   << KV("error", status);
    }
    if (absl::IsDataLoss(status)) {
      env_->Remove(storage::HashFilePath(dir_, segment)).IgnoreError();
      files_.erase(segment);
    }
  }
  if (is_last || tail_.segment == segment) {
    if (tail_.segment != segment) tail_ = {segment, search->scan, {}};
    tail_is_used_ = true;
    search->mode = Search::Mode::kTail;
  }
}

absl::StatusOr<LookupIndex::Progress> LookupIndex::ReadPlaces(Search* search) {
  for (int i = 0; i < kSliceRecords; ++i) {
    if (search->next_place == search->places.size()) {
      // Behind those from memory, what memory did not take.
      if (search->scan.position > search->segment * segment_bytes_) {
        search->mode = Search::Mode::kScan;
      } else {
        search->mode = Search::Mode::kBegin;
        ++search->segment;
      }
      return Progress::kMore;
    }
    const uint64_t position =
        search->segment * segment_bytes_ + uint64_t{search->places[search->next_place++]} * storage::kRecordAlignment;
    if (position < search->query.from) continue;
    if (position >= search->query.end) return Progress::kDone;
    ASSIGN_OR_RETURN(const storage::Record record, log_->Read(position));
    if (!search->visit(record)) return Progress::kDone;
  }
  return Progress::kMore;
}

absl::Status LookupIndex::ReadTail(Search* search) {
  if (tail_.segment != search->segment) {
    // Another search has moved on.
    search->mode = Search::Mode::kScan;
    return absl::OkStatus();
  }
  if (!IsBehind(tail_.place, search->segment, search->query.end) && tail_.places.size() < MaxPlaces()) {
    ASSIGN_OR_RETURN(tail_.place, AddSlice(tail_.place, search->query.end, &tail_.places, nullptr));
    return absl::OkStatus();
  }
  for (const storage::HashPlace& place : tail_.places) {
    if (search->wanted.contains(place.hash)) search->places.push_back(place.place);
  }
  std::sort(search->places.begin(), search->places.end());
  search->places.erase(std::unique(search->places.begin(), search->places.end()), search->places.end());
  search->scan = tail_.place;
  search->mode = Search::Mode::kPlaces;
  return absl::OkStatus();
}

absl::StatusOr<LookupIndex::Progress> LookupIndex::Scan(Search* search) {
  if (IsBehind(search->scan, search->segment, search->query.end)) {
    search->mode = Search::Mode::kBegin;
    ++search->segment;
    return Progress::kMore;
  }
  bool go_on = true;
  ASSIGN_OR_RETURN(
      search->scan, log_->ReadRun(search->scan, search->query.end, kSliceBytes, [&](const storage::Record& record) {
        if (!go_on || record.position < search->query.from) return absl::OkStatus();
        bool has_one = false;
        const absl::Status status =
            VisitHashes(record, [&](uint64_t hash) { has_one = has_one || search->wanted.contains(hash); });
        if (status.ok() && has_one) go_on = search->visit(record);
        return status;
      }));
  return go_on ? Progress::kMore : Progress::kDone;
}

absl::StatusOr<storage::LogPlace> LookupIndex::AddSlice(const storage::LogPlace& from, uint64_t end,
                                                        std::vector<storage::HashPlace>* places,
                                                        storage::HashFileInfo* info) {
  return log_->ReadRun(from, end, kSliceBytes, [&](const storage::Record& record) {
    const auto place = static_cast<uint32_t>(record.position % segment_bytes_ / storage::kRecordAlignment);
    if (info != nullptr) {
      if (info->first_index == 0) {
        info->first_index = record.header.index;
        info->first_time_us = record.header.time_us;
      }
      info->end_index = record.header.index + 1;
      info->last_time_us = record.header.time_us;
    }
    return VisitHashes(record, [&](uint64_t hash) {
      // A record about a thousand messages of one block says so once.
      if (places->empty() || places->back() != storage::HashPlace{hash, place}) places->push_back({hash, place});
    });
  });
}

// --- Files ---

void LookupIndex::Maintain(uint64_t first_position, uint64_t end_position) {
  executor_->Post([self = shared_from_this(), first_position, end_position] {
    self->end_position_ = end_position;
    if (!std::exchange(self->tail_is_used_, false)) self->tail_ = Tail();
    const absl::Status removed = self->RemoveBelow(first_position / self->segment_bytes_);
    if (!removed.ok()) LOG(WARNING) << "cannot remove old files of hashes" << KV("error", removed);
    if (self->build_ == nullptr) self->BeginFile();
  });
}

absl::Status LookupIndex::RemoveBelow(uint64_t segment) {
  if (!listed_) {
    RETURN_IF_ERROR(storage::CreateDirDurably(env_, dir_));
    ASSIGN_OR_RETURN(const std::vector<uint64_t> files, storage::ListHashFiles(env_, dir_));
    files_.insert(files.begin(), files.end());
    listed_ = true;
  } else if (segment == first_segment_) {
    return absl::OkStatus();
  }
  RETURN_IF_ERROR(storage::RemoveHashFilesBelow(env_, dir_, segment));
  first_segment_ = segment;
  files_.erase(files_.begin(), files_.lower_bound(segment));
  refused_.erase(refused_.begin(), refused_.lower_bound(segment));
  return absl::OkStatus();
}

void LookupIndex::BeginFile() {
  if (!listed_) return;
  uint64_t segment = first_segment_;
  while (files_.contains(segment) || refused_.contains(segment)) ++segment;
  if ((segment + 1) * segment_bytes_ > end_position_) return;
  build_ = std::make_unique<Build>();
  build_->segment = segment;
  build_->place = {segment * segment_bytes_, 0};
  build_->info.log_id = log_id_;
  build_->info.segment = segment;
  auto writer = storage::HashFileWriter::Create(env_, dir_, log_id_, segment);
  if (!writer.ok()) return EndFile(writer.status());
  build_->writer = *std::move(writer);
  executor_->Post([self = shared_from_this()] { self->BuildSlice(); });
}

void LookupIndex::BuildSlice() {
  const absl::Status status = AddToFile();
  if (!status.ok() || IsBehind(build_->place, build_->segment, end_position_)) return EndFile(status);
  const absl::Duration pause =
      absl::Seconds(static_cast<double>(kSliceBytes) / static_cast<double>(options_.build_bytes_per_second));
  executor_->PostAfter(pause, [self = shared_from_this()] { self->BuildSlice(); });
}

absl::Status LookupIndex::AddToFile() {
  const absl::StatusOr<storage::LogPlace> next = AddSlice(build_->place, end_position_, &build_->places, &build_->info);
  if (absl::IsDataLoss(next.status())) refused_.insert(build_->segment);
  RETURN_IF_ERROR(next.status());
  build_->place = *next;
  if (build_->places.size() >= MaxPlaces()) {
    RETURN_IF_ERROR(build_->writer->AddRun(std::exchange(build_->places, {})));
  }
  if (!IsBehind(build_->place, build_->segment, end_position_)) return absl::OkStatus();
  RETURN_IF_ERROR(build_->writer->AddRun(std::move(build_->places)));
  return build_->writer->Finish(build_->info);
}

void LookupIndex::EndFile(const absl::Status& status) {
  const std::unique_ptr<Build> ended = std::move(build_);
  if (!status.ok()) {
    // Trimmed meanwhile, or to be tried again.
    if (!absl::IsOutOfRange(status)) {
      LOG(WARNING) << "no file of hashes for a segment of the log; searches scan it" << KV("segment", ended->segment)
                   << KV("error", status);
    }
    return;
  }
  files_.insert(ended->segment);
  if (tail_.segment == ended->segment) tail_ = Tail();
  BeginFile();
}

}  // namespace barid::broker
