#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "absl/strings/numbers.h"
#include "absl/strings/strip.h"
#include "base/env.h"
#include "base/log.h"
#include "base/status.h"

// Env over POSIX calls.
namespace barid {
namespace {

absl::Status ErrnoStatus(int error, absl::string_view call, absl::string_view path) {
  const std::string message = absl::StrCat(call, " ", path, ": ", std::generic_category().message(error));
  switch (error) {
    case ENOENT:
      return absl::NotFoundError(message);
    case EEXIST:
      return absl::AlreadyExistsError(message);
    case ENOSPC:
    case EDQUOT:
      return absl::ResourceExhaustedError(message);
    default:
      return absl::UnavailableError(message);
  }
}

absl::Status SyncStatus(int error, absl::string_view call, absl::string_view path) {
  return absl::DataLossError(absl::StrCat(call, " ", path, ": ", std::generic_category().message(error)));
}

// Repeats a call that a signal interrupted.
template <typename F>
auto Retry(F call) {
  decltype(call()) result;
  do {
    result = call();
  } while (result < 0 && errno == EINTR);
  return result;
}

// A file descriptor, closed at the end of its life.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  ~Descriptor() {
    // Nothing depends on close: who needs durability has synced.
    if (fd_ >= 0) ::close(fd_);
  }
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

Descriptor OpenDescriptor(const std::string& path, int flags) {
  return Descriptor(Retry([&] { return ::open(path.c_str(), flags | O_CLOEXEC, 0644); }));
}

bool IsAligned(uint64_t value) { return value % kDirectAlignment == 0; }
bool IsAligned(const char* memory) { return IsAligned(reinterpret_cast<uintptr_t>(memory)); }

// Memory that O_DIRECT takes, for callers whose memory it does not.
struct FreeMemory {
  void operator()(char* memory) const { std::free(memory); }
};
using AlignedMemory = std::unique_ptr<char, FreeMemory>;
AlignedMemory NewAlignedMemory(size_t size) {
  AlignedMemory memory(static_cast<char*>(std::aligned_alloc(kDirectAlignment, size)));
  CHECK(memory != nullptr) << "no memory for " << size << " bytes";
  return memory;
}

class PosixFile : public File {
 public:
  PosixFile(std::string path, Descriptor descriptor, bool direct)
      : path_(std::move(path)), descriptor_(std::move(descriptor)), direct_(direct) {}

  using File::Write;
  absl::Status Write(uint64_t offset, absl::Span<const absl::string_view> pieces) override {
    if (!direct_) return WritePieces(offset, pieces);
    uint64_t size = 0;
    bool is_aligned = true;
    for (const absl::string_view piece : pieces) {
      size += piece.size();
      is_aligned = is_aligned && IsAligned(piece.data()) && IsAligned(piece.size());
    }
    RETURN_IF_ERROR(CheckAligned(offset, size));
    if (is_aligned || size == 0) return WritePieces(offset, pieces);
    const AlignedMemory memory = NewAlignedMemory(size);
    char* out = memory.get();
    for (const absl::string_view piece : pieces) out = std::copy(piece.begin(), piece.end(), out);
    const absl::string_view whole(memory.get(), size);
    return WritePieces(offset, absl::MakeConstSpan(&whole, 1));
  }

  absl::StatusOr<size_t> Read(uint64_t offset, size_t size, char* out) const override {
    if (!direct_) return ReadInto(offset, size, out);
    RETURN_IF_ERROR(CheckAligned(offset, size));
    if (IsAligned(out) || size == 0) return ReadInto(offset, size, out);
    const AlignedMemory memory = NewAlignedMemory(size);
    ASSIGN_OR_RETURN(const size_t read, ReadInto(offset, size, memory.get()));
    std::copy_n(memory.get(), read, out);
    return read;
  }

  absl::Status Sync() override {
    // Not repeated on EINTR either: any error may mean that pages were dropped.
    if (::fdatasync(descriptor_.get()) != 0) return SyncStatus(errno, "fdatasync", path_);
    return absl::OkStatus();
  }

  absl::Status Truncate(uint64_t size) override {
    if (Retry([&] { return ::ftruncate(descriptor_.get(), static_cast<off_t>(size)); }) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "truncate", path_);
  }

  absl::StatusOr<uint64_t> Size() const override {
    struct stat info;
    if (::fstat(descriptor_.get(), &info) != 0) return ErrnoStatus(errno, "stat", path_);
    return static_cast<uint64_t>(info.st_size);
  }

 private:
  absl::Status CheckAligned(uint64_t offset, uint64_t size) const {
    if (IsAligned(offset) && IsAligned(size)) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(path_, ": ", size, " bytes at offset ", offset,
                                                   " of a direct file; both must be multiples of ", kDirectAlignment));
  }

