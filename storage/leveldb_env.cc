#include "storage/leveldb_env.h"

#include <atomic>
#include <cstdarg>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "base/log.h"
#include "base/status.h"

namespace barid::storage {
namespace {

constexpr size_t kWriteBufferBytes = 64 << 10;

absl::string_view DirOf(absl::string_view path) { return path.substr(0, path.rfind('/')); }

class SequentialFile : public leveldb::SequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<File> file) : file_(std::move(file)) {}

  leveldb::Status Read(size_t n, leveldb::Slice* result, char* scratch) override {
    const absl::StatusOr<size_t> size = file_->Read(offset_, n, scratch);
    if (!size.ok()) return ToLevelDb(size.status());
    offset_ += *size;
    *result = leveldb::Slice(scratch, *size);
    return leveldb::Status::OK();
  }
  leveldb::Status Skip(uint64_t n) override {
    offset_ += n;
    return leveldb::Status::OK();
  }

 private:
  const std::unique_ptr<File> file_;
  uint64_t offset_ = 0;
};

class RandomAccessFile : public leveldb::RandomAccessFile {
 public:
  explicit RandomAccessFile(std::unique_ptr<File> file) : file_(std::move(file)) {}

  leveldb::Status Read(uint64_t offset, size_t n, leveldb::Slice* result, char* scratch) const override {
    const absl::StatusOr<size_t> size = file_->Read(offset, n, scratch);
    if (!size.ok()) return ToLevelDb(size.status());
    *result = leveldb::Slice(scratch, *size);
    return leveldb::Status::OK();
  }

 private:
  const std::unique_ptr<File> file_;
};

class WritableFile : public leveldb::WritableFile {
 public:
  WritableFile(Env* env, std::string path, std::unique_ptr<File> file, uint64_t size)
      : env_(env), path_(std::move(path)), file_(std::move(file)), offset_(size) {}

  leveldb::Status Append(const leveldb::Slice& data) override {
    buffer_.append(data.data(), data.size());
    return buffer_.size() < kWriteBufferBytes ? leveldb::Status::OK() : Flush();
  }

  leveldb::Status Flush() override {
    if (buffer_.empty()) return leveldb::Status::OK();
    if (const absl::Status status = file_->Write(offset_, buffer_); !status.ok()) return ToLevelDb(status);
    offset_ += buffer_.size();
    buffer_.clear();
    return leveldb::Status::OK();
  }

  leveldb::Status Sync() override {
    if (const leveldb::Status status = Flush(); !status.ok()) return status;
    if (const absl::Status status = file_->Sync(); !status.ok()) return ToLevelDb(status);
    if (is_entry_durable_) return leveldb::Status::OK();
    const absl::Status status = env_->SyncDir(DirOf(path_));
    is_entry_durable_ = status.ok();
    return ToLevelDb(status);
  }

  leveldb::Status Close() override { return Flush(); }

 private:
  Env* const env_;
  const std::string path_;
  const std::unique_ptr<File> file_;
  uint64_t offset_;
  std::string buffer_;
  bool is_entry_durable_ = false;
};

class FileLock : public leveldb::FileLock {
 public:
  explicit FileLock(std::unique_ptr<DirLock> lock) : lock_(std::move(lock)) {}

 private:
  const std::unique_ptr<DirLock> lock_;
};

// LevelDB reports what it does in printf lines.
class DebugLogger : public leveldb::Logger {
 public:
  void Logv(const char* format, std::va_list arguments) override {
    if (MinLogLevel() > LogLevel::kDebug) return;
    char line[512];
    std::vsnprintf(line, sizeof(line), format, arguments);
    LOG(DEBUG) << "leveldb" << KV("says", line);
  }
};

class LevelDbEnv : public leveldb::Env {
 public:
  LevelDbEnv(barid::Env* env, LaterWork* later) : env_(env), later_(later) {}

  leveldb::Status NewSequentialFile(const std::string& path, leveldb::SequentialFile** result) override {
    return OpenAs(path, OpenMode::kRead, result,
                  [](std::unique_ptr<File> file) { return new SequentialFile(std::move(file)); });
  }
  leveldb::Status NewRandomAccessFile(const std::string& path, leveldb::RandomAccessFile** result) override {
    return OpenAs(path, OpenMode::kRead, result,
                  [](std::unique_ptr<File> file) { return new RandomAccessFile(std::move(file)); });
  }
  leveldb::Status NewWritableFile(const std::string& path, leveldb::WritableFile** result) override {
    const leveldb::Status status = OpenAs(path, OpenMode::kTruncate, result, [&](std::unique_ptr<File> file) {
      return new WritableFile(env_, path, std::move(file), 0);
    });
    if (!status.ok() || !absl::EndsWith(path, ".log")) return status;
    // The manifest may name a journal before anything was written to it.
    const absl::Status synced = env_->SyncDir(DirOf(path));
    if (synced.ok()) return status;
    delete *result;
    *result = nullptr;
    return ToLevelDb(synced);
  }
  leveldb::Status NewAppendableFile(const std::string& path, leveldb::WritableFile** result) override {
    uint64_t size = 0;
    if (const leveldb::Status status = GetFileSize(path, &size); !status.ok() && !status.IsNotFound()) return status;
    return OpenAs(path, OpenMode::kAppend, result,
                  [&](std::unique_ptr<File> file) { return new WritableFile(env_, path, std::move(file), size); });
  }

