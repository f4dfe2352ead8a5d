#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/executor.h"
#include "base/mutex.h"
#include "base/random.h"
#include "controller/controller.h"
#include "controller/embedded_store.h"
#include "controller/grpc/controller_service.h"
#include "rpc/channel.h"
#include "rpc/controller_client.h"
#include "rpc/server.h"
#include "tests/controller/testing.h"

namespace barid::controller {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;
using Snapshot = std::shared_ptr<const Metadata>;

// A controller behind a socket. Its memory outlives the server, so that a restart finds it again.
class Server {
 public:
  explicit Server(MetadataStore* store) : store_(store) { Start(); }
  ~Server() { Stop(); }

  void Start() {
    executor_ = NewThreadExecutor("controller");
    auto controller = Controller::Start(store_, RealClock(), RealRandom(), executor_.get(), {});
    ASSERT_THAT(controller, IsOk());
    controller_ = *std::move(controller);
    service_ = std::make_unique<ControllerService>(controller_.get());
    rpc::ServerOptions options;
    options.address = address_;
    auto server = rpc::Server::Start(options, {service_.get()});
    ASSERT_THAT(server, IsOk());
    server_ = *std::move(server);
    address_ = server_->address();  // The next start takes the same port.
  }
  void Stop() {
    if (server_ == nullptr) return;
    service_->Drain();
    server_->Drain(absl::Seconds(1));
    server_ = nullptr;
    executor_ = nullptr;
    service_ = nullptr;
    controller_ = nullptr;
  }
  const std::string& address() const { return address_; }
  Controller* controller() { return controller_.get(); }

 private:
  MetadataStore* const store_;
  std::string address_ = "127.0.0.1:0";
  std::unique_ptr<Executor> executor_;
  std::unique_ptr<Controller> controller_;
  std::unique_ptr<ControllerService> service_;
  std::unique_ptr<rpc::Server> server_;
};

// Collects what an observer is told, and lets a test wait for it.
class Watched {
 public:
  void Add(Snapshot snapshot) {
    MutexLock lock(&mu_);
    seen_.push_back(std::move(snapshot));
    changed_.SignalAll();
  }
  // Waits until the newest snapshot fulfils `condition`; fails after ten seconds.
  bool WaitUntil(const std::function<bool(const Metadata&)>& condition) {
    MutexLock lock(&mu_);
    while (seen_.empty() || !condition(*seen_.back())) {
      if (!changed_.WaitFor(&mu_, absl::Seconds(10))) return false;
    }
    return true;
  }
  std::vector<int64_t> revisions() {
    MutexLock lock(&mu_);
    std::vector<int64_t> revisions;
    for (const Snapshot& snapshot : seen_) revisions.push_back(snapshot->revision());
    return revisions;
  }

 private:
  Mutex mu_;
  CondVar changed_;
  std::vector<Snapshot> seen_ ABSL_GUARDED_BY(mu_);
};

template <typename T>
using Answer = absl::StatusOr<T>;

template <typename T, typename Call>
Answer<T> Await(Call call) {
  std::promise<Answer<T>> answer;
  call([&](Answer<T> result) { answer.set_value(std::move(result)); });
  return answer.get_future().get();
}

class ControllerGrpcTest : public ::testing::Test {
 protected:
  ControllerGrpcTest() { Connect({server_.address()}); }
  ~ControllerGrpcTest() override { client_ = nullptr; }

  void Connect(const std::vector<std::string>& addresses, absl::Duration call_timeout = absl::Seconds(10)) {
    client_ = nullptr;
    rpc::ChannelOptions channel_options;
    channel_options.first_backoff = absl::Milliseconds(50);
    channel_options.max_backoff = absl::Milliseconds(100);
    channel_options.own_connection = true;
    std::vector<std::shared_ptr<grpc::Channel>> channels;
    for (const std::string& address : addresses) channels.push_back(rpc::OpenChannel(address, channel_options));
    rpc::ControllerClientOptions options;
    options.call_timeout = call_timeout;
    options.first_backoff = absl::Milliseconds(10);
    options.max_backoff = absl::Milliseconds(100);
    client_ = std::make_unique<rpc::ControllerClient>(channels, executor_.get(), &random_, options);
  }
  // Watches with the client of now.
  void Follow(Watched* watched) {
    client_->Watch([watched](Snapshot snapshot) { watched->Add(std::move(snapshot)); });
  }
  Answer<Snapshot> Create(const TopicMetadata& topic) {
    return Await<Snapshot>([&](auto done) { client_->CreateTopic(topic, std::move(done)); });
  }
  static auto Has(const std::string& name) {
    return [name](const Metadata& metadata) { return metadata.FindTopic({"", name}) != nullptr; };
  }

