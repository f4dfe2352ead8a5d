#include "base/simulated/disk.h"

#include <algorithm>
#include <functional>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "base/log.h"
#include "base/status.h"

namespace barid {
namespace {

std::vector<std::string> Parts(absl::string_view path) { return absl::StrSplit(path, '/', absl::SkipEmpty()); }

absl::Status NotFound(absl::string_view path) {
  return absl::NotFoundError(absl::StrCat(path, ": no such file or directory"));
}
absl::Status Unavailable(absl::string_view path, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(path, ": ", what));
}

absl::Status CheckAligned(absl::string_view path, uint64_t offset, uint64_t size) {
  if (offset % kDirectAlignment == 0 && size % kDirectAlignment == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", size, " bytes at offset ", offset,
                                                 " of a direct file; both must be multiples of ", kDirectAlignment));
}

}  // namespace

class SimulatedDisk::OpenFile : public File {
 public:
  OpenFile(SimulatedDisk* disk, std::string path, const OpenOptions& options, NodePtr node, uint64_t process)
      : disk_(disk), path_(std::move(path)), options_(options), node_(std::move(node)), process_(process) {}

  using File::Write;
  absl::Status Write(uint64_t offset, absl::Span<const absl::string_view> pieces) override {
    ASSIGN_OR_RETURN(const Fate fate, disk_->Begin(CallKind::kWrite, path_, true));
    MutexLock lock(&disk_->mu_);
    return disk_->Finish(fate, WriteLocked(fate, offset, pieces));
  }

  absl::StatusOr<size_t> Read(uint64_t offset, size_t size, char* out) const override {
    RETURN_IF_ERROR(disk_->Begin(CallKind::kRead, path_, false).status());
    MutexLock lock(&disk_->mu_);
    RETURN_IF_ERROR(CheckOpen());
    if (options_.direct) RETURN_IF_ERROR(CheckAligned(path_, offset, size));
    return node_->pages.Read(offset, size, out, options_.direct);
  }

  absl::Status Sync() override {
    ASSIGN_OR_RETURN(const Fate fate, disk_->Begin(CallKind::kSync, path_, true));
    MutexLock lock(&disk_->mu_);
    return disk_->Finish(fate, SyncLocked(fate));
  }

  absl::Status Truncate(uint64_t size) override {
    ASSIGN_OR_RETURN(const Fate fate, disk_->Begin(CallKind::kTruncate, path_, true));
    MutexLock lock(&disk_->mu_);
    return disk_->Finish(fate, TruncateLocked(size));
  }

  absl::StatusOr<uint64_t> Size() const override {
    RETURN_IF_ERROR(disk_->Begin(CallKind::kSize, path_, false).status());
    MutexLock lock(&disk_->mu_);
    RETURN_IF_ERROR(CheckOpen());
    return node_->pages.size();
  }

 private:
  absl::Status CheckOpen() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    if (disk_->process_ == process_) return absl::OkStatus();
    return Unavailable(path_, "was opened before the crash");
  }

  absl::Status CheckWritable() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    RETURN_IF_ERROR(CheckOpen());
    if (options_.mode != OpenMode::kRead) return absl::OkStatus();
    return Unavailable(path_, "is open for reading only");
  }

  // How far the file may reach.
  uint64_t SizeLimit() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    const uint64_t used = disk_->UsedBytes();
    return node_->pages.size() + (used < disk_->capacity_bytes_ ? disk_->capacity_bytes_ - used : 0);
  }

  absl::Status WriteLocked(Fate fate, uint64_t offset, absl::Span<const absl::string_view> pieces)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    RETURN_IF_ERROR(CheckWritable());
    uint64_t size = 0;
    for (const absl::string_view piece : pieces) size += piece.size();
    if (options_.direct) RETURN_IF_ERROR(CheckAligned(path_, offset, size));

    absl::Status result;
    const uint64_t limit = offset + size > node_->pages.size() ? SizeLimit() : offset + size;
    uint64_t room = size;
    if (fate == Fate::kFail) {
      result = Unavailable(path_, "write failed (injected)");
      room = disk_->random_.Below(size + 1);
    } else if (offset + size > limit) {
      result = absl::ResourceExhaustedError(absl::StrCat(path_, ": no space left for ", size, " bytes"));
      room = limit > offset ? disk_->random_.Below(limit - offset + 1) : 0;
    }
    for (const absl::string_view piece : pieces) {
      const absl::string_view part = piece.substr(0, room);
      node_->pages.Write(offset, part, &disk_->random_);
      offset += part.size();
      room -= part.size();
    }
    return result;
  }

  absl::Status SyncLocked(Fate fate) ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    RETURN_IF_ERROR(CheckOpen());
    // If the power goes meanwhile, the sync has reached the disk wholly, or it is as if it had only begun.
    if (fate == Fate::kCutPower && !disk_->random_.OneIn(4)) return absl::OkStatus();
    if (fate == Fate::kFail) {
      node_->pages.FailSync(&disk_->random_);
      return absl::DataLossError(absl::StrCat(path_, ": sync failed (injected)"));
    }
    node_->pages.Sync();
    return absl::OkStatus();
  }

  absl::Status TruncateLocked(uint64_t size) ABSL_EXCLUSIVE_LOCKS_REQUIRED(disk_->mu_) {
    RETURN_IF_ERROR(CheckWritable());
    if (size > node_->pages.size() && size > SizeLimit()) {
      return absl::ResourceExhaustedError(absl::StrCat(path_, ": no space left to grow to ", size, " bytes"));
    }
    node_->pages.Truncate(size);
    return absl::OkStatus();
  }

  SimulatedDisk* const disk_;
  const std::string path_;
  const OpenOptions options_;
  const NodePtr node_;
  const uint64_t process_;
};

