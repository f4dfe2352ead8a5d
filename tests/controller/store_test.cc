#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "base/simulated/disk.h"
#include "base/status.h"
#include "controller/embedded_store.h"
#include "tests/controller/testing.h"

namespace barid::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Change = MetadataStore::Change;

// One body over both maps. The disk is simulated.
enum class Kind { kMemory, kLevelDb };

class MetadataStoreTest : public ::testing::TestWithParam<Kind> {
 protected:
  MetadataStoreTest() { Open(); }

  void Open(EmbeddedStoreOptions options = {}) {
    store_ = nullptr;
    if (GetParam() == Kind::kMemory) {
      auto opened = NewEmbeddedStore(storage::NewMemoryStore(), options);
      ASSERT_THAT(opened, IsOk());
      store_ = *std::move(opened);
    } else {
      auto opened = OpenLevelDbMetadataStore(&disk_, "/metadata", options);
      ASSERT_THAT(opened, IsOk());
      store_ = *std::move(opened);
    }
  }

  int64_t Put(const std::string& key, const std::string& value, SessionId session = SessionId()) {
    const auto revision = store_->Txn({}, {{key, value, session}});
    EXPECT_THAT(revision, IsOk());
    return revision.value_or(0);
  }
  int64_t Delete(const std::string& key) {
    const auto revision = store_->Txn({}, {{key, std::nullopt, SessionId()}});
    EXPECT_THAT(revision, IsOk());
    return revision.value_or(0);
  }
  std::string Get(const std::string& key) {
    const auto entry = store_->Get(key);
    return entry.ok() ? entry->value : "-";
  }
  std::vector<std::string> Keys(const std::string& first = "", const std::string& end = "") {
    std::vector<std::string> keys;
    const auto snapshot = store_->Range(first, end);
    EXPECT_THAT(snapshot, IsOk());
    for (const auto& entry : snapshot->entries) keys.push_back(entry.key);
    return keys;
  }
  // Follows the store from `revision`, as "revision:key=value key-" lines in seen_.
  std::unique_ptr<MetadataStore::Watch> Follow(int64_t revision) {
    auto watch = store_->WatchFrom(revision, [this](const Change& change) { seen_.push_back(ToString(change)); });
    EXPECT_THAT(watch, IsOk());
    return watch.ok() ? *std::move(watch) : nullptr;
  }
  static std::string ToString(const Change& change) {
    std::string line = std::to_string(change.revision) + ":";
    for (const auto& operation : change.operations) {
      line += operation.key + (operation.value ? "=" + *operation.value : "-") + " ";
    }
    line.pop_back();
    return line;
  }

  SimulatedDisk disk_{1};
  std::unique_ptr<MetadataStore> store_;
  std::vector<std::string> seen_;
};

INSTANTIATE_TEST_SUITE_P(Both, MetadataStoreTest, ::testing::Values(Kind::kMemory, Kind::kLevelDb),
                         [](const auto& info) { return info.param == Kind::kMemory ? "Memory" : "LevelDb"; });

TEST_P(MetadataStoreTest, AKeyRemembersItsLastRevision) {
  EXPECT_EQ(Put("a", "1"), 1);
  EXPECT_EQ(Put("b", "2"), 2);
  EXPECT_EQ(Put("a", "3"), 3);
  EXPECT_EQ(store_->Get("a")->value, "3");
  EXPECT_EQ(store_->Get("a")->revision, 3);
  EXPECT_EQ(store_->Get("b")->revision, 2);
  EXPECT_THAT(store_->Get("c"), Fails(absl::StatusCode::kNotFound));
}

TEST_P(MetadataStoreTest, OneTransactionIsOneRevision) {
  ASSERT_THAT(store_->Txn({}, {{"a", "1", {}}, {"b", "2", {}}}), IsOk());
  EXPECT_EQ(store_->Get("a")->revision, 1);
  EXPECT_EQ(store_->Get("b")->revision, 1);
  EXPECT_EQ(store_->Range("", "")->revision, 1);
}

TEST_P(MetadataStoreTest, ATransactionWithoutOperationsOnlyCompares) {
  Put("a", "1");
  EXPECT_EQ(store_->Txn({{"a", 1}}, {}).value_or(0), 1);
  EXPECT_THAT(store_->Txn({{"a", 2}}, {}), Fails(absl::StatusCode::kAborted));
  EXPECT_EQ(store_->Range("", "")->revision, 1);
}

TEST_P(MetadataStoreTest, AFailedComparisonChangesNothing) {
  Put("a", "1");
  EXPECT_THAT(store_->Txn({{"a", 0}}, {{"a", "2", {}}, {"b", "2", {}}}),
              FailsWith(absl::StatusCode::kAborted, "\"a\" was written at revision 1, expected 0"));
  EXPECT_THAT(store_->Txn({{"missing", 1}}, {{"a", "2", {}}}), Fails(absl::StatusCode::kAborted));
  EXPECT_EQ(Get("a"), "1");
  EXPECT_EQ(Get("b"), "-");
  EXPECT_EQ(store_->Range("", "")->revision, 1);
}

