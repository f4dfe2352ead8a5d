#include "storage/key_value_store.h"

#include <algorithm>
#include <map>
#include <string>
#include <thread>

#include "absl/strings/str_cat.h"
#include "base/overlay_env.h"
#include "base/random.h"
#include "storage/leveldb_journal.h"
#include "tests/storage/testing.h"

namespace barid::storage {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using Entries = std::vector<std::pair<std::string, std::string>>;

constexpr absl::string_view kDir = "/data/index";

Entries ScanAll(const KeyValueStore& store, absl::string_view first = "", absl::string_view end = "") {
  Entries entries;
  EXPECT_THAT(store.Scan(first, end,
                         [&entries](absl::string_view key, absl::string_view value) {
                           entries.emplace_back(std::string(key), std::string(value));
                           return true;
                         }),
              IsOk());
  return entries;
}

// What holds for every store.
class KeyValueStoreTest : public ::testing::TestWithParam<bool> {
 protected:
  KeyValueStoreTest() {
    store_ = GetParam() ? OpenLevelDbStore(&disk_, kDir, KeyValueStoreOptions()).value() : NewMemoryStore();
  }
  SimulatedDisk disk_{1};
  std::unique_ptr<KeyValueStore> store_;
};
INSTANTIATE_TEST_SUITE_P(Both, KeyValueStoreTest, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "LevelDb" : "Memory"; });

