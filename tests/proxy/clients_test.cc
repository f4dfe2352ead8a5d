#include "proxy/clients.h"

#include "base/simulated/executor.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace barid::proxy {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

class FakeSession : public ClientSession {
 public:
  void Refresh(const Metadata&) override {}
  void Recover(const OrphanedTransaction&) override {}
  std::vector<ClientRead> Reads() override { return {}; }
  std::vector<std::pair<std::string, std::string>> Properties() override { return {}; }
  void PrintThreads(absl::string_view) override {}
  void Verify(absl::string_view, const Bytes&) override {}
};

class ClientsTest : public ::testing::Test {
 protected:
  SimulatedClock clock_;
  Clients clients_{&clock_, /*max_clients=*/1600, absl::Seconds(120), /*max_waiting_receives=*/2};
};

TEST_F(ClientsTest, ProducersOfATopicAreThoseWithAnOpenSession) {
  const ResourceName deals{"", "deals"};
  const ResourceName elsewhere{"space", "deals"};
  const auto ann = std::make_shared<FakeSession>();
  const auto bob = std::make_shared<FakeSession>();
  clients_.Produces("bob", {deals});
  clients_.Produces("bob", {deals, elsewhere});
  clients_.Produces("ann", {deals});
  EXPECT_THAT(clients_.LiveProducers(), ::testing::IsEmpty());
  clients_.OpenSession("bob", bob);
  clients_.OpenSession("ann", ann);
  clients_.OpenSession("eve", std::make_shared<FakeSession>());
  EXPECT_THAT(clients_.LiveProducers()[deals], ::testing::ElementsAre(ann, bob));
  EXPECT_THAT(clients_.LiveProducers()[elsewhere], ::testing::ElementsAre(bob));
  clients_.CloseSession("bob", bob.get());
  clients_.Gone("ann");
  EXPECT_THAT(clients_.LiveProducers(), ::testing::IsEmpty());
  clients_.OpenSession("bob", bob);
  EXPECT_THAT(clients_.LiveProducers()[deals], ::testing::ElementsAre(bob)) << "its topics are remembered while it is";
}

TEST_F(ClientsTest, ReportsWhoWasHeardOfSinceTheLastReport) {
  clients_.Heard("a");
  clients_.Heard("b");
  ClientReport report = clients_.TakeReport("proxy-7");
  EXPECT_EQ(report.proxy, "proxy-7");
  EXPECT_THAT(report.alive, UnorderedElementsAre("a", "b"));
  clients_.Heard("b");
  EXPECT_THAT(clients_.TakeReport("proxy-7").alive, ElementsAre("b"));
  EXPECT_THAT(clients_.TakeReport("proxy-7").alive, IsEmpty());
}

TEST_F(ClientsTest, AnOpenStreamOrReceiveKeepsAClientAlive) {
  auto session = std::make_shared<FakeSession>();
  clients_.OpenSession("streamer", session);
  const auto receive = std::make_shared<PendingCall>();
  EXPECT_TRUE(clients_.BeginReceive("waiter", receive));
  clock_.Advance(absl::Seconds(500));
  clients_.TakeReport("p");
  EXPECT_THAT(clients_.TakeReport("p").alive, UnorderedElementsAre("streamer", "waiter"));
  clients_.CloseSession("streamer", session.get());
  clients_.EndReceive("waiter", receive.get());
  EXPECT_THAT(clients_.TakeReport("p").alive, IsEmpty());
  EXPECT_TRUE(clients_.Find("streamer"));
  clock_.Advance(absl::Seconds(121));
  clients_.TakeReport("p");
  EXPECT_FALSE(clients_.Find("streamer"));
  EXPECT_FALSE(clients_.Find("waiter"));
}

TEST_F(ClientsTest, AGoodbyeIsReportedOnceAndForgets) {
  clients_.OpenSession("a", std::make_shared<FakeSession>());
  clients_.Gone("a");
  EXPECT_FALSE(clients_.Find("a"));
  const ClientReport report = clients_.TakeReport("p");
  EXPECT_THAT(report.alive, IsEmpty());
  EXPECT_THAT(report.gone, ElementsAre("a"));
  EXPECT_THAT(clients_.TakeReport("p").gone, IsEmpty());
}

TEST_F(ClientsTest, TheNewestSessionWinsAndTheOldOneIsHarmless) {
  auto old_session = std::make_shared<FakeSession>();
  auto new_session = std::make_shared<FakeSession>();
  clients_.OpenSession("a", old_session);
  clients_.OpenSession("a", new_session);
  EXPECT_THAT(clients_.Sessions(), ElementsAre(new_session));
  clients_.CloseSession("a", old_session.get());
  EXPECT_THAT(clients_.Sessions(), ElementsAre(new_session));
}

TEST_F(ClientsTest, WhatAClientSaysIsKeptUntilItSaysOtherwise) {
  clients_.Declare({"a", ClientType::kPushConsumer, Language::kRust, "5.0.0", ResourceName{"", "g"}});
  clients_.Declare({"a", ClientType::kUnspecified, Language::kUnspecified, "", std::nullopt});
  const auto profile = clients_.Find("a");
  ASSERT_TRUE(profile);
  EXPECT_EQ(profile->type, ClientType::kPushConsumer);
  EXPECT_EQ(profile->language, Language::kRust);
  EXPECT_EQ(profile->version, "5.0.0");
  EXPECT_EQ(profile->group->name, "g");
}

TEST_F(ClientsTest, WaitingReceivesAreCounted) {
  const auto first = std::make_shared<PendingCall>();
  const auto begin = [this] { return clients_.BeginReceive("a", std::make_shared<PendingCall>()); };
  EXPECT_TRUE(clients_.BeginReceive("a", first));
  EXPECT_TRUE(begin());
  EXPECT_FALSE(begin());
  clients_.EndReceive("a", first.get());
  EXPECT_TRUE(begin());
  clients_.Gone("a");
  clients_.EndReceive("a", first.get());
  EXPECT_TRUE(begin());
}

TEST_F(ClientsTest, AGoodbyeCancelsTheReceivesOfThatClient) {
  const auto over = std::make_shared<PendingCall>();
  const auto waiting = std::make_shared<PendingCall>();
  const auto of_another = std::make_shared<PendingCall>();
  const auto later = std::make_shared<PendingCall>();
  clients_.BeginReceive("a", over);
  clients_.BeginReceive("a", waiting);
  clients_.BeginReceive("b", of_another);
  clients_.EndReceive("a", over.get());
  clients_.Gone("a");
  EXPECT_TRUE(waiting->is_cancelled());
  EXPECT_FALSE(over->is_cancelled());
  EXPECT_FALSE(of_another->is_cancelled());
  EXPECT_TRUE(clients_.BeginReceive("a", later)) << "who comes back is served";
  clients_.EndReceive("a", waiting.get());
  clients_.Gone("a");
  EXPECT_TRUE(later->is_cancelled());
}

TEST_F(ClientsTest, RemembersNoMoreThanItsLimitAndServesTheRest) {
  for (int i = 0; i < 20'000; ++i) {
    const std::string id = "client-" + std::to_string(i);
    clients_.Heard(id);
    clients_.Gone("gone-" + std::to_string(i));
    const auto receive = std::make_shared<PendingCall>();
    EXPECT_TRUE(clients_.BeginReceive(id, receive));
    clients_.EndReceive(id, receive.get());
  }
  EXPECT_LE(clients_.All().size(), 1600u);
  EXPECT_LE(clients_.TakeReport("p").gone.size(), 1600u);
}

}  // namespace
}  // namespace barid::proxy