  std::unique_ptr<MetadataStore> store_ = NewMemoryMetadataStore();
  Server server_{store_.get()};
  SeededRandom random_{1};
  std::unique_ptr<Executor> executor_ = NewThreadExecutor("client");
  std::unique_ptr<rpc::ControllerClient> client_;
};

TEST_F(ControllerGrpcTest, AnAnswersSnapshotHasTheChange) {
  const auto created = Create(Topic("t"));
  ASSERT_THAT(created, IsOk());
  EXPECT_NE((*created)->FindTopic({"", "t"}), nullptr);
  EXPECT_GE(client_->Current()->revision(), (*created)->revision());
  EXPECT_EQ(client_->Current()->tables().cluster, server_.controller()->Current()->tables().cluster);
}

TEST_F(ControllerGrpcTest, ErrorsKeepTheirCodeAndMessage) {
  ASSERT_THAT(Create(Topic("t")), IsOk());
  EXPECT_THAT(Create(Topic("t")), FailsWith(absl::StatusCode::kAlreadyExists, "there is a topic \"t\" already"));
  EXPECT_THAT(Create(Topic("a.b")), FailsWith(absl::StatusCode::kInvalidArgument, "illegal character"));
}

TEST_F(ControllerGrpcTest, EveryCallArrives) {
  TopicMetadata topic = Topic("t");
  topic.retention = {absl::Hours(1), 5, true};
  ASSERT_THAT(Create(topic), IsOk());
  GroupMetadata group = Group("g");
  group.order = DeliveryOrder::kFifo;
  group.retry.delays = DefaultRetryDelays();
  group.expire_after = absl::Minutes(1);
  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->CreateGroup(group, std::move(done)); }), IsOk());
  TopicUpdate update{.name = {"", "t"}, .retention_bytes = 6, .queues_per_shard = 9};
  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->UpdateTopic(update, std::move(done)); }), IsOk());
  RetryPolicy retry;
  retry.max_attempts = 2;
  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->UpdateGroup({{"", "g"}, retry}, std::move(done)); }), IsOk());
  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->Subscribe(GroupId(1), TopicId(1), std::move(done)); }), IsOk());
  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->Unsubscribe(GroupId(1), TopicId(1), std::move(done)); }),
              IsOk());
  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->Subscribe(GroupId(1), TopicId(1), std::move(done)); }), IsOk());

  const auto grant = Await<BrokerGrant>([&](auto done) {
    client_->RegisterBroker({"b", "host:1", {}}, std::move(done));
  });
  ASSERT_THAT(grant, IsOk());
  EXPECT_EQ(grant->cluster, client_->Current()->tables().cluster);
  EXPECT_LT(absl::AbsDuration(grant->now - RealClock()->Now()), absl::Seconds(10));
  ASSERT_THAT(grant->shards, SizeIs(4));
  EXPECT_EQ(grant->shards[0].shard.epoch, 1u);
  const auto registered = Await<Snapshot>([&](auto done) {
    client_->RegisterReplica("b", {grant->shards[0].shard.id, "ab"}, std::move(done));
  });
  ASSERT_THAT(registered, IsOk());
  const auto again = Await<BrokerGrant>([&](auto done) {
    client_->RegisterBroker({"b", "host:1", {{grant->shards[0].shard.id, "ab"}}, grant->cluster}, std::move(done));
  });
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->shards[0].log_id, "ab");
  EXPECT_EQ(again->shards[0].shard.epoch, 2u);

  Watched watched;
  Follow(&watched);
  const int64_t revision = server_.controller()->Current()->revision();
  ASSERT_TRUE(watched.WaitUntil([&](const Metadata& metadata) { return metadata.revision() == revision; }));
  const Metadata::Tables ours = client_->Current()->tables();
  const Metadata::Tables theirs = server_.controller()->Current()->tables();
  EXPECT_TRUE(ours.topics == theirs.topics);
  EXPECT_TRUE(ours.groups == theirs.groups);
  EXPECT_TRUE(ours.subscriptions == theirs.subscriptions);
  EXPECT_TRUE(ours.brokers == theirs.brokers);
  EXPECT_TRUE(ours.shards == theirs.shards);
  EXPECT_TRUE(ours.signing_keys == theirs.signing_keys);

  ASSERT_THAT(Await<Snapshot>([&](auto done) { client_->DeleteTopic({"", "t"}, std::move(done)); }), IsOk());
  const auto empty = Await<Snapshot>([&](auto done) { client_->DeleteGroup({"", "g"}, std::move(done)); });
  ASSERT_THAT(empty, IsOk());
  EXPECT_TRUE((*empty)->tables().topics.empty());
  EXPECT_TRUE((*empty)->tables().groups.empty());
  EXPECT_TRUE((*empty)->tables().subscriptions.empty());
  client_ = nullptr;  // Before what it tells.
}