TEST_P(MetadataStoreTest, OfTwoWritersWhoSawTheSameOneWins) {
  const int64_t seen = Put("a", "0");
  EXPECT_THAT(store_->Txn({{"a", seen}}, {{"a", "first", {}}}), IsOk());
  EXPECT_THAT(store_->Txn({{"a", seen}}, {{"a", "second", {}}}), Fails(absl::StatusCode::kAborted));
  EXPECT_EQ(Get("a"), "first");
}

TEST_P(MetadataStoreTest, ADeletedAndRecreatedKeyIsAnotherOne) {
  const int64_t seen = Put("a", "1");
  Delete("a");
  EXPECT_THAT(store_->Txn({{"a", 0}}, {}), IsOk());
  Put("a", "1");
  EXPECT_THAT(store_->Txn({{"a", seen}}, {{"a", "2", {}}}), Fails(absl::StatusCode::kAborted));
}

TEST_P(MetadataStoreTest, RangesAreHalfOpenAndSorted) {
  for (const char* key : {"b", "a", "d", "c"}) Put(key, "");
  EXPECT_THAT(Keys(), ElementsAre("a", "b", "c", "d"));
  EXPECT_THAT(Keys("b", "d"), ElementsAre("b", "c"));
  EXPECT_THAT(Keys("c"), ElementsAre("c", "d"));
  EXPECT_THAT(Keys("x"), IsEmpty());
}

TEST_P(MetadataStoreTest, ValuesMayHoldAnything) {
  const std::string bytes("\0\xff\x80 r", 5);
  Put("a", bytes);
  Put("empty", "");
  EXPECT_EQ(Get("a"), bytes);
  EXPECT_EQ(Get("empty"), "");
}

TEST_P(MetadataStoreTest, AWatchSeesEveryChangeOnceInOrder) {
  Put("a", "1");
  Put("b", "1");
  const auto watch = Follow(1);
  Put("a", "2");
  Delete("b");
  ASSERT_THAT(store_->Txn({}, {{"c", "1", {}}, {"d", "1", {}}}), IsOk());
  EXPECT_THAT(store_->Txn({{"a", 0}}, {{"never", "1", {}}}), Fails(absl::StatusCode::kAborted));
  EXPECT_THAT(seen_, ElementsAre("2:b=1", "3:a=2", "4:b-", "5:c=1 d=1"));
}

TEST_P(MetadataStoreTest, SeveralWatchesDoNotDisturbEachOther) {
  const auto first = Follow(0);
  {
    const auto second = Follow(0);
    Put("a", "1");
  }
  Put("a", "2");
  EXPECT_THAT(seen_, ElementsAre("1:a=1", "1:a=1", "2:a=2"));
}

TEST_P(MetadataStoreTest, AWatchCannotBeginBeforeItsHistoryOrInTheFuture) {
  Open({.history_revisions = 2});
  const int64_t start = store_->Range("", "")->revision;
  for (int i = 0; i < 4; ++i) Put("a", "1");
  const auto nothing = [](const Change&) {};
  const auto too_old = store_->WatchFrom(start + 1, nothing);
  EXPECT_THAT(too_old, Fails(absl::StatusCode::kOutOfRange));
  ASSERT_TRUE(GetOffsetRange(too_old.status()).has_value());
  EXPECT_EQ(GetOffsetRange(too_old.status())->first, start + 2);
  EXPECT_EQ(GetOffsetRange(too_old.status())->end, start + 5);
  EXPECT_THAT(store_->WatchFrom(start + 2, nothing), IsOk());
  EXPECT_THAT(store_->WatchFrom(start + 5, nothing), Fails(absl::StatusCode::kOutOfRange));
}

TEST_P(MetadataStoreTest, AWatchMayOutliveItsStore) {
  auto watch = Follow(0);
  store_ = nullptr;
  watch = nullptr;
}

TEST_P(MetadataStoreTest, ASessionTakesItsKeysAlong) {
  const auto session = store_->OpenSession(absl::Seconds(10));
  ASSERT_THAT(session, IsOk());
  Put("mine", "1", *session);
  Put("mine too", "1", *session);
  Put("given up", "1", *session);
  Put("given up", "2");  // Nobody's now.
  Put("stays", "1");
  EXPECT_THAT(store_->KeepAlive(*session), IsOk());
  const auto watch = Follow(store_->Range("", "")->revision);
  EXPECT_THAT(store_->EndSession(*session), IsOk());
  EXPECT_THAT(Keys(), ElementsAre("given up", "stays"));
  EXPECT_THAT(seen_, ElementsAre("6:mine- mine too-"));

  EXPECT_THAT(store_->KeepAlive(*session), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->EndSession(*session), Fails(absl::StatusCode::kNotFound));
  EXPECT_THAT(store_->Txn({}, {{"late", "1", *session}}), Fails(absl::StatusCode::kNotFound));
  EXPECT_EQ(Get("late"), "-");
}

