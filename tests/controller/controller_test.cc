#include "controller/controller.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/simulated/disk.h"
#include "base/simulated/executor.h"
#include "controller/embedded_store.h"
#include "tests/controller/testing.h"

namespace barid::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Snapshot = std::shared_ptr<const Metadata>;

// One controller over one store: LevelDB on a simulated disk, so that a restart is a real one.
class ControllerTest : public ::testing::Test {
 protected:
  ControllerTest() { Start(); }
  ~ControllerTest() override { Stop(); }

  absl::Status TryStart() {
    auto store = OpenLevelDbMetadataStore(&disk_, "/metadata", {});
    if (!store.ok()) return store.status();
    store_ = *std::move(store);
    executor_ = world_.NewExecutor("controller");
    auto controller = Controller::Start(store_.get(), world_.clock(), world_.random(), executor_.get(), options_);
    if (!controller.ok()) return controller.status();
    controller_ = *std::move(controller);
    return absl::OkStatus();
  }
  void Start() { ASSERT_THAT(TryStart(), IsOk()); }
  void Stop() {
    executor_ = nullptr;
    controller_ = nullptr;
    store_ = nullptr;
  }
  void Restart() {
    Stop();
    Start();
  }

  // Makes a call and lets the world run until it is answered.
  template <typename Call>
  absl::StatusOr<Snapshot> Await(Call call) {
    std::optional<absl::StatusOr<Snapshot>> answer;
    call([&](absl::StatusOr<Snapshot> result) {
      EXPECT_FALSE(answer.has_value());
      answer = std::move(result);
    });
    world_.RunUntilIdle();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(absl::InternalError("no answer"));
  }
  absl::StatusOr<Snapshot> Create(const TopicMetadata& topic) {
    return Await([&](auto done) { controller_->CreateTopic(topic, std::move(done)); });
  }
  absl::StatusOr<Snapshot> Create(const GroupMetadata& group) {
    return Await([&](auto done) { controller_->CreateGroup(group, std::move(done)); });
  }
  absl::StatusOr<Snapshot> DeleteTopic(const std::string& name) {
    return Await([&](auto done) { controller_->DeleteTopic({"", name}, std::move(done)); });
  }
  absl::StatusOr<Snapshot> Subscribe(uint64_t group, TopicId topic) {
    return Await([&](auto done) { controller_->Subscribe(GroupId(group), topic, std::move(done)); });
  }
  absl::StatusOr<BrokerGrant> Register(const BrokerRegistration& registration) {
    std::optional<absl::StatusOr<BrokerGrant>> answer;
    controller_->RegisterBroker(registration, [&](absl::StatusOr<BrokerGrant> grant) { answer = std::move(grant); });
    world_.RunUntilIdle();
    EXPECT_TRUE(answer.has_value());
    return answer.value_or(absl::InternalError("no answer"));
  }

  SimulatedWorld world_{1};
  SimulatedDisk disk_{1};
  ControllerOptions options_;
  std::unique_ptr<MetadataStore> store_;
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Controller> controller_;
};

TEST_F(ControllerTest, TheFirstStartMakesAClusterAndAKey) {
  const Snapshot metadata = controller_->Current();
  EXPECT_THAT(metadata->tables().cluster, SizeIs(16));
  ASSERT_THAT(metadata->tables().signing_keys, SizeIs(1));
  EXPECT_THAT(metadata->tables().signing_keys[0].secret, SizeIs(32));
}

TEST_F(ControllerTest, AnAnswersSnapshotHasTheChange) {
  const auto created = Create(Topic("t"));
  ASSERT_THAT(created, IsOk());
  EXPECT_NE((*created)->FindTopic({"", "t"}), nullptr);
  EXPECT_EQ(controller_->Current(), *created);
  EXPECT_THAT(Create(Topic("t")), Fails(absl::StatusCode::kAlreadyExists));
}

TEST_F(ControllerTest, ASnapshotNeverChanges) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  const Snapshot before = controller_->Current();
  const int64_t revision = before->revision();
  ASSERT_THAT(DeleteTopic("t"), IsOk());
  ASSERT_THAT(Create(Topic("u")), IsOk());
  EXPECT_NE(before->FindTopic({"", "t"}), nullptr);
  EXPECT_EQ(before->FindTopic({"", "u"}), nullptr);
  EXPECT_EQ(before->revision(), revision);
  EXPECT_EQ(controller_->Current()->FindTopic({"", "t"}), nullptr);  // Unreachable at once.
}