TEST_P(KeyValueStoreTest, KeepsWhatABatchSays) {
  ASSERT_THAT(store_->Write({{"a", "1"}, {"b", "2"}, {"c", "3"}}), IsOk());
  ASSERT_THAT(store_->Write({{"b", std::nullopt}, {"c", "4"}, {"missing", std::nullopt}}), IsOk());
  EXPECT_THAT(store_->Get("a").value(), "1");
  EXPECT_THAT(store_->Get("b"), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(ScanAll(*store_), ElementsAre(Pair("a", "1"), Pair("c", "4")));
}

TEST_P(KeyValueStoreTest, TheLastWordOfABatchCounts) {
  ASSERT_THAT(store_->Write({{"a", "1"}, {"a", std::nullopt}, {"b", std::nullopt}, {"b", "2"}}), IsOk());
  EXPECT_THAT(ScanAll(*store_), ElementsAre(Pair("b", "2")));
}

TEST_P(KeyValueStoreTest, ScansARange) {
  const std::string binary("b\0\xff", 3);
  ASSERT_THAT(store_->Write({{"a", "1"}, {"b", "2"}, {binary, "3"}, {"c", "4"}}), IsOk());
  EXPECT_THAT(ScanAll(*store_, "b", "c"), ElementsAre(Pair("b", "2"), Pair(binary, "3")));
  EXPECT_THAT(ScanAll(*store_, "c"), ElementsAre(Pair("c", "4")));
  EXPECT_THAT(ScanAll(*store_, "d"), IsEmpty());
  int visited = 0;
  EXPECT_THAT(store_->Scan("", "", [&visited](absl::string_view, absl::string_view) { return ++visited < 2; }), IsOk());
  EXPECT_EQ(visited, 2);
}

TEST_P(KeyValueStoreTest, AScanSeesTheStoreAsItWas) {
  ASSERT_THAT(store_->Write({{"a", "1"}, {"b", "2"}}), IsOk());
  int visited = 0;
  EXPECT_THAT(store_->Scan("", "",
                           [&](absl::string_view, absl::string_view) {
                             EXPECT_THAT(store_->Write({{"b", std::nullopt}, {"c", "3"}}), IsOk());
                             ++visited;
                             return true;
                           }),
              IsOk());
  EXPECT_EQ(visited, 2);
  EXPECT_THAT(ScanAll(*store_), ElementsAre(Pair("a", "1"), Pair("c", "3")));
}

TEST_P(KeyValueStoreTest, ASnapshotIsTheStoreAsItWas) {
  ASSERT_THAT(store_->Write({{"a", "1"}, {"b", "2"}}), IsOk());
  const std::unique_ptr<KeyValueReader> snapshot = store_->Snapshot();
  ASSERT_THAT(store_->Write({{"a", "3"}, {"b", std::nullopt}, {"c", "3"}}), IsOk());
  EXPECT_EQ(snapshot->Get("a").value(), "1");
  EXPECT_THAT(snapshot->Get("c").status(), Fails(absl::StatusCode::kNotFound));
  Entries entries;
  EXPECT_THAT(snapshot->Scan("", "",
                             [&entries](absl::string_view key, absl::string_view value) {
                               entries.emplace_back(key, value);
                               return true;
                             }),
              IsOk());
  EXPECT_THAT(entries, ElementsAre(Pair("a", "1"), Pair("b", "2")));
}

TEST_P(KeyValueStoreTest, FindsTheLastOfARange) {
  ASSERT_THAT(store_->Write({{"a", "1"}, {"b", "2"}, {"d", "4"}}), IsOk());
  EXPECT_THAT(store_->Last("", "").value(), Pair("d", "4"));
  EXPECT_THAT(store_->Last("a", "d").value(), Pair("b", "2"));
  EXPECT_THAT(store_->Last("a", "zz").value(), Pair("d", "4"));
  EXPECT_THAT(store_->Last("c", "d"), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Last("e", ""), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Last("", "a"), Fails(absl::StatusCode::kNotFound));
}

// LevelDB on a disk that fails.
class LevelDbStoreTest : public ::testing::Test {
 protected:
  LevelDbStoreTest() { options_.write_buffer_bytes = 64 << 10; }

  absl::Status TryReopen(Env* env) {
    store_.reset();
    auto store = OpenLevelDbStore(env, kDir, options_);
    if (!store.ok()) return store.status();
    store_ = *std::move(store);
    return absl::OkStatus();
  }
  void Reopen() { ASSERT_THAT(TryReopen(&disk_), IsOk()); }
  // Enough for several tables.
  void WriteMuch() {
    SeededRandom random(7);
    for (int batch = 0; batch < 12; ++batch) {
      std::vector<KeyValueStore::Operation> operations;
      for (int i = 0; i < 20; ++i) {
        operations.push_back({"key" + std::to_string(batch % 4 * 20 + i), std::to_string(batch) + random.Bytes(1000)});
      }
      ASSERT_THAT(store_->Write(std::move(operations)), IsOk());
    }
  }
  std::vector<std::string> Files(absl::string_view part) {
    std::vector<std::string> paths;
    for (const std::string& path : disk_.FileNames()) {
      if (path.find(std::string(part)) != std::string::npos) paths.push_back(path);
    }
    return paths;
  }
  uint64_t SizeOf(const std::string& path) { return ReadFile(&disk_, path).value().size(); }

  // Flips bits of a file here and there, on a copy of the disk. Returns how many were noticed; what is not noticed must
  // make no difference, but that the result may also be `or_else`.
  int FlipBits(const std::string& path, const Entries& expected, const Entries* or_else = nullptr) {
    const uint64_t bits = SizeOf(path) * 8;
    int noticed = 0;
    SeededRandom random(3);
    for (uint64_t bit = random.Below(8); bit < bits; bit += 1 + random.Below(bits / 150 + 1)) {
      const std::unique_ptr<SimulatedDisk> disk = disk_.Clone(bit);
      disk->FlipBit(path, bit);
      if (const absl::Status status = TryReopen(disk.get()); !status.ok()) {
        EXPECT_THAT(status, Fails(absl::StatusCode::kDataLoss)) << path << " bit " << bit;
        ++noticed;
        continue;
      }
      Entries found;
      const absl::Status status = store_->Scan("", "", [&found](absl::string_view key, absl::string_view value) {
        found.emplace_back(std::string(key), std::string(value));
        return true;
      });
      store_.reset();
      if (!status.ok()) {
        EXPECT_THAT(status, Fails(absl::StatusCode::kDataLoss)) << path << " bit " << bit;
        ++noticed;
      } else if (or_else == nullptr || found != *or_else) {
        EXPECT_TRUE(found == expected) << path << " bit " << bit << " of " << bits << " silently changed what is read";
      }
    }
    return noticed;
  }

  SimulatedDisk disk_{1};
  KeyValueStoreOptions options_;
  std::unique_ptr<KeyValueStore> store_;
};

TEST_F(LevelDbStoreTest, IsReadThroughAnOverlayWithoutAChange) {
  Reopen();
  WriteMuch();
  ASSERT_THAT(store_->Write({{"last", "in the journal"}}), IsOk());
  const Entries expected = ScanAll(*store_);
  store_.reset();
  disk_.KillProcess();
  const int64_t changes = disk_.changes();
  for (int i = 0; i < 2; ++i) {
    OverlayEnv overlay(&disk_);
    ASSERT_THAT(TryReopen(&overlay), IsOk());
    EXPECT_EQ(ScanAll(*store_), expected);
    ASSERT_THAT(store_->Write({{"a", "goes nowhere"}}), IsOk());
    store_.reset();
  }
  EXPECT_EQ(disk_.changes(), changes);
  Reopen();
  EXPECT_EQ(ScanAll(*store_), expected);
}

// A simulation repeats: there is no thread beside the caller's, and compactions come at the same places.
TEST_F(LevelDbStoreTest, CompactionsInCallsRepeat) {
  options_.compacts_in_calls = true;
  std::vector<std::string> runs[2];
  for (std::vector<std::string>& calls : runs) {
    SimulatedDisk disk(1);
    const std::thread::id caller = std::this_thread::get_id();
    disk.SetCallObserver([&](const SimulatedDisk::Call& call) {
      EXPECT_EQ(std::this_thread::get_id(), caller);
      calls.push_back(absl::StrCat(static_cast<int>(call.kind), " ", call.path));
    });
    ASSERT_THAT(TryReopen(&disk), IsOk());
    for (int i = 0; i < 3; ++i) WriteMuch();
    EXPECT_EQ(ScanAll(*store_).size(), 80u);
    EXPECT_THAT(store_->Snapshot()->Get("key7"), IsOk());
    ASSERT_THAT(store_->Write({{"last", "one"}}), IsOk());
    store_.reset();
  }
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_GT(runs[0].size(), 200u);
}

TEST_F(LevelDbStoreTest, WhatWasWrittenIsThereAfterAPowerCut) {
  Reopen();
  ASSERT_THAT(store_->Write({{"a", "1"}}), IsOk());
  store_.reset();
  disk_.CutPower();
  Reopen();
  EXPECT_THAT(ScanAll(*store_), ElementsAre(Pair("a", "1")));
}

TEST_F(LevelDbStoreTest, RefusesWritesAfterAFailedSync) {
  Reopen();
  ASSERT_THAT(store_->Write({{"a", "1"}}), IsOk());
  disk_.FailNextSync();
  EXPECT_THAT(store_->Write({{"a", "2"}}), Fails(absl::StatusCode::kDataLoss));
  EXPECT_THAT(store_->Write({{"a", "3"}}), Fails(absl::StatusCode::kDataLoss));
  EXPECT_EQ(store_->Get("a").value(), "1");
}

TEST_F(LevelDbStoreTest, OneProcessAtATime) {
  Reopen();
  EXPECT_THAT(OpenLevelDbStore(&disk_, kDir, options_), Not(IsOk()));
}

TEST_F(LevelDbStoreTest, DamageIsNeverReadAsData) {
  Reopen();
  WriteMuch();
  const Entries expected = ScanAll(*store_);
  store_.reset();
  // A compaction that ended with the store may leave a table that nobody reads any more: no flip in it is noticed.
  int tables_read = 0;
  for (const std::string& path : Files(".ldb")) {
    const int noticed = FlipBits(path, expected);
    EXPECT_TRUE(noticed == 0 || noticed > 50) << path << ": " << noticed;
    tables_read += noticed > 0 ? 1 : 0;
  }
  EXPECT_GT(tables_read, 0);
  for (const std::string& path : Files("MANIFEST")) FlipBits(path, expected);
  EXPECT_GT(FlipBits(Files("CURRENT").at(0), expected), 20);
}

TEST_F(LevelDbStoreTest, DamageInTheJournalIsNoticedUpToTheLastBatch) {
  Reopen();
  for (const char* value : {"one", "two", "three", "four"}) {
    ASSERT_THAT(store_->Write({{"a", value}, {value, std::string(3000, 'x')}}), IsOk());
  }
  const Entries before = ScanAll(*store_);
  ASSERT_THAT(store_->Write({{"a", "last"}}), IsOk());
  const Entries expected = ScanAll(*store_);
  store_.reset();
  EXPECT_GT(FlipBits(Files(".log").at(0), expected, &before), 100);
}

TEST_F(LevelDbStoreTest, MissingFilesAreDamage) {
  Reopen();
  WriteMuch();
  store_.reset();
  for (const char* part : {".ldb", ".log", "MANIFEST", "CURRENT"}) {
    const std::unique_ptr<SimulatedDisk> disk = disk_.Clone(1);
    ASSERT_THAT(disk->Remove(Files(part).at(0)), IsOk());
    EXPECT_THAT(TryReopen(disk.get()), Fails(absl::StatusCode::kDataLoss)) << part;
  }
}

// --- Journals ---

TEST_F(LevelDbStoreTest, FindsWhereAJournalIsTorn) {
  Reopen();
  for (int i = 0; i < 3; ++i)
    ASSERT_THAT(store_->Write({{"key", std::string(20000, static_cast<char>('a' + i))}}), IsOk());
  store_.reset();
  const std::string journal = ReadFile(&disk_, Files(".log").at(0)).value();
  EXPECT_EQ(FindJournalEnd(journal).value(), journal.size());
  EXPECT_EQ(FindJournalEnd("").value(), 0u);

  // Cut anywhere, it ends with the batch before, and no place in the last one is mistaken for damage.
  const uint64_t third = FindJournalEnd(absl::string_view(journal).substr(0, journal.size() - 1)).value();
  EXPECT_LT(third, journal.size() - 20000);
  for (uint64_t size = third; size < journal.size(); size += 97) {
    EXPECT_EQ(FindJournalEnd(absl::string_view(journal).substr(0, size)).value(), third);
    std::string holes = journal;
    holes[size] ^= 1;
    EXPECT_EQ(FindJournalEnd(holes).value(), third);
    std::fill(holes.begin() + static_cast<ptrdiff_t>(size), holes.end(), '\0');
    EXPECT_EQ(FindJournalEnd(holes).value(), third);
  }
  // A place before is damage, whichever it is.
  for (uint64_t at = 0; at < third; at += 13) {
    std::string damaged = journal;
    damaged[at] ^= 64;
    const absl::StatusOr<uint64_t> end = FindJournalEnd(damaged);
    if (end.ok()) {
      EXPECT_EQ(*end, journal.size()) << at;  // Filling at the end of a block.
    }
  }
}

}  // namespace
}  // namespace barid::storage