TEST_P(MetadataStoreTest, ARandomHistoryEqualsAModel) {
  const uint64_t seed = RealRandom()->Next();
  SCOPED_TRACE(testing::Message() << "seed " << seed);
  SeededRandom random(seed);
  std::map<std::string, std::pair<std::string, int64_t>> model;  // Value and revision.
  int64_t revision = 0;
  std::map<std::string, std::string> followed;
  const auto watch = store_->WatchFrom(0, [&](const Change& change) {
    EXPECT_EQ(change.revision, revision + 1);
    for (const auto& operation : change.operations) {
      if (operation.value) {
        followed[operation.key] = *operation.value;
      } else {
        followed.erase(operation.key);
      }
    }
  });
  for (int step = 0; step < 300; ++step) {
    const std::string key(1, static_cast<char>('a' + random.Below(5)));
    const int64_t actual = model.contains(key) ? model[key].second : 0;
    const int64_t expected = random.OneIn(3) ? static_cast<int64_t>(random.Below(step + 1)) : actual;
    const bool deletes = random.OneIn(4);
    const std::string value = std::to_string(step);
    const auto written =
        store_->Txn({{key, expected}}, {{key, deletes ? std::nullopt : std::optional(value), SessionId()}});
    EXPECT_EQ(written.ok(), expected == actual);
    if (!written.ok()) continue;
    EXPECT_EQ(*written, ++revision);
    if (deletes) {
      model.erase(key);
    } else {
      model[key] = {value, revision};
    }
    EXPECT_EQ(followed.size(), model.size());
  }
  const auto snapshot = store_->Range("", "");
  ASSERT_THAT(snapshot, IsOk());
  ASSERT_EQ(snapshot->entries.size(), model.size());
  for (const auto& entry : snapshot->entries) {
    EXPECT_EQ(entry.value, model[entry.key].first);
    EXPECT_EQ(entry.revision, model[entry.key].second);
    EXPECT_EQ(followed[entry.key], entry.value);
  }
}

class LevelDbMetadataStoreTest : public MetadataStoreTest {};
INSTANTIATE_TEST_SUITE_P(LevelDb, LevelDbMetadataStoreTest, ::testing::Values(Kind::kLevelDb));

TEST_P(LevelDbMetadataStoreTest, WhatWasAnsweredSurvivesAPowerCut) {
  Put("a", "1");
  Put("b", "1");
  Delete("a");
  store_ = nullptr;
  disk_.CutPower();
  Open();
  EXPECT_THAT(Keys(), ElementsAre("b"));
  EXPECT_EQ(store_->Get("b")->revision, 2);
  EXPECT_EQ(Put("c", "1"), 4);  // Revisions go on.
}

TEST_P(LevelDbMetadataStoreTest, SessionsEndWithTheProcess) {
  const auto session = store_->OpenSession(absl::Seconds(10));
  Put("mine", "1", *session);
  Put("stays", "1");
  Open();
  EXPECT_THAT(Keys(), ElementsAre("stays"));
  EXPECT_EQ(Put("next", "1"), 4);  // The cleaning was a transaction, too.
}

TEST_P(LevelDbMetadataStoreTest, AWatchBeginsNowAfterARestart) {
  Put("a", "1");
  Put("a", "2");
  Open();
  EXPECT_THAT(store_->WatchFrom(1, [](const Change&) {}), Fails(absl::StatusCode::kOutOfRange));
  const auto watch = Follow(2);
  Put("a", "3");
  EXPECT_THAT(seen_, ElementsAre("3:a=3"));
}

TEST(EmbeddedStoreTest, RefusesAnEntryThatIsCutShort) {
  auto map = storage::NewMemoryStore();
  ASSERT_THAT(map->Write({{"r", std::string("\1\0\0\0\0\0\0\0", 8)}, {"dkey", std::string("\x80", 1)}}), IsOk());
  EXPECT_THAT(NewEmbeddedStore(std::move(map), {}), FailsWith(absl::StatusCode::kDataLoss, "\"key\""));
}

TEST(EmbeddedStoreTest, RefusesADamagedRevision) {
  auto map = storage::NewMemoryStore();
  ASSERT_THAT(map->Write({{"r", "abc"}}), IsOk());
  EXPECT_THAT(NewEmbeddedStore(std::move(map), {}), FailsWith(absl::StatusCode::kDataLoss, "revision"));
}

}  // namespace
}  // namespace barid::controller