TEST_F(ControllerTest, ARestartKeepsEverything) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  GroupMetadata group = Group("g");
  group.retry.delays = DefaultRetryDelays();
  group.start.kind = StartFrom::Kind::kLast;
  ASSERT_THAT(Create(group), IsOk());
  ASSERT_THAT(Subscribe(1, TopicId(1)), IsOk());
  ASSERT_THAT(Subscribe(1, DeadLetterTopicId(GroupId(1))), IsOk());
  ASSERT_THAT(Register({"broker-0", "host:1", {}}), IsOk());
  const Metadata::Tables before = controller_->Current()->tables();

  disk_.CutPower();
  Restart();
  const Metadata::Tables after = controller_->Current()->tables();
  EXPECT_GT(after.revision, before.revision);
  EXPECT_EQ(after.cluster, before.cluster);
  EXPECT_TRUE(after.topics == before.topics);
  EXPECT_TRUE(after.groups == before.groups);
  EXPECT_TRUE(after.subscriptions == before.subscriptions);
  EXPECT_TRUE(after.brokers == before.brokers);
  EXPECT_TRUE(after.shards == before.shards);
  EXPECT_TRUE(after.signing_keys == before.signing_keys);
}

TEST_F(ControllerTest, IdsAreNotReusedAcrossARestart) {
  std::set<uint64_t> ids;
  for (int i = 0; i < 3; ++i) {
    const auto created = Create(Topic("t"));
    ASSERT_THAT(created, IsOk());
    EXPECT_TRUE(ids.insert((*created)->FindTopic({"", "t"})->id.value()).second);
    ASSERT_THAT(DeleteTopic("t"), IsOk());
    Restart();
  }
}

TEST_F(ControllerTest, EpochsGrowAcrossPowerCuts) {
  options_.limits.shards_per_broker = 1;
  Restart();
  Epoch last = 0;
  for (int i = 0; i < 5; ++i) {
    const auto grant = Register({"b", "host:1", {}});
    ASSERT_THAT(grant, IsOk());
    ASSERT_THAT(grant->shards, SizeIs(1));
    EXPECT_GT(grant->shards[0].shard.epoch, last);
    last = grant->shards[0].shard.epoch;
    disk_.CutPower();  // Right after the grant was answered.
    Restart();
  }
}

// A controller's life on a disk whose power may go: what was asked, and what was answered.
struct Life {
  std::set<std::string> asked;
  std::set<std::string> answered;
};

class ControllerCrashTest : public ControllerTest {
 protected:
  // Starts on `disk`, compares what is there with the lives before, and creates two topics. False if it could not
  // start.
  bool Live(SimulatedDisk* disk, Life* life) {
    auto store = OpenLevelDbMetadataStore(disk, "/metadata", {});
    if (!store.ok()) return false;
    auto executor = world_.NewExecutor("controller");
    auto controller = Controller::Start((*store).get(), world_.clock(), world_.random(), executor.get(), options_);
    if (!controller.ok()) return false;
    std::set<std::string> names;
    std::set<uint64_t> ids;
    for (const TopicMetadata& topic : (*controller)->Current()->tables().topics) {
      names.insert(topic.name.name);
      EXPECT_TRUE(ids.insert(topic.id.value()).second);
    }
    for (const std::string& name : life->answered) EXPECT_TRUE(names.contains(name)) << name;
    for (const std::string& name : names) EXPECT_TRUE(life->asked.contains(name)) << name;

    for (int i = 0; i < 2; ++i) {
      const std::string name = "t" + std::to_string(life->asked.size());
      life->asked.insert(name);
      (*controller)->CreateTopic(Topic(name), [&](absl::StatusOr<Snapshot> result) {
        if (result.ok()) life->answered.insert(name);
      });
      world_.RunUntilIdle();
    }
    executor = nullptr;
    return true;
  }
};