class SimulatedDisk::Lock : public DirLock {
 public:
  Lock(SimulatedDisk* disk, std::string path, uint64_t process)
      : disk_(disk), path_(std::move(path)), process_(process) {}
  ~Lock() override {
    MutexLock lock(&disk_->mu_);
    if (disk_->process_ == process_) disk_->locked_dirs_.erase(path_);
  }

 private:
  SimulatedDisk* const disk_;
  const std::string path_;
  const uint64_t process_;
};

SimulatedDisk::SimulatedDisk(uint64_t seed) : random_(seed), root_(std::make_shared<Node>()) { root_->is_dir = true; }
SimulatedDisk::~SimulatedDisk() = default;

absl::StatusOr<SimulatedDisk::Fate> SimulatedDisk::Begin(CallKind kind, absl::string_view path, bool is_change) {
  std::shared_ptr<CallObserver> observer;
  {
    MutexLock lock(&mu_);
    observer = observer_;
  }
  if (observer != nullptr) (*observer)(Call{kind, std::string(path), is_change});

  MutexLock lock(&mu_);
  if (!powered_) return Unavailable(path, "the power is off");
  ++calls_;
  if (is_change) ++changes_;
  if (kind == CallKind::kWrite) ++writes_;
  if (kind == CallKind::kSync) ++syncs_;
  if (is_change && changes_ == cut_at_change_) return Fate::kCutPower;

  bool fails = calls_ == fail_call_ || (fail_calls_from_ != 0 && calls_ >= fail_calls_from_);
  if (kind == CallKind::kSync && fail_next_sync_) {
    fail_next_sync_ = false;
    fails = true;
  }
  if (!fails) return Fate::kRun;
  if (kind == CallKind::kWrite || kind == CallKind::kSync) return Fate::kFail;
  if (kind == CallKind::kSyncDir) return absl::DataLossError(absl::StrCat(path, ": sync failed (injected)"));
  return Unavailable(path, "failed (injected)");
}

absl::Status SimulatedDisk::Finish(Fate fate, absl::Status result) {
  if (fate != Fate::kCutPower) return result;
  Cut();
  powered_ = false;
  return absl::UnavailableError("the power went off");
}

absl::StatusOr<SimulatedDisk::Found> SimulatedDisk::Find(absl::string_view path) const {
  Found found{nullptr, "", root_};
  for (std::string& part : Parts(path)) {
    if (found.node == nullptr) return NotFound(path);
    if (!found.node->is_dir) return Unavailable(path, "a part of the path is not a directory");
    found.parent = found.node;
    const auto entry = found.parent->entries.find(part);
    found.node = entry == found.parent->entries.end() ? nullptr : entry->second;
    found.name = std::move(part);
  }
  return found;
}

absl::StatusOr<SimulatedDisk::NodePtr> SimulatedDisk::FindDir(absl::string_view path) const {
  ASSIGN_OR_RETURN(const Found found, Find(path));
  if (found.node == nullptr) return NotFound(path);
  if (!found.node->is_dir) return Unavailable(path, "not a directory");
  return found.node;
}