  absl::Status WritePieces(uint64_t offset, absl::Span<const absl::string_view> pieces) {
    constexpr size_t kMaxPieces = 64;
    iovec parts[kMaxPieces];
    size_t skip = 0;  // Bytes of the first piece that are written already.
    while (!pieces.empty()) {
      const size_t count = std::min(pieces.size(), kMaxPieces);
      for (size_t i = 0; i < count; ++i) {
        parts[i] = {const_cast<char*>(pieces[i].data()), pieces[i].size()};
      }
      parts[0].iov_base = static_cast<char*>(parts[0].iov_base) + skip;
      parts[0].iov_len -= skip;
      const ssize_t written = Retry(
          [&] { return ::pwritev(descriptor_.get(), parts, static_cast<int>(count), static_cast<off_t>(offset)); });
      if (written < 0) return ErrnoStatus(errno, "write", path_);
      offset += written;
      skip += written;
      while (!pieces.empty() && skip >= pieces[0].size()) {
        skip -= pieces[0].size();
        pieces.remove_prefix(1);
      }
    }
    return absl::OkStatus();
  }

  absl::StatusOr<size_t> ReadInto(uint64_t offset, size_t size, char* out) const {
    size_t read = 0;
    while (read < size) {
      const ssize_t count =
          Retry([&] { return ::pread(descriptor_.get(), out + read, size - read, static_cast<off_t>(offset + read)); });
      if (count < 0) return ErrnoStatus(errno, "read", path_);
      if (count == 0) break;
      read += count;
      // The end of the file; to ask again from an odd offset is an error.
      if (direct_ && !IsAligned(read)) break;
    }
    return read;
  }

  const std::string path_;
  const Descriptor descriptor_;
  const bool direct_;
};

class PosixDirLock : public DirLock {
 public:
  explicit PosixDirLock(Descriptor descriptor) : descriptor_(std::move(descriptor)) {}

 private:
  const Descriptor descriptor_;  // Closing it ends the flock.
};

int OpenFlags(OpenMode mode) {
  switch (mode) {
    case OpenMode::kRead:
      return O_RDONLY;
    case OpenMode::kReadWrite:
      return O_RDWR;
    case OpenMode::kCreate:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::kTruncate:
      return O_RDWR | O_CREAT | O_TRUNC;
    case OpenMode::kAppend:
      return O_RDWR | O_CREAT;
  }
  return O_RDONLY;
}

class PosixEnv : public Env {
 public:
  absl::StatusOr<std::unique_ptr<File>> Open(absl::string_view path_view, const OpenOptions& options) override {
    std::string path(path_view);
    const int flags = OpenFlags(options.mode);
    Descriptor descriptor = OpenDescriptor(path, flags | (options.direct ? O_DIRECT : 0));
    if (descriptor.ok()) return std::make_unique<PosixFile>(std::move(path), std::move(descriptor), options.direct);
    if (errno != EINVAL || !options.direct) return ErrnoStatus(errno, "open", path);

    // Some file systems cannot, tmpfs for one, which has nothing behind its cache. Linux may have created the file.
    Descriptor buffered = OpenDescriptor(path, flags & ~O_EXCL);
    if (!buffered.ok()) return ErrnoStatus(errno, "open", path);
    LOG(WARNING) << "file system without direct access: reading through the page cache" << KV("path", path);
    return std::make_unique<PosixFile>(std::move(path), std::move(buffered), false);
  }

  absl::Status CreateDir(absl::string_view path) override {
    for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
      const std::string dir(path.substr(0, end));
      if (::mkdir(dir.c_str(), 0755) != 0) {
        const int error = errno;
        struct stat info;
        const bool is_dir = ::stat(dir.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
        if (!is_dir) return ErrnoStatus(error, "mkdir", dir);
      }
      if (end == absl::string_view::npos) return absl::OkStatus();
    }
  }