TEST_F(ControllerCrashTest, APowerCutAnywhereLosesNothingThatWasAnswered) {
  Stop();
  auto whole = disk_.Clone(0);
  const int64_t before = whole->changes();
  Life undisturbed;
  ASSERT_TRUE(Live(whole.get(), &undisturbed));
  const int64_t cuts = whole->changes() - before;
  ASSERT_THAT(undisturbed.answered, SizeIs(2));
  ASSERT_GT(cuts, 10);

  for (int64_t cut = 1; cut <= cuts; ++cut) {
    SCOPED_TRACE(testing::Message() << "cut at change " << cut << " of " << cuts);
    auto disk = disk_.Clone(cut);
    disk->CutPowerAtCall(cut);
    Life life;
    Live(disk.get(), &life);
    disk->Restart();
    EXPECT_TRUE(Live(disk.get(), &life));
    EXPECT_TRUE(Live(disk.get(), &life));
  }
}

TEST_F(ControllerTest, AWatchBeginsWithTheSnapshotAndGoesOnInOrder) {
  ASSERT_THAT(Create(Topic("before")), IsOk());
  std::vector<Snapshot> seen;
  controller_->Watch([&](Snapshot metadata) { seen.push_back(std::move(metadata)); });
  world_.RunUntilIdle();
  ASSERT_THAT(seen, SizeIs(1));
  EXPECT_NE(seen[0]->FindTopic({"", "before"}), nullptr);
  ASSERT_THAT(Create(Topic("a")), IsOk());
  ASSERT_THAT(Create(Topic("b")), IsOk());
  EXPECT_THAT(Create(Topic("b")), Fails(absl::StatusCode::kAlreadyExists));
  ASSERT_THAT(seen, SizeIs(3));
  for (size_t i = 1; i < seen.size(); ++i) EXPECT_GT(seen[i]->revision(), seen[i - 1]->revision());
  EXPECT_EQ(seen[2], controller_->Current());
}

TEST_F(ControllerTest, ObserversAreToldBeforeTheCaller) {
  std::vector<std::string> events;
  controller_->Watch([&](Snapshot) { events.push_back("observer"); });
  controller_->CreateTopic(Topic("t"), [&](absl::StatusOr<Snapshot>) { events.push_back("caller"); });
  world_.RunUntilIdle();
  EXPECT_THAT(events, ElementsAre("observer", "observer", "caller"));
}

TEST_F(ControllerTest, SeesWhatOthersWriteAndRetriesOnConflict) {
  // Somebody takes an id behind our back: the cluster record is not as we know it.
  auto cluster = DecodeRecord(ClusterKey(), store_->Get(ClusterKey())->value);
  ASSERT_THAT(cluster, IsOk());
  auto& record = std::get<ClusterRecord>(*cluster);
  TopicMetadata theirs = Topic("theirs");
  theirs.id = TopicId(record.next_topic_id++);
  ASSERT_THAT(store_->Txn({}, {{ClusterKey(), EncodeRecord(record), {}}, {KeyOf(theirs), EncodeRecord(theirs), {}}}),
              IsOk());
  // The change's notice is posted, but our call is first.
  const auto created = Create(Topic("ours"));
  ASSERT_THAT(created, IsOk());
  EXPECT_EQ((*created)->FindTopic({"", "theirs"})->id, TopicId(1));
  EXPECT_EQ((*created)->FindTopic({"", "ours"})->id, TopicId(2));
}

TEST_F(ControllerTest, ASecondControllerIsNotElected) {
  auto executor = world_.NewExecutor("second");
  EXPECT_THAT(
      Controller::Start(store_.get(), world_.clock(), world_.random(), executor.get(), {.name = "second"}).status(),
      FailsWith(absl::StatusCode::kUnavailable, "the controller \"controller\" is elected"));
}

TEST_F(ControllerTest, ADeposedControllerWritesNothing) {
  const int64_t revision = store_->Range("", "")->revision;
  ASSERT_THAT(store_->Txn({}, {{kElectionKey, "usurper", {}}}), IsOk());
  EXPECT_THAT(Create(Topic("t")), FailsWith(absl::StatusCode::kUnavailable, "\"usurper\" is"));
  EXPECT_THAT(Register({"b", "host:1", {}}), Fails(absl::StatusCode::kUnavailable));
  EXPECT_EQ(store_->Range("", "")->revision, revision + 1);
}

TEST_F(ControllerTest, AFailedWriteIsNotShownAndEndsWriting) {
  disk_.FailNextSync();
  EXPECT_FALSE(Create(Topic("t")).ok());
  EXPECT_EQ(controller_->Current()->FindTopic({"", "t"}), nullptr);
  EXPECT_FALSE(Create(Topic("u")).ok());
}

