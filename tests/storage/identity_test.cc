#include "storage/identity.h"

#include "tests/storage/testing.h"

namespace barid::storage {
namespace {

constexpr absl::string_view kPath = "/identity";

class IdentityTest : public ::testing::Test {
 protected:
  SimulatedDisk disk_{1};
  const Identity identity_{.cluster = "prod", .shard = ShardId(7), .replica = "broker-3", .log_id = 0xfeed};
};

TEST_F(IdentityTest, SurvivesAPowerCut) {
  ASSERT_THAT(WriteIdentity(&disk_, kPath, identity_), IsOk());
  disk_.CutPower();
  ASSERT_THAT(ReadIdentity(&disk_, kPath), IsOk());
  EXPECT_EQ(*ReadIdentity(&disk_, kPath), identity_);
}

TEST_F(IdentityTest, CanBeReadByPeople) {
  ASSERT_THAT(WriteIdentity(&disk_, kPath, identity_), IsOk());
  EXPECT_THAT(ReadFile(&disk_, kPath).value(),
              ::testing::StartsWith("barid replica 1\ncluster: prod\nshard: 7\nreplica: broker-3\n"
                                    "log_id: 000000000000feed\ncrc32c: "));
}

TEST_F(IdentityTest, KeepsThatTheLogHasRecords) {
  Identity begun = identity_;
  begun.has_records = true;
  ASSERT_THAT(WriteIdentity(&disk_, kPath, begun), IsOk());
  ASSERT_THAT(ReadIdentity(&disk_, kPath), IsOk());
  EXPECT_EQ(*ReadIdentity(&disk_, kPath), begun);
  EXPECT_THAT(ReadFile(&disk_, kPath).value(), ::testing::HasSubstr("\nrecords: yes\ncrc32c: "));
}

TEST_F(IdentityTest, MissingIsNotFound) {
  EXPECT_THAT(ReadIdentity(&disk_, kPath), Fails(absl::StatusCode::kNotFound));
}

TEST_F(IdentityTest, EveryFlippedBitIsSeen) {
  Identity begun = identity_;
  begun.has_records = true;
  ASSERT_THAT(WriteIdentity(&disk_, kPath, begun), IsOk());
  const uint64_t bits = ReadFile(&disk_, kPath).value().size() * 8;
  for (uint64_t bit = 0; bit < bits; ++bit) {
    disk_.FlipBit(kPath, bit);
    EXPECT_THAT(ReadIdentity(&disk_, kPath), Fails(absl::StatusCode::kDataLoss)) << "bit " << bit;
    disk_.FlipBit(kPath, bit);
  }
}

TEST_F(IdentityTest, SaysWhichLineIsWrong) {
  ASSERT_THAT(WriteFileDurably(&disk_, kPath, "barid replica 1\ncluster: prod\nshard: seven\n"), IsOk());
  EXPECT_THAT(ReadIdentity(&disk_, kPath), FailsWith(absl::StatusCode::kDataLoss, "/identity:3: expected shard"));
}

TEST_F(IdentityTest, RefusesNamesThatDoNotFitOnALine) {
  Identity identity = identity_;
  identity.cluster = "a\nshard: 9";
  EXPECT_THAT(WriteIdentity(&disk_, kPath, identity), Fails(absl::StatusCode::kInvalidArgument));
}

TEST_F(IdentityTest, AtEveryCutTheOldOrTheNewOneIsThere) {
  for (int n = 1;; ++n) {
    ASSERT_LT(n, 50);
    SimulatedDisk disk(n);
    ASSERT_THAT(WriteIdentity(&disk, kPath, identity_), IsOk());
    Identity renewed = identity_;
    renewed.log_id = 0xbeef;
    disk.CutPowerAtCall(n);
    const absl::Status status = WriteIdentity(&disk, kPath, renewed);
    disk.Restart();
    disk.CutPower();
    const absl::StatusOr<Identity> found = ReadIdentity(&disk, kPath);
    ASSERT_THAT(found, IsOk());
    if (status.ok()) {
      EXPECT_EQ(*found, renewed);
    }
    EXPECT_THAT(found->log_id, ::testing::AnyOf(identity_.log_id, renewed.log_id));
    if (status.ok()) break;
  }
}

}  // namespace
}  // namespace barid::storage
