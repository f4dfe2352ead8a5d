#include "broker/broker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "base/awaited.h"
#include "base/clock.h"
#include "base/random.h"
#include "base/simulated/disk.h"
#include "base/stored_message.h"
#include "controller/controller.h"
#include "controller/embedded_store.h"
#include "storage/identity.h"
#include "tests/base/status_matchers.h"

namespace barid::broker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A broker on a simulated disk, and a controller that outlives it.
class BrokerTest : public ::testing::Test {
 protected:
  BrokerTest() { Begin(1); }
  ~BrokerTest() override { End(); }

  // An empty disk, and a controller that has not heard of it.
  void Begin(uint64_t seed) {
    End();
    disk_ = std::make_unique<SimulatedDisk>(seed);
    store_ = controller::NewMemoryMetadataStore();
    control_ = NewThreadExecutor("control");
    controller::ControllerOptions options;
    options.limits.shards_per_broker = 1;
    auto controller = controller::Controller::Start(store_.get(), RealClock(), RealRandom(), control_.get(), options);
    ASSERT_THAT(controller, IsOk());
    controller_ = *std::move(controller);
  }
  void End() {
    broker_ = nullptr;
    control_ = nullptr;
    controller_ = nullptr;
  }

  absl::Status Start() {
    broker_ = nullptr;
    BrokerOptions options;
    options.data_dir = "/data";
    options.shard.log.segment_bytes = 1 << 20;
    options.shard.log.zero_ahead_bytes = 64 << 10;
    broker_ = std::make_unique<Broker>(disk_.get(), RealClock(), RealRandom(), NewThreadExecutor, controller_.get(),
                                       options, [](const absl::Status&) {});
    return broker_->Start("", absl::Seconds(30));
  }
  // As somebody does who takes a directory for a cache.
  void RemoveLogAndState() {
    broker_ = nullptr;
    for (const std::string& path : disk_->FileNames()) {
      if (!absl::StrContains(path, "/log/") && !absl::StrContains(path, "/state/")) continue;
      ASSERT_THAT(disk_->Remove(path), IsOk());
    }
    ASSERT_THAT(disk_->RemoveDir("/data/shards/1/log"), IsOk());
    ASSERT_THAT(disk_->RemoveDir("/data/shards/1/state"), IsOk());
  }
  storage::Identity Identity() {
    const auto identity = storage::ReadIdentity(disk_.get(), kIdentity);
    EXPECT_TRUE(identity.ok()) << identity.status();
    return identity.value_or(storage::Identity());
  }
  static constexpr absl::string_view kIdentity = "/data/shards/1/identity";

  std::unique_ptr<SimulatedDisk> disk_;
  std::unique_ptr<controller::MetadataStore> store_;
  std::unique_ptr<Executor> control_;
  std::unique_ptr<controller::Controller> controller_;
  std::unique_ptr<Broker> broker_;
};

TEST_F(BrokerTest, RefusesAShardWhoseLogAndStateAreGone) {
  ASSERT_THAT(Start(), IsOk());
  RemoveLogAndState();
  const std::vector<std::string> files = disk_->FileNames();
  EXPECT_THAT(Start(),
              StatusIs(absl::StatusCode::kDataLoss, HasSubstr("has records, and there is none in /data/shards/1/log")));
  broker_ = nullptr;
  // Nothing stands in their place that would be in the way of a repair.
  EXPECT_EQ(disk_->FileNames(), files);
  EXPECT_THAT(disk_->Exists("/data/shards/1/log"), IsOkAndHolds(false));
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BrokerTest, RefusesAShardWhoseLogHasNoRecordLeft) {
  ASSERT_THAT(Start(), IsOk());
  broker_ = nullptr;
  for (const std::string& path : disk_->FileNames()) {
    if (absl::StrContains(path, "/state/")) {
      ASSERT_THAT(disk_->Remove(path), IsOk());
    } else if (absl::StrContains(path, "/log/")) {
      ASSERT_THAT(disk_->Open(path, {.mode = OpenMode::kTruncate}), IsOk());
    }
  }
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kDataLoss, HasSubstr("had records, and none is left")));
  EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kDataLoss));
}

TEST_F(BrokerTest, AShardFromBeforeTheMarkGetsItAtTheNextStart) {
  ASSERT_THAT(Start(), IsOk());
  broker_ = nullptr;
  storage::Identity identity = Identity();
  EXPECT_TRUE(identity.has_records);
  identity.has_records = false;
  ASSERT_THAT(storage::WriteIdentity(disk_.get(), kIdentity, identity), IsOk());
  ASSERT_THAT(Start(), IsOk());
  EXPECT_TRUE(Identity().has_records);
}

// What is acknowledged before the mark is durable could be missed in silence later.
TEST_F(BrokerTest, AShardTakesNoCallBeforeItsIdentitySaysThatItHasRecords) {
  std::vector<absl::StatusCode> answers;
  disk_->SetCallObserver([this, &answers](const SimulatedDisk::Call& call) {
    if (call.kind != SimulatedDisk::CallKind::kRename || !absl::StrContains(call.path, "identity")) return;
    auto answer = std::make_shared<Awaited<absl::Status>>();
    AppendCall append;
    append.shard = ShardId(1);
    append.messages.push_back({EncodeStoredMessage({}), 0});
    broker_->Append(std::move(append), [answer](AppendResult result) { answer->Set(std::move(result.status)); });
    answers.push_back(answer->Wait().code());
  });
  ASSERT_THAT(Start(), IsOk());
  disk_->SetCallObserver(nullptr);
  // Once when it was made, once when the first record was durable.
  EXPECT_THAT(answers, ElementsAre(absl::StatusCode::kUnavailable, absl::StatusCode::kUnavailable));
}

TEST_F(BrokerTest, AFirstStartThatDiedAnywhereGoesOn) {
  for (int n = 1;; ++n) {
    SCOPED_TRACE(absl::StrCat("power cut at change ", n));
    ASSERT_LT(n, 500);
    ASSERT_NO_FATAL_FAILURE(Begin(n));
    disk_->CutPowerAtCall(n);
    const absl::Status first = Start();
    broker_ = nullptr;
    const bool was_cut = !disk_->powered();
    if (was_cut) {
      disk_->Restart();
    } else {
      disk_->CutPowerAtCall(0);
    }
    if (first.ok()) {
      // It served.
      EXPECT_TRUE(Identity().has_records);
    }
    ASSERT_THAT(Start(), IsOk());
    ASSERT_NO_FATAL_FAILURE(RemoveLogAndState());
    EXPECT_THAT(Start(), StatusIs(absl::StatusCode::kDataLoss));
    broker_ = nullptr;
    if (!was_cut) break;
  }
}

}  // namespace
}  // namespace barid::broker