absl::StatusOr<SimulatedDisk::NodePtr> SimulatedDisk::OpenNode(absl::string_view path, OpenMode mode) {
  ASSIGN_OR_RETURN(const Found found, Find(path));
  if (found.node == nullptr) {
    if (mode == OpenMode::kRead || mode == OpenMode::kReadWrite) return NotFound(path);
    auto node = std::make_shared<Node>();
    Change({{found.parent, found.name, node}});
    return node;
  }
  if (mode == OpenMode::kCreate) return absl::AlreadyExistsError(absl::StrCat(path, ": exists already"));
  if (found.node->is_dir) return Unavailable(path, "is a directory");
  if (mode == OpenMode::kTruncate) found.node->pages.Truncate(0);
  return found.node;
}

absl::StatusOr<std::unique_ptr<File>> SimulatedDisk::Open(absl::string_view path, const OpenOptions& options) {
  const bool is_change = options.mode != OpenMode::kRead && options.mode != OpenMode::kReadWrite;
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kOpen, path, is_change));
  MutexLock lock(&mu_);
  absl::StatusOr<NodePtr> node = OpenNode(path, options.mode);
  RETURN_IF_ERROR(Finish(fate, node.status()));
  return std::make_unique<OpenFile>(this, std::string(path), options, *std::move(node), process_);
}

absl::Status SimulatedDisk::MakeDirs(absl::string_view path) {
  NodePtr dir = root_;
  for (const std::string& part : Parts(path)) {
    NodePtr child;
    if (const auto entry = dir->entries.find(part); entry != dir->entries.end()) {
      child = entry->second;
      if (!child->is_dir) return absl::AlreadyExistsError(absl::StrCat(path, ": ", part, " is a file"));
    } else {
      child = std::make_shared<Node>();
      child->is_dir = true;
      Change({{dir, part, child}});
    }
    dir = std::move(child);
  }
  return absl::OkStatus();
}

absl::Status SimulatedDisk::CreateDir(absl::string_view path) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kCreateDir, path, true));
  MutexLock lock(&mu_);
  return Finish(fate, MakeDirs(path));
}

absl::Status SimulatedDisk::SyncDir(absl::string_view path) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kSyncDir, path, true));
  MutexLock lock(&mu_);
  const absl::StatusOr<NodePtr> dir = FindDir(path);
  // As with files, a power cut meanwhile may find it done.
  if (dir.ok() && (fate == Fate::kRun || random_.OneIn(4))) MakeEntriesDurable(*dir);
  return Finish(fate, dir.status());
}

absl::StatusOr<std::vector<std::string>> SimulatedDisk::ListDir(absl::string_view path) {
  RETURN_IF_ERROR(Begin(CallKind::kListDir, path, false).status());
  MutexLock lock(&mu_);
  ASSIGN_OR_RETURN(const NodePtr dir, FindDir(path));
  std::vector<std::string> names;
  for (const auto& [name, node] : dir->entries) names.push_back(name);
  return names;
}

absl::StatusOr<bool> SimulatedDisk::Exists(absl::string_view path) {
  RETURN_IF_ERROR(Begin(CallKind::kExists, path, false).status());
  MutexLock lock(&mu_);
  const absl::StatusOr<Found> found = Find(path);
  return found.ok() && found->node != nullptr;
}

absl::Status SimulatedDisk::Unlink(absl::string_view path, bool is_dir) {
  ASSIGN_OR_RETURN(const Found found, Find(path));
  if (found.node == nullptr) return NotFound(path);
  if (found.node->is_dir != is_dir) return Unavailable(path, is_dir ? "not a directory" : "is a directory");
  if (found.parent == nullptr) return Unavailable(path, "is the root");
  if (!found.node->entries.empty()) return Unavailable(path, "directory not empty");
  Change({{found.parent, found.name, nullptr}});
  return absl::OkStatus();
}

absl::Status SimulatedDisk::Remove(absl::string_view path) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kRemove, path, true));
  MutexLock lock(&mu_);
  return Finish(fate, Unlink(path, false));
}

absl::Status SimulatedDisk::RemoveDir(absl::string_view path) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kRemoveDir, path, true));
  MutexLock lock(&mu_);
  return Finish(fate, Unlink(path, true));
}

absl::Status SimulatedDisk::Move(absl::string_view from, absl::string_view to) {
  ASSIGN_OR_RETURN(const Found source, Find(from));
  ASSIGN_OR_RETURN(const Found target, Find(to));
  if (source.node == nullptr) return NotFound(from);
  if (source.node == target.node) return absl::OkStatus();
  if (source.parent == nullptr || target.parent == nullptr) return Unavailable(from, "cannot rename the root");
  if (target.node != nullptr) {
    if (target.node->is_dir != source.node->is_dir)
      return Unavailable(to, "cannot replace a file by a directory or the reverse");
    if (!target.node->entries.empty()) return Unavailable(to, "directory not empty");
  }
  Change({{source.parent, source.name, nullptr}, {target.parent, target.name, source.node}});
  return absl::OkStatus();
}