TEST_F(ControllerTest, CallsAreAnsweredWhenTheExecutorIsDestroyed) {
  std::optional<absl::StatusOr<Snapshot>> topic;
  std::optional<absl::StatusOr<BrokerGrant>> broker;
  controller_->CreateTopic(Topic("t"), [&](absl::StatusOr<Snapshot> result) { topic = std::move(result); });
  controller_->RegisterBroker({"b", "host:1", {}}, [&](absl::StatusOr<BrokerGrant> result) { broker = result; });
  executor_ = nullptr;
  ASSERT_TRUE(topic.has_value());
  EXPECT_THAT(*topic, Fails(absl::StatusCode::kUnavailable));
  ASSERT_TRUE(broker.has_value());
  EXPECT_THAT(*broker, Fails(absl::StatusCode::kUnavailable));
}

TEST_F(ControllerTest, AGroupGoesWhenNoProxyHasSeenAMember) {
  GroupMetadata group = Group("mine");
  group.expire_after = absl::Seconds(30);
  ASSERT_THAT(Create(group), IsOk());
  ASSERT_THAT(Create(Group("stays")), IsOk());
  const auto report = [&](std::vector<GroupId> seen) {
    world_.clock()->Advance(absl::Seconds(5));
    controller_->ReportGroups({"proxy-0", std::move(seen)});
    world_.RunUntilIdle();
    return controller_->Current()->FindGroup({"", "mine"}) != nullptr;
  };
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(report({GroupId(1)}));
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(report({}));
  Restart();  // A new controller gives it all of its time again, from the first report on.
  for (int i = 0; i < 6; ++i) ASSERT_TRUE(report({})) << i;
  EXPECT_FALSE(report({}));
  EXPECT_NE(controller_->Current()->FindGroup({"", "stays"}), nullptr);
  Restart();
  EXPECT_EQ(controller_->Current()->FindGroup({"", "mine"}), nullptr);
}

TEST_F(ControllerTest, EveryCallReachesItsLogic) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  ASSERT_THAT(Create(Group("g")), IsOk());
  const auto updated = Await([&](auto done) {
    controller_->UpdateTopic({.name = {"", "t"}, .retention_bytes = 5}, std::move(done));
  });
  ASSERT_THAT(updated, IsOk());
  EXPECT_EQ((*updated)->FindTopic({"", "t"})->retention.bytes, 5);

  RetryPolicy retry;
  retry.max_attempts = 2;
  const auto group = Await([&](auto done) { controller_->UpdateGroup({{"", "g"}, retry}, std::move(done)); });
  ASSERT_THAT(group, IsOk());
  EXPECT_EQ((*group)->FindGroup({"", "g"})->retry.max_attempts, 2);

  const auto subscribed = Subscribe(1, TopicId(1));
  ASSERT_THAT(subscribed, IsOk());
  EXPECT_NE((*subscribed)->FindSubscription(GroupId(1), TopicId(1)), nullptr);

  const auto unsubscribe = [&](auto done) { controller_->Unsubscribe(GroupId(1), TopicId(1), std::move(done)); };
  const auto unsubscribed = Await(unsubscribe);
  ASSERT_THAT(unsubscribed, IsOk());
  EXPECT_EQ((*unsubscribed)->FindSubscription(GroupId(1), TopicId(1)), nullptr);
  EXPECT_TRUE(absl::IsNotFound(Await(unsubscribe).status()));

  const auto rotated = Await([&](auto done) { controller_->RotateSigningKey(std::move(done)); });
  ASSERT_THAT(rotated, IsOk());
  EXPECT_THAT((*rotated)->tables().signing_keys, SizeIs(2));

  ASSERT_THAT(Register({"b", "host:1", {}}), IsOk());
  EXPECT_THAT(Await([&](auto done) {
                controller_->RegisterReplica("b", {ShardId(1), "ab"}, std::move(done));
              }),
              IsOk());
  EXPECT_EQ(store_->Get(ReplicaKey(ShardId(1), "b")).ok(), true);

  const auto deleted = Await([&](auto done) { controller_->DeleteGroup({"", "g"}, std::move(done)); });
  ASSERT_THAT(deleted, IsOk());
  EXPECT_THAT((*deleted)->tables().groups, IsEmpty());
  EXPECT_THAT((*deleted)->tables().subscriptions, IsEmpty());
}

}  // namespace
}  // namespace barid::controller