  bool FileExists(const std::string& path) override {
    const absl::StatusOr<bool> exists = env_->Exists(path);
    // LevelDB asks this of CURRENT, to know whether to begin a new database. One that cannot be looked at is there.
    return !exists.ok() || *exists;
  }
  leveldb::Status GetChildren(const std::string& dir, std::vector<std::string>* result) override {
    absl::StatusOr<std::vector<std::string>> names = env_->ListDir(dir);
    if (!names.ok()) return ToLevelDb(names.status());
    *result = *std::move(names);
    return leveldb::Status::OK();
  }
  leveldb::Status RemoveFile(const std::string& path) override {
    if (is_rename_in_doubt_)
      return leveldb::Status::IOError(path, "not removed: a rename before it may not be durable");
    return ToLevelDb(env_->Remove(path));
  }
  leveldb::Status DeleteFile(const std::string& path) override { return RemoveFile(path); }
  leveldb::Status CreateDir(const std::string& dir) override { return ToLevelDb(env_->CreateDir(dir)); }
  leveldb::Status RemoveDir(const std::string& dir) override { return ToLevelDb(env_->RemoveDir(dir)); }
  leveldb::Status DeleteDir(const std::string& dir) override { return RemoveDir(dir); }
  leveldb::Status GetFileSize(const std::string& path, uint64_t* size) override {
    const absl::StatusOr<std::unique_ptr<File>> file = env_->Open(path, {.mode = OpenMode::kRead});
    if (!file.ok()) return ToLevelDb(file.status());
    const absl::StatusOr<uint64_t> result = (*file)->Size();
    if (result.ok()) *size = *result;
    return ToLevelDb(result.status());
  }
  leveldb::Status RenameFile(const std::string& from, const std::string& to) override {
    // CURRENT is replaced so, and right after LevelDB removes the manifest that it pointed to or, after an error, the
    // one that it points to now. When the error is the sync's, both may be needed.
    if (const absl::Status status = env_->Rename(from, to); !status.ok()) return ToLevelDb(status);
    const absl::Status synced = env_->SyncDir(DirOf(to));
    if (!synced.ok()) is_rename_in_doubt_ = true;
    return ToLevelDb(synced);
  }

  leveldb::Status LockFile(const std::string& path, leveldb::FileLock** result) override {
    *result = nullptr;
    absl::StatusOr<std::unique_ptr<DirLock>> lock = env_->LockDir(DirOf(path));
    if (!lock.ok()) return ToLevelDb(lock.status());
    *result = new FileLock(*std::move(lock));
    return leveldb::Status::OK();
  }
  leveldb::Status UnlockFile(leveldb::FileLock* lock) override {
    delete lock;
    return leveldb::Status::OK();
  }

  void Schedule(void (*function)(void*), void* argument) override {
    if (later_ != nullptr) return later_->Add(function, argument);
    leveldb::Env::Default()->Schedule(function, argument);
  }
  void StartThread(void (*function)(void*), void* argument) override {
    leveldb::Env::Default()->StartThread(function, argument);
  }
  leveldb::Status GetTestDirectory(std::string*) override { return leveldb::Status::NotSupported("test directory"); }
  leveldb::Status NewLogger(const std::string&, leveldb::Logger** result) override {
    *result = new DebugLogger();
    return leveldb::Status::OK();
  }
  uint64_t NowMicros() override { return 0; }
  void SleepForMicroseconds(int) override {}

 private:
  template <typename Result, typename Make>
  leveldb::Status OpenAs(const std::string& path, OpenMode mode, Result** result, const Make& make) {
    *result = nullptr;
    absl::StatusOr<std::unique_ptr<File>> file = env_->Open(path, {.mode = mode});
    if (!file.ok()) return ToLevelDb(file.status());
    *result = make(*std::move(file));
    return leveldb::Status::OK();
  }

  barid::Env* const env_;
  LaterWork* const later_;
  std::atomic<bool> is_rename_in_doubt_ = false;
};

}  // namespace

std::unique_ptr<leveldb::Env> NewLevelDbEnv(Env* env, LaterWork* later) {
  return std::make_unique<LevelDbEnv>(env, later);
}

void LaterWork::Add(void (*function)(void*), void* argument) {
  MutexLock lock(&mu_);
  work_.emplace_back(function, argument);
}

void LaterWork::Do() {
  while (true) {
    std::pair<void (*)(void*), void*> next;
    {
      MutexLock lock(&mu_);
      if (work_.empty()) return;
      next = work_.front();
      work_.pop_front();
    }
    next.first(next.second);
  }
}

absl::Status FromLevelDb(const leveldb::Status& status) {
  if (status.ok()) return absl::OkStatus();
  const std::string message = status.ToString();
  if (status.IsNotFound()) return absl::NotFoundError(message);
  if (status.IsCorruption()) return absl::DataLossError(message);
  if (status.IsInvalidArgument()) return absl::InvalidArgumentError(message);
  return absl::UnavailableError(message);
}

leveldb::Status ToLevelDb(const absl::Status& status) {
  const leveldb::Slice message(status.message().data(), status.message().size());
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return leveldb::Status::OK();
    case absl::StatusCode::kNotFound:
      return leveldb::Status::NotFound(message);
    case absl::StatusCode::kDataLoss:
      return leveldb::Status::Corruption(message);
    case absl::StatusCode::kInvalidArgument:
      return leveldb::Status::InvalidArgument(message);
    default:
      return leveldb::Status::IOError(message);
  }
}

}  // namespace barid::storage