absl::Status SimulatedDisk::Rename(absl::string_view from, absl::string_view to) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kRename, from, true));
  MutexLock lock(&mu_);
  return Finish(fate, Move(from, to));
}

absl::Status SimulatedDisk::TakeLock(const std::string& path, bool leaves_file) {
  ASSIGN_OR_RETURN(const NodePtr dir, FindDir(path));
  if (!locked_dirs_.insert(path).second) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": locked already, held by this process"));
  }
  // The real one makes this file, so whoever lists the directory meets it here too.
  if (leaves_file && dir->entries.count("LOCK") == 0) Change({{dir, "LOCK", std::make_shared<Node>()}});
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<DirLock>> SimulatedDisk::LockDir(absl::string_view path) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kLockDir, path, true));
  const std::string normal = absl::StrCat("/", absl::StrJoin(Parts(path), "/"));
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(Finish(fate, TakeLock(normal, true)));
  return std::make_unique<Lock>(this, normal, process_);
}

absl::StatusOr<std::unique_ptr<DirLock>> SimulatedDisk::LockDirUnchanged(absl::string_view path) {
  ASSIGN_OR_RETURN(const Fate fate, Begin(CallKind::kLockDir, path, false));
  const std::string normal = absl::StrCat("/", absl::StrJoin(Parts(path), "/"));
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(Finish(fate, TakeLock(normal, false)));
  return std::make_unique<Lock>(this, normal, process_);
}

absl::StatusOr<Env::Space> SimulatedDisk::GetSpace(absl::string_view path) {
  RETURN_IF_ERROR(Begin(CallKind::kGetSpace, path, false).status());
  MutexLock lock(&mu_);
  RETURN_IF_ERROR(FindDir(path).status());
  const uint64_t used = UsedBytes();
  Space space;
  space.capacity_bytes = capacity_bytes_;
  space.available_bytes = used < capacity_bytes_ ? capacity_bytes_ - used : 0;
  return space;
}

uint64_t SimulatedDisk::UsedBytes() const {
  uint64_t used = 0;
  std::vector<const Node*> rest = {root_.get()};
  while (!rest.empty()) {
    const Node* node = rest.back();
    rest.pop_back();
    used += node->pages.size();
    for (const auto& [name, child] : node->entries) rest.push_back(child.get());
  }
  return used;
}

void SimulatedDisk::Change(DirOperation operation) {
  for (const EntryChange& change : operation) {
    if (change.node == nullptr) {
      change.dir->entries.erase(change.name);
    } else {
      change.dir->entries[change.name] = change.node;
    }
  }
  pending_.push_back(std::move(operation));
}

void SimulatedDisk::MakeDurable(const DirOperation& operation) {
  for (const EntryChange& change : operation) {
    if (change.node == nullptr) {
      change.dir->durable.erase(change.name);
    } else {
      change.dir->durable[change.name] = change.node;
    }
  }
}

void SimulatedDisk::MakeEntriesDurable(const NodePtr& dir) {
  // Backwards: an operation is needed if it is in a directory of which a later one is needed.
  absl::flat_hash_set<const Node*> dirs = {dir.get()};
  std::vector<bool> is_needed(pending_.size());
  for (size_t i = pending_.size(); i-- > 0;) {
    for (const EntryChange& change : pending_[i]) {
      if (dirs.contains(change.dir.get())) is_needed[i] = true;
    }
    if (!is_needed[i]) continue;
    for (const EntryChange& change : pending_[i]) dirs.insert(change.dir.get());
  }
  std::vector<DirOperation> rest;
  for (size_t i = 0; i < pending_.size(); ++i) {
    if (is_needed[i]) {
      MakeDurable(pending_[i]);
    } else {
      rest.push_back(std::move(pending_[i]));
    }
  }
  pending_ = std::move(rest);
}

void SimulatedDisk::Cut() {
  // How likely a directory's history ends at the next operation: at once, never, or somewhere.
  const uint64_t choice = random_.Below(4);
  absl::flat_hash_set<const Node*> ended;
  for (const DirOperation& operation : pending_) {
    bool is_lost = choice == 0 || (choice != 1 && random_.OneIn(4));
    for (const EntryChange& change : operation) is_lost = is_lost || ended.contains(change.dir.get());
    if (!is_lost) {
      MakeDurable(operation);
      continue;
    }
    for (const EntryChange& change : operation) ended.insert(change.dir.get());
  }
  pending_.clear();
  CutTree(root_.get());
  ++process_;
  locked_dirs_.clear();
}