  absl::Status SyncDir(absl::string_view path_view) override {
    const std::string path(path_view);
    const Descriptor descriptor = OpenDescriptor(path, O_RDONLY | O_DIRECTORY);
    if (!descriptor.ok()) return ErrnoStatus(errno, "open", path);
    if (::fsync(descriptor.get()) != 0) return SyncStatus(errno, "fsync", path);
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<std::string>> ListDir(absl::string_view path_view) override {
    const std::string path(path_view);
    struct CloseDir {
      void operator()(DIR* dir) const { ::closedir(dir); }
    };
    const std::unique_ptr<DIR, CloseDir> dir(::opendir(path.c_str()));
    if (dir == nullptr) return ErrnoStatus(errno, "list", path);
    std::vector<std::string> names;
    errno = 0;
    while (const dirent* entry = ::readdir(dir.get())) {
      const absl::string_view name(entry->d_name);
      if (name != "." && name != "..") names.emplace_back(name);
      errno = 0;
    }
    if (errno != 0) return ErrnoStatus(errno, "list", path);
    std::sort(names.begin(), names.end());
    return names;
  }

  absl::StatusOr<bool> Exists(absl::string_view path_view) override {
    const std::string path(path_view);
    struct stat info;
    if (::lstat(path.c_str(), &info) == 0) return true;
    if (errno == ENOENT || errno == ENOTDIR) return false;
    return ErrnoStatus(errno, "stat", path);
  }

  absl::Status Remove(absl::string_view path_view) override {
    const std::string path(path_view);
    return ::unlink(path.c_str()) == 0 ? absl::OkStatus() : ErrnoStatus(errno, "remove", path);
  }

  absl::Status RemoveDir(absl::string_view path_view) override {
    const std::string path(path_view);
    if (::rmdir(path.c_str()) == 0) return absl::OkStatus();
    // Some file systems say "exists" for "not empty".
    return ErrnoStatus(errno == EEXIST ? ENOTEMPTY : errno, "remove directory", path);
  }

  absl::Status Rename(absl::string_view from_view, absl::string_view to_view) override {
    const std::string from(from_view);
    const std::string to(to_view);
    if (::rename(from.c_str(), to.c_str()) == 0) return absl::OkStatus();
    return ErrnoStatus(errno, "rename", absl::StrCat(from, " to ", to));
  }

  absl::StatusOr<std::unique_ptr<DirLock>> LockDir(absl::string_view dir) override {
    const std::string path = JoinPath(dir, "LOCK");
    Descriptor descriptor = OpenDescriptor(path, O_RDWR | O_CREAT);
    if (!descriptor.ok()) return ErrnoStatus(errno, "open", path);
    RETURN_IF_ERROR(Lock(descriptor, dir));
    // For whoever is refused. A holder without a number only costs the reader of that error a search.
    const std::string pid = absl::StrCat(::getpid(), "\n");
    if (::ftruncate(descriptor.get(), 0) != 0 || ::pwrite(descriptor.get(), pid.data(), pid.size(), 0) < 0) {
      LOG(WARNING) << "could not write the process id into the lock file" << KV("path", path);
    }
    return std::make_unique<PosixDirLock>(std::move(descriptor));
  }

  absl::StatusOr<std::unique_ptr<DirLock>> LockDirUnchanged(absl::string_view dir) override {
    const std::string path = JoinPath(dir, "LOCK");
    ASSIGN_OR_RETURN(const bool exists, Exists(path));
    const std::string locked =
        exists ? path : std::string(dir);  // The directory itself keeps out others that only look.
    Descriptor descriptor = OpenDescriptor(locked, O_RDONLY);
    if (!descriptor.ok()) return ErrnoStatus(errno, "open", locked);
    RETURN_IF_ERROR(Lock(descriptor, dir));
    return std::make_unique<PosixDirLock>(std::move(descriptor));
  }

  absl::StatusOr<Space> GetSpace(absl::string_view path_view) override {
    const std::string path(path_view);
    struct statvfs info;
    if (Retry([&] { return ::statvfs(path.c_str(), &info); }) != 0) return ErrnoStatus(errno, "statvfs", path);
    Space space;
    space.available_bytes = uint64_t{info.f_bavail} * info.f_frsize;
    space.capacity_bytes = uint64_t{info.f_blocks} * info.f_frsize;
    return space;
  }

 private:
  static absl::Status Lock(const Descriptor& descriptor, absl::string_view dir) {
    if (Retry([&] { return ::flock(descriptor.get(), LOCK_EX | LOCK_NB); }) == 0) return absl::OkStatus();
    if (errno != EWOULDBLOCK) return ErrnoStatus(errno, "lock", dir);
    return absl::FailedPreconditionError(
        absl::StrCat(dir, ": another process uses this directory; its lock is ", Holder(descriptor)));
  }
  static std::string Holder(const Descriptor& lock_file) {
    char text[32];
    const ssize_t size = ::pread(lock_file.get(), text, sizeof(text), 0);
    int64_t pid = 0;
    if (size <= 0 || !absl::SimpleAtoi(absl::string_view(text, size), &pid)) return "held by an unknown process";
    return absl::StrCat("held by pid ", pid);
  }
};

}  // namespace

Env* RealEnv() {
  static PosixEnv* const env = new PosixEnv;
  return env;
}

}  // namespace barid
