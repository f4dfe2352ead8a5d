#include "proxy/grpc/remote_brokers.h"

#include "tests/base/status_matchers.h"
#include "tests/integration/broker_hop_fixture.h"

namespace barid {
namespace {

// Metadata that the test changes; nothing else of a controller.
class FakeController : public ControllerApi {
 public:
  void SetBrokers(std::vector<BrokerMetadata> brokers, std::vector<ShardMetadata> shards = {}) {
    Metadata::Tables tables;
    tables.revision = current_->revision() + 1;
    tables.brokers = std::move(brokers);
    tables.shards = std::move(shards);
    current_ = std::make_shared<const Metadata>(std::move(tables));
    for (auto& observer : observers_) observer(current_);
  }

  std::shared_ptr<const Metadata> Current() const override { return current_; }
  void Watch(absl::AnyInvocable<void(std::shared_ptr<const Metadata>)> observer) override {
    observer(current_);
    observers_.push_back(std::move(observer));
  }
  void CreateTopic(TopicMetadata, Changed) override {}
  void UpdateTopic(TopicUpdate, Changed) override {}
  void DeleteTopic(ResourceName, Changed) override {}
  void CreateGroup(GroupMetadata, Changed) override {}
  void UpdateGroup(GroupUpdate, Changed) override {}
  void DeleteGroup(ResourceName, Changed) override {}
  void Subscribe(GroupId, TopicId, Changed) override {}
  void Unsubscribe(GroupId, TopicId, Changed) override {}
  void ReportGroups(GroupReport) override {}
  void RegisterBroker(BrokerRegistration, absl::AnyInvocable<void(absl::StatusOr<BrokerGrant>)>) override {}
  void RegisterReplica(std::string, BrokerRegistration::Replica, Changed) override {}

 private:
  std::shared_ptr<const Metadata> current_ = std::make_shared<const Metadata>();
  std::vector<absl::AnyInvocable<void(std::shared_ptr<const Metadata>)>> observers_;
};

class RemoteBrokersTest : public testing::Test {
 protected:
  absl::Status SendBy(BrokerApi* broker) {
    Outcome<AppendResult> outcome;
    broker->Append(Send("a"), outcome.Taker());
    return outcome.Get().status;
  }

  const std::shared_ptr<edge::h2::LoopThreads> loops_ = std::make_shared<edge::h2::LoopThreads>(1);
  FakeController controller_;
  FakeBroker broker_;
  std::unique_ptr<Executor> timers_ = NewThreadExecutor("barid-hop");
  BrokerProcess first_{&broker_};
  BrokerProcess second_{&broker_};
  proxy::RemoteBrokers brokers_{&controller_,
                                [this](const std::string& endpoint) { return OpenChannel(endpoint, loops_); },
                                proxy::LaneContext{RealClock(), RealRandom(), timers_.get()}};
};

TEST_F(RemoteBrokersTest, FindsNoneThatHasNoEndpoint) {
  EXPECT_EQ(brokers_.Find("broker-0"), nullptr);
  controller_.SetBrokers({{"broker-0", ""}});
  EXPECT_EQ(brokers_.Find("broker-0"), nullptr);
}

TEST_F(RemoteBrokersTest, FollowsAnEndpointThatChanges) {
  controller_.SetBrokers({{"broker-0", first_.address()}, {"broker-1", second_.address()}});
  BrokerApi* const before = brokers_.Find("broker-0");
  ASSERT_NE(before, nullptr);
  EXPECT_THAT(SendBy(before), IsOk());
  controller_.SetBrokers({{"broker-0", second_.address()}, {"broker-1", second_.address()}});
  first_.Kill();
  BrokerApi* const after = brokers_.Find("broker-0");
  EXPECT_NE(after, before);
  EXPECT_THAT(SendBy(after), IsOk());
  EXPECT_THAT(SendBy(before), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(RemoteBrokersTest, ABrokerThatStaysIsLeftAlone) {
  controller_.SetBrokers({{"broker-0", first_.address()}});
  BrokerApi* const broker = brokers_.Find("broker-0");
  controller_.SetBrokers({{"broker-0", first_.address()}, {"broker-1", second_.address()}});
  EXPECT_EQ(brokers_.Find("broker-0"), broker);
}

TEST_F(RemoteBrokersTest, ABrokerThatBeginsANewTermIsTriedAtOnce) {
  proxy::RemoteBrokerOptions never_by_itself;
  never_by_itself.first_backoff = never_by_itself.max_backoff = absl::Hours(2);
  proxy::RemoteBrokers brokers{&controller_,
                               [this](const std::string& endpoint) { return OpenChannel(endpoint, loops_); },
                               proxy::LaneContext{RealClock(), RealRandom(), timers_.get()}, never_by_itself};
  auto process = std::make_unique<BrokerProcess>(&broker_);
  const std::vector<BrokerMetadata> there = {{"broker-0", process->address()}};
  controller_.SetBrokers(there, {{ShardId(1), "s1", "broker-0", 1}});
  BrokerApi* const broker = brokers.Find("broker-0");
  ASSERT_THAT(SendBy(broker), IsOk());
  process->Kill();
  // The second call finds that nobody listens, if the first was told of the end.
  while (SendBy(broker).code() != absl::StatusCode::kUnavailable) continue;
  process = std::make_unique<BrokerProcess>(&broker_, there[0].endpoint);
  controller_.SetBrokers(there, {{ShardId(1), "s1", "broker-0", 2}});
  EXPECT_EQ(brokers.Find("broker-0"), broker);
  EXPECT_TRUE(Succeeds([&] { return SendBy(broker); }));
}

TEST_F(RemoteBrokersTest, ABrokerThatLeftAnswersUnavailable) {
  controller_.SetBrokers({{"broker-0", first_.address()}});
  BrokerApi* const broker = brokers_.Find("broker-0");
  Outcome<ReceiveResult> waiting;
  broker->Receive(Ask(), waiting.Taker());
  controller_.SetBrokers({});
  EXPECT_THAT(waiting.Get().status, StatusIs(absl::StatusCode::kUnavailable));
  EXPECT_EQ(brokers_.Find("broker-0"), nullptr);
  EXPECT_THAT(SendBy(broker), StatusIs(absl::StatusCode::kUnavailable));
}

TEST_F(RemoteBrokersTest, CloseAnswersEverythingAndKeepsThePointers) {
  controller_.SetBrokers({{"broker-0", first_.address()}});
  BrokerApi* const broker = brokers_.Find("broker-0");
  Outcome<ReceiveResult> waiting;
  broker->Receive(Ask(), waiting.Taker());
  brokers_.Close();
  EXPECT_TRUE(waiting.has_come());
  EXPECT_THAT(SendBy(broker), StatusIs(absl::StatusCode::kUnavailable));
}

}  // namespace
}  // namespace barid