void SimulatedDisk::CutTree(Node* dir) {
  dir->entries = dir->durable;
  for (const auto& [name, child] : dir->entries) {
    if (child->is_dir) {
      CutTree(child.get());
    } else {
      child->pages.CutPower(&random_);
    }
  }
}

void SimulatedDisk::CutPower() {
  MutexLock lock(&mu_);
  if (powered_) Cut();
  powered_ = true;
}

void SimulatedDisk::KillProcess() {
  MutexLock lock(&mu_);
  ++process_;
  locked_dirs_.clear();
}

void SimulatedDisk::CutPowerAtCall(int64_t n) {
  MutexLock lock(&mu_);
  cut_at_change_ = n == 0 ? 0 : changes_ + n;
}

void SimulatedDisk::Restart() {
  MutexLock lock(&mu_);
  powered_ = true;
}

bool SimulatedDisk::powered() const {
  MutexLock lock(&mu_);
  return powered_;
}

std::unique_ptr<SimulatedDisk> SimulatedDisk::Clone(uint64_t seed) const {
  absl::flat_hash_map<const Node*, NodePtr> copies;
  const std::function<NodePtr(const NodePtr&)> copy = [&](const NodePtr& node) -> NodePtr {
    if (node == nullptr) return nullptr;
    if (const auto done = copies.find(node.get()); done != copies.end()) return done->second;
    auto twin = std::make_shared<Node>();
    copies[node.get()] = twin;
    twin->is_dir = node->is_dir;
    twin->pages = node->pages;
    for (const auto& [name, child] : node->entries) twin->entries[name] = copy(child);
    for (const auto& [name, child] : node->durable) twin->durable[name] = copy(child);
    return twin;
  };

  auto clone = std::make_unique<SimulatedDisk>(seed);
  NodePtr root;
  std::vector<DirOperation> pending;
  uint64_t capacity_bytes = 0;
  {
    MutexLock lock(&mu_);
    root = copy(root_);
    for (const DirOperation& operation : pending_) {
      DirOperation& twin = pending.emplace_back();
      for (const EntryChange& change : operation) twin.push_back({copy(change.dir), change.name, copy(change.node)});
    }
    capacity_bytes = capacity_bytes_;
  }
  MutexLock lock(&clone->mu_);
  clone->root_ = std::move(root);
  clone->pending_ = std::move(pending);
  clone->capacity_bytes_ = capacity_bytes;
  return clone;
}

void SimulatedDisk::FailCall(int64_t n) {
  MutexLock lock(&mu_);
  fail_call_ = n == 0 ? 0 : calls_ + n;
}

void SimulatedDisk::FailCallsFrom(int64_t n) {
  MutexLock lock(&mu_);
  fail_calls_from_ = n == 0 ? 0 : calls_ + n;
}

void SimulatedDisk::FailNextSync() {
  MutexLock lock(&mu_);
  fail_next_sync_ = true;
}

void SimulatedDisk::FlipBit(absl::string_view path, uint64_t bit) {
  MutexLock lock(&mu_);
  const absl::StatusOr<Found> found = Find(path);
  CHECK_OK(found.status());
  CHECK(found->node != nullptr) << path;
  CHECK_LT(bit / 8, found->node->pages.size()) << path;
  found->node->pages.FlipBit(bit);
}

void SimulatedDisk::SetCapacity(uint64_t bytes) {
  MutexLock lock(&mu_);
  capacity_bytes_ = bytes;
}

void SimulatedDisk::SetCallObserver(CallObserver observer) {
  auto shared = observer == nullptr ? nullptr : std::make_shared<CallObserver>(std::move(observer));
  MutexLock lock(&mu_);
  observer_.swap(shared);
}

int64_t SimulatedDisk::calls() const {
  MutexLock lock(&mu_);
  return calls_;
}

int64_t SimulatedDisk::changes() const {
  MutexLock lock(&mu_);
  return changes_;
}

int64_t SimulatedDisk::writes() const {
  MutexLock lock(&mu_);
  return writes_;
}

int64_t SimulatedDisk::syncs() const {
  MutexLock lock(&mu_);
  return syncs_;
}

std::vector<std::string> SimulatedDisk::FileNames() const {
  MutexLock lock(&mu_);
  std::vector<std::string> paths;
  const std::function<void(const std::string&, const Node&)> walk = [&](const std::string& path, const Node& node) {
    if (!node.is_dir) paths.push_back(path);
    for (const auto& [name, child] : node.entries) walk(absl::StrCat(path, "/", name), *child);
  };
  walk("", *root_);
  std::sort(paths.begin(), paths.end());
  return paths;
}

}  // namespace barid