TEST_F(ControllerGrpcTest, AWatchSeesChangesOfOthersInOrder) {
  Watched watched;
  Follow(&watched);
  for (int i = 0; i < 50; ++i) {
    server_.controller()->CreateTopic(Topic("t" + std::to_string(i)), [](auto) {});
  }
  EXPECT_TRUE(watched.WaitUntil(Has("t49")));
  const std::vector<int64_t> revisions = watched.revisions();
  for (size_t i = 1; i < revisions.size(); ++i) EXPECT_GT(revisions[i], revisions[i - 1]);
  EXPECT_THAT(client_->Current()->tables().topics, SizeIs(50));
  client_ = nullptr;
}

TEST_F(ControllerGrpcTest, TheSnapshotStaysWhileTheControllerIsAwayAndFollowsWhenItReturns) {
  Watched watched;
  Follow(&watched);
  ASSERT_THAT(Create(Topic("a")), IsOk());
  ASSERT_THAT(Create(Topic("gone")), IsOk());
  server_.Stop();
  EXPECT_NE(client_->Current()->FindTopic({"", "a"}), nullptr);

  // Things happen that the client does not see.
  const auto deleted = store_->Txn({}, {{TopicKey({"", "gone"}), std::nullopt, {}}});
  ASSERT_THAT(deleted, IsOk());
  server_.Start();
  EXPECT_TRUE(watched.WaitUntil([](const Metadata& m) { return m.FindTopic({"", "gone"}) == nullptr; }));
  EXPECT_NE(client_->Current()->FindTopic({"", "a"}), nullptr);
  ASSERT_THAT(Create(Topic("b")), IsOk());
  client_ = nullptr;
}

TEST_F(ControllerGrpcTest, ACallOutlivesAShortRestart) {
  ASSERT_THAT(Create(Topic("a")), IsOk());
  server_.Stop();
  auto answer = std::async(std::launch::async, [&] { return Create(Topic("b")); });
  server_.Start();
  EXPECT_THAT(answer.get(), IsOk());
}

TEST_F(ControllerGrpcTest, GoesToTheNextControllerWhenOneIsDead) {
  Connect({"127.0.0.1:1", server_.address()});
  Watched watched;
  Follow(&watched);
  EXPECT_TRUE(watched.WaitUntil([](const Metadata& metadata) { return metadata.revision() > 0; }));
  EXPECT_THAT(Create(Topic("t")), IsOk());
  client_ = nullptr;
}

TEST_F(ControllerGrpcTest, LeavesAControllerOfAnotherClusterAlone) {
  ASSERT_THAT(Create(Topic("ours")), IsOk());
  const auto other_store = NewMemoryMetadataStore();
  Server other(other_store.get());
  Connect({server_.address(), other.address()});
  Watched watched;
  Follow(&watched);
  ASSERT_TRUE(watched.WaitUntil(Has("ours")));
  server_.Stop();
  EXPECT_THAT(Await<Snapshot>([&](auto done) { other.controller()->CreateTopic(Topic("theirs"), std::move(done)); }),
              IsOk());
  server_.Start();
  ASSERT_TRUE(watched.WaitUntil(
      [&](const Metadata& metadata) { return metadata.revision() == server_.controller()->Current()->revision(); }));
  EXPECT_NE(client_->Current()->FindTopic({"", "ours"}), nullptr);
  EXPECT_EQ(client_->Current()->FindTopic({"", "theirs"}), nullptr);
  client_ = nullptr;
}

TEST_F(ControllerGrpcTest, WithoutAControllerCallsFailAndTheSnapshotIsEmpty) {
  Connect({"127.0.0.1:1"}, absl::Milliseconds(100));
  EXPECT_EQ(client_->Current()->revision(), 0);
  EXPECT_FALSE(Create(Topic("t")).ok());  // kUnavailable or kDeadlineExceeded.
}

TEST_F(ControllerGrpcTest, CallsAreAnsweredWhenTheClientIsDestroyed) {
  Connect({"127.0.0.1:1"});
  std::promise<Answer<Snapshot>> answer;
  client_->CreateTopic(Topic("t"), [&](Answer<Snapshot> result) { answer.set_value(std::move(result)); });
  client_ = nullptr;
  EXPECT_FALSE(answer.get_future().get().ok());
}

}  // namespace
}  // namespace barid::controller
