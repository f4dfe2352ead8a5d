#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <sstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "base/clock.h"
#include "cli/command.h"
#include "cli/text.h"
#include "tests/cli/fake_server.h"

namespace barid::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

struct Result {
  ExitCode code;
  std::string out;
  std::string err;
};

class CliTest : public testing::Test {
 protected:
  explicit CliTest(int shards = 1) : server_(shards) {}

  // `line` is split at blanks.
  Result Run(absl::string_view line) {
    std::vector<std::string> args = absl::StrSplit(line, ' ', absl::SkipEmpty());
    args.insert(args.begin(), {"--endpoint", server_.endpoint()});
    std::ostringstream out;
    std::ostringstream err;
    const ExitCode code = RunCommandLine(args, out, err);
    return {code, out.str(), err.str()};
  }

  // What must work.
  std::string Do(absl::string_view line) {
    const Result result = Run(line);
    EXPECT_EQ(result.code, ExitCode::kDone) << line << ": " << result.err;
    return result.out;
  }

  FakeServer server_;
};

class ThreeShardCliTest : public CliTest {
 protected:
  ThreeShardCliTest() : CliTest(3) {}
};

TEST_F(CliTest, WhatIsSentIsReceivedAndAcknowledged) {
  Do("topic create orders");
  Do("group create billing");
  EXPECT_THAT(Do("send orders --body hello --tag paid --key k1 --key k2 --property region=eu"),
              HasSubstr(" at offset 0\n"));
  const std::string shown = Do("receive orders --group billing --wait 0s");
  for (const char* part : {"topic         orders\n", "queue/offset  3/0\n", "tag           paid\n",
                           "keys          k1 k2\n", "property      region=eu\n", "\nhello\n"}) {
    EXPECT_THAT(shown, HasSubstr(part));
  }
  EXPECT_EQ(server_.acked(), 1);
}

TEST_F(CliTest, SendFillsWhatTheContractWants) {
  Do("topic create orders");
  Do("send orders --body a --group g1 --namespace team");
  const std::vector<v2::Message> sent = server_.sent("orders");
  ASSERT_THAT(sent, SizeIs(1));
  EXPECT_EQ(sent[0].topic().resource_namespace(), "team");
  EXPECT_EQ(sent[0].system_properties().message_type(), v2::FIFO);
  EXPECT_EQ(sent[0].system_properties().message_group(), "g1");
  EXPECT_EQ(sent[0].system_properties().body_encoding(), v2::IDENTITY);
  EXPECT_TRUE(sent[0].system_properties().has_born_timestamp());
  EXPECT_THAT(sent[0].system_properties().message_id(), testing::MatchesRegex("01[0-9A-F]+"));
  EXPECT_THAT(sent[0].system_properties().message_id(), SizeIs(34));
}

TEST_F(CliTest, ADelayOrATimeMakesADelayMessage) {
  Do("topic create later --type delay");
  const absl::Time before = RealClock()->Now();
  EXPECT_THAT(Do("send later --body a --delay 1h"), HasSubstr(", recall handle Uhandle"));
  EXPECT_THAT(Do("send later --body a --at 2036-08-17T12:00:00Z -o json"), HasSubstr("\"recall_handle\":\"Uhandle\""));
  const std::vector<v2::Message> sent = server_.sent("later");
  ASSERT_THAT(sent, SizeIs(2));
  EXPECT_EQ(sent[0].system_properties().message_type(), v2::DELAY);
  EXPECT_GE(sent[0].system_properties().delivery_timestamp().seconds(), absl::ToUnixSeconds(before + absl::Hours(1)));
  EXPECT_EQ(sent[1].system_properties().delivery_timestamp().seconds(), 2'102'587'200);
  const Result no_time = Run("send later --body a --at tomorrow");
  EXPECT_EQ(no_time.code, ExitCode::kUsage);
  EXPECT_THAT(no_time.err, HasSubstr("--at is \"tomorrow\""));
  const Result both = Run("send later --body a --delay 1s --group g");
  EXPECT_EQ(both.code, ExitCode::kUsage);
  EXPECT_THAT(both.err, HasSubstr("exclude each other"));
}

TEST_F(CliTest, AScheduledMessageIsRecalledByItsHandle) {
  EXPECT_EQ(Do("recall later Uhandle"), "recalled of later\n");
  EXPECT_THAT(Do("recall later Uhandle -o json"), HasSubstr("\"id\":\"of later\""));
  const Result gone = Run("recall later Uother");
  EXPECT_EQ(gone.code, ExitCode::kRefused);
  EXPECT_THAT(gone.err, HasSubstr("delivered or recalled already"));
}

TEST_F(CliTest, TransactionsAreListedOpenOrDiscarded) {
  const std::string open = Do("transaction list deals");
  EXPECT_THAT(open, HasSubstr("NEXT CHECK"));
  EXPECT_THAT(open, HasSubstr("deals-1"));
  EXPECT_THAT(open, HasSubstr("2027-01-15T08:00:30.000Z"));
  const std::string discarded = Do("transaction list deals --discarded");
  EXPECT_THAT(discarded, HasSubstr("DISCARDED"));
  EXPECT_THAT(discarded, HasSubstr("no decision after 3 checks"));
  EXPECT_THAT(
      Do("transaction list deals --limit 1 -o json"),
      HasSubstr("[{\"shard\":\"shard-0\",\"id\":\"deals-0\",\"prepared\":\"2027-01-15T08:00:00.000Z\",\"checks\":3,"
                "\"next_check\":\"2027-01-15T08:00:30.000Z\"}]"));
  EXPECT_EQ(Run("transaction list deals --limit 0").code, ExitCode::kUsage);
}

TEST_F(CliTest, MovesAGroupsPlaceAndSaysWhatThatDrops) {
  const std::string text = Do("group reset-offset billing orders --to-offset 7 --queue shard-0/3");
  EXPECT_THAT(text, HasSubstr("IN FLIGHT"));
  EXPECT_THAT(text, HasSubstr("dropped 3 deliveries in flight and 2 parked messages"));
  EXPECT_THAT(Do("group reset-offset billing orders --to-latest --dry-run"),
              HasSubstr("nothing was changed; a reset would drop 3 deliveries"));
  EXPECT_THAT(
      Do("group reset-offset readers orders --to-time 1970-01-01T00:00:05Z -o json"),
      HasSubstr("{\"kind\":\"offset\",\"dry_run\":false,\"queues\":[{\"shard\":\"shard-0\",\"queue\":0,\"from\":9,"
                "\"to\":5,\"end\":20,\"in_flight\":3,\"parked\":2}]}"));
  EXPECT_EQ(Run("group reset-offset billing orders").code, ExitCode::kUsage);
  EXPECT_EQ(Run("group reset-offset billing orders --to-latest --to-offset 1").code, ExitCode::kUsage);
  EXPECT_EQ(Run("group reset-offset billing orders --to-time noon").code, ExitCode::kUsage);
  EXPECT_EQ(Run("group reset-offset billing orders --to-latest --queue shard-0").code, ExitCode::kUsage);
  EXPECT_EQ(Run("group reset-offset billing broken --to-latest").code, ExitCode::kRefused);
}

TEST_F(CliTest, AGroupsKindIsSaidWhenItIsMade) {
  Do("group create readers --kind offset");
  EXPECT_THAT(Do("group describe readers"), HasSubstr("offset"));
  Do("group create others");
  EXPECT_THAT(Do("group describe others -o json"), HasSubstr("\"kind\":\"undecided\""));
  EXPECT_EQ(Run("group create more --kind both").code, ExitCode::kUsage);
}

TEST_F(CliTest, MessagesAreLookedUp) {
  const std::string shown = Do("message get orders 01AB");
  for (const char* part : {"orders-0\n", "queued\n", "shard-0/0/10\n", "\nhello\n"})
    EXPECT_THAT(shown, HasSubstr(part));
  EXPECT_THAT(Do("message get orders --queue 3 --offset 7 -o json"), HasSubstr("\"queue\":3,\"offset\":7"));
  EXPECT_EQ(Run("message get orders none").code, ExitCode::kRefused);
  EXPECT_EQ(Run("message get orders").code, ExitCode::kUsage);
  EXPECT_EQ(Run("message get orders 01AB --offset 7").code, ExitCode::kUsage);
  EXPECT_EQ(Run("message get").code, ExitCode::kUsage);
  EXPECT_EQ(Run("message get orders 1 2").code, ExitCode::kUsage);

  EXPECT_THAT(Do("message find orders --key k"), HasSubstr("orders-0"));
  EXPECT_EQ(Run("message find orders").code, ExitCode::kUsage);
  EXPECT_EQ(Do("message find orders --key none -o json"), "[]\n");
  EXPECT_EQ(Do("message find orders --key k --to 2020-01-01T00:00:00Z -o json"), "[]\n") << "it entered later";

  const std::string listed = Do("message list orders --from 1h");
  for (const char* part : {"orders-0", "orders-2", "2027-01-15T08:00:00.000Z"}) EXPECT_THAT(listed, HasSubstr(part));
  const Result cut = Run("message list orders --max 2 -o json");
  EXPECT_THAT(cut.err, HasSubstr("there are more"));
  EXPECT_THAT(cut.out, testing::Not(HasSubstr("orders-2")));
  EXPECT_EQ(Run("message list orders --from soon").code, ExitCode::kUsage);
}

TEST_F(CliTest, AMessageIsExplained) {
  const std::string text = Do("message explain 01AB --topic orders");
  for (const char* part : {"delivered", "billing", "ann", "in_flight", "reaches back to 2027-01-15T08:00:00.000Z"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(Do("message explain 01AB --topic orders -o json"), HasSubstr("\"what\":\"delivered\",\"group\":{"));
  EXPECT_THAT(Do("message explain parked --topic orders"), HasSubstr("billing: the group is paused."));
  EXPECT_THAT(
      Do("message explain parked --topic orders -o json"),
      HasSubstr(
          "\"reasons\":[\"the group is paused\"],\"blocked_by\":{\"id\":\"first\",\"offset\":3,\"client\":\"bob\"}"));
  EXPECT_THAT(Do("message explain later --topic orders"),
              HasSubstr("no group gets it before 2030-03-17T17:46:40.000Z"));
  EXPECT_EQ(Run("message explain 01AB").code, ExitCode::kUsage);
  EXPECT_EQ(Run("message explain none --topic orders").code, ExitCode::kRefused);
}

TEST_F(CliTest, DeadLettersAreShownAndSentBack) {
  EXPECT_THAT(Do("dlq list billing"), HasSubstr("attempts exhausted"));
  EXPECT_THAT(Do("dlq show billing 12"), HasSubstr("shard-0/0/12"));
  EXPECT_THAT(Do("dlq show billing 01CBA287228343551F0B13205700000000"), HasSubstr("died in"));
  EXPECT_EQ(Run("dlq show billing none").code, ExitCode::kRefused);
  EXPECT_EQ(Do("dlq redrive billing"), "5 sent back\n");
  EXPECT_EQ(Do("dlq redrive billing --dry-run --filter a||b"), "5 would be sent back, 1 left out by the filter\n");
  EXPECT_EQ(Do("dlq redrive billing --max 3 --rate 1000/s"), "3 sent back\n");
  EXPECT_EQ(Do("dlq redrive billing -o json"),
            "{\"redriven\":5,\"filtered_out\":0,\"failed\":0,\"failure\":\"\",\"dry_run\":false}\n");
  const Result failed = Run("dlq redrive billing --topic gone");
  EXPECT_EQ(failed.code, ExitCode::kRefused);
  EXPECT_THAT(failed.err, HasSubstr("the topic is gone"));
  EXPECT_EQ(Run("dlq redrive billing --rate fast").code, ExitCode::kUsage);
}

TEST_F(CliTest, SendsTheSameSeveralTimesUnderDifferentIds) {
  Do("topic create orders");
  Do("send orders --body a --count 3");
  const std::vector<v2::Message> sent = server_.sent("orders");
  ASSERT_THAT(sent, SizeIs(3));
  EXPECT_NE(sent[0].system_properties().message_id(), sent[1].system_properties().message_id());
}

TEST_F(CliTest, SendsAFileByteForByte) {
  const std::string path = absl::StrCat(testing::TempDir(), "/cli_test_body.", getpid());
  const std::string body("\x00\xff\n", 3);
  std::ofstream(path, std::ios::binary) << body;
  Do("topic create orders");
  Do(absl::StrCat("send orders --file ", path));
  remove(path.c_str());
  ASSERT_THAT(server_.sent("orders"), SizeIs(1));
  EXPECT_EQ(server_.sent("orders")[0].body(), body);
}

TEST_F(CliTest, ReceivesNoMoreThanAskedFor) {
  Do("topic create orders");
  Do("group create billing");
  Do("send orders --body a --count 50");
  const std::string lines = Do("receive orders --group billing --max 40 -o json");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 40);
  EXPECT_EQ(server_.acked(), 40);
}

TEST_F(CliTest, FiltersByTagOrBySql) {
  Do("topic create orders");
  Do("group create billing");
  Do("send orders --body a --count 3");
  Do("receive orders --group billing --tag a||b");
  EXPECT_EQ(server_.last_filter().type(), v2::TAG);
  EXPECT_EQ(server_.last_filter().expression(), "a||b");
  Do("receive orders --group billing --sql amount>5");
  EXPECT_EQ(server_.last_filter().type(), v2::SQL);
  EXPECT_EQ(server_.last_filter().expression(), "amount>5");
  for (const char* line : {"receive orders --group billing --sql a --tag b", "tail orders --sql a --tag b"}) {
    const Result result = Run(line);
    EXPECT_EQ(result.code, ExitCode::kUsage) << line;
    EXPECT_THAT(result.err, HasSubstr("--tag and --sql are two filters")) << line;
  }
}

TEST_F(CliTest, DoesNotAcknowledgeWithNoAck) {
  Do("topic create orders");
  Do("group create billing");
  Do("send orders --body a");
  Do("receive orders --group billing --no-ack");
  EXPECT_EQ(server_.acked(), 0);
}

TEST_F(CliTest, ExitsWithThreeIfNothingIsReceived) {
  Do("topic create orders");
  Do("group create billing");
  const Result result = Run("receive orders --group billing --wait 50ms");
  EXPECT_EQ(result.code, ExitCode::kNothingReceived);
  EXPECT_EQ(result.out, "");
  EXPECT_THAT(result.err, HasSubstr("no message came within 50ms"));
}

TEST_F(CliTest, ExitsWithOneIfTheServerRefuses) {
  const Result send = Run("send nowhere --body a");
  EXPECT_EQ(send.code, ExitCode::kRefused);
  EXPECT_EQ(send.err, "baridctl: there is no topic nowhere (TOPIC_NOT_FOUND).\n");
  Do("topic create orders");
  EXPECT_EQ(Run("receive orders --group nobody").code, ExitCode::kRefused);
  const Result again = Run("topic create orders");
  EXPECT_EQ(again.code, ExitCode::kRefused);
  EXPECT_EQ(again.err, "baridctl: the topic orders is there already, update or delete it.\n");
  EXPECT_EQ(Run("topic delete nowhere").code, ExitCode::kRefused);
}

TEST_F(CliTest, ExitsWithFourIfTheServerIsNotReady) {
  server_.FailAdmin({grpc::StatusCode::UNAVAILABLE, "no broker has registered"});
  const Result result = Run("topic create orders");
  EXPECT_EQ(result.code, ExitCode::kUnreachable);
  EXPECT_THAT(result.err, HasSubstr("no broker has registered"));
}

TEST_F(CliTest, TellsWhoHasTheWrongPort) {
  server_.FailAdmin({grpc::StatusCode::UNIMPLEMENTED, ""});
  const Result result = Run("topic create orders");
  EXPECT_EQ(result.code, ExitCode::kRefused);
  EXPECT_THAT(result.err, HasSubstr("does not serve this call"));
}

TEST(UnreachableTest, ExitsWithFourIfNobodyListens) {
  // A port that is taken, so that nobody else gets it, and that does not listen.
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::string endpoint = absl::StrCat("127.0.0.1:", ntohs(address.sin_port));
  for (const char* line : {"status", "topic list", "send t --body a", "receive t --group g", "tail t", "bench send"}) {
    std::vector<std::string> args = absl::StrSplit(line, ' ');
    args.push_back("--endpoint=" + endpoint);
    std::ostringstream out;
    std::ostringstream err;
    EXPECT_EQ(RunCommandLine(args, out, err), ExitCode::kUnreachable) << line;
    EXPECT_THAT(err.str(), HasSubstr(absl::StrCat("nobody answers at ", endpoint)));
  }
  close(fd);
}

TEST_F(CliTest, TlsFilesThatAreNoneAreUsageErrors) {
  const auto error_of = [&](absl::string_view flags) {
    const Result result = Run(absl::StrCat("status ", flags));
    EXPECT_EQ(result.code, ExitCode::kUsage) << flags;
    return result.err;
  };
  EXPECT_THAT(error_of("--tls-authorities /nowhere"), HasSubstr("--tls-authorities: open /nowhere: No such file"));
  EXPECT_THAT(error_of("--tls-authorities /proc/self/comm"), HasSubstr("/proc/self/comm has no \"-----BEGIN \""));
  EXPECT_THAT(error_of("--tls-certificate /proc/self/comm"), HasSubstr("--tls-certificate and --tls-key belong"));
  EXPECT_THAT(error_of("--tls-key /proc/self/comm"), HasSubstr("--tls-certificate and --tls-key belong"));
}

TEST_F(CliTest, NamesMayHavePercentSigns) {
  Do("topic create %DLQ%billing");
  EXPECT_THAT(Do("topic list"), HasSubstr("%DLQ%billing"));
}

TEST_F(CliTest, ListsTopicsInATable) {
  Do("topic create orders --type fifo --queues 8 --retention 14d --keep-unsettled");
  Do("topic create b --retention-bytes 1GiB");
  EXPECT_EQ(Do("topic list"),
            "TOPIC   TYPE    QUEUES  RETENTION  RETENTION BYTES  KEEP UNSETTLED  LARGEST BODY\n"
            "b       normal       4  72h        1GiB             no              4MiB\n"
            "orders  fifo         8  336h       no limit         yes             4MiB\n");
}

TEST_F(CliTest, ListsTopicsAsJson) {
  Do("topic create orders --type FIFO");
  EXPECT_EQ(Do("topic list -o json"),
            R"([{"namespace":"","name":"orders","type":"fifo","queues_per_shard":4,"retention_seconds":259200,)"
            R"("retention_bytes":0,"keep_unsettled":false,"max_message_bytes":4194304,"idempotent":true,)"
            R"("created":"2026-05-28T20:26:40.000Z","id":7}])"
            "\n");
}

TEST_F(CliTest, DescribesATopicWithItsGroups) {
  Do("topic create orders");
  const std::string text = Do("topic describe orders");
  EXPECT_THAT(text, HasSubstr("topic             orders\n"));
  EXPECT_THAT(text, HasSubstr("shard-0      0      0   12   3456       21               5           2\n"));
  EXPECT_THAT(text, HasSubstr("billing  shard-0      0      5     7          2            0       0    7\n"));
  EXPECT_THAT(text,
              HasSubstr("billing     31         32       33       34             35  2026-05-28T20:26:40.000Z\n"));
  EXPECT_THAT(
      Do("topic describe orders -o json"),
      HasSubstr(
          R"("counts":[{"group":{"namespace":"","name":"billing"},"topic":{"namespace":"","name":"orders"},"ready":31,)"
          R"("in_flight":32,"blocked":33,"delayed":34,"dead_lettered":35,"oldest":"2026-05-28T20:26:40.000Z"}])"));
}

TEST_F(CliTest, IdempotenceIsSwitchedOffOnRequest) {
  Do("topic create orders --idempotent=false");
  EXPECT_THAT(Do("topic describe orders"), HasSubstr("idempotent        no\n"));
  Do("topic create invoices");
  EXPECT_THAT(Do("topic describe invoices"), HasSubstr("idempotent        yes\n"));
}

TEST_F(CliTest, AGroupHasThePolicyThatWasGiven) {
  Do("group create billing --order fifo --max-attempts 3 --backoff 1s,5s --start 2026-01-02T03:04:05Z");
  const admin::Group group = server_.groups()["billing"];
  EXPECT_EQ(group.order(), admin::DELIVERY_ORDER_FIFO);
  EXPECT_EQ(group.retry().max_attempts(), 3);
  ASSERT_EQ(group.retry().delays_size(), 2);
  EXPECT_EQ(group.retry().delays(1).seconds(), 5);
  EXPECT_EQ(TimeText(FromProto(group.start().time())), "2026-01-02T03:04:05.000Z");
}

TEST_F(CliTest, AGroupWithAttemptsAloneKeepsTheUsualBackoff) {
  Do("group create billing --max-attempts 3");
  EXPECT_EQ(server_.groups()["billing"].retry().delays_size(), 18);
  Do("group create plain");
  EXPECT_FALSE(server_.groups()["plain"].has_retry() && server_.groups()["plain"].retry().max_attempts() != 0);
}

TEST_F(CliTest, AnUpdateKeepsWhatWasNotGiven) {
  Do("group create billing --max-attempts 3 --backoff 1s,5s");
  Do("group update billing --max-attempts 9");
  const admin::Group group = server_.groups()["billing"];
  EXPECT_EQ(group.retry().max_attempts(), 9);
  EXPECT_EQ(group.retry().delays_size(), 2);
}

TEST_F(CliTest, ShowsTheCluster) {
  const std::string text = Do("status");
  EXPECT_THAT(text, HasSubstr("broker-0  127.0.0.1:8082           1\n"));
  EXPECT_THAT(text, HasSubstr("shard-0   1  broker-0      3\n"));
  EXPECT_THAT(Do("status -o json"), HasSubstr(R"("shards":[{"id":1,"name":"shard-0","leader":"broker-0","epoch":3}])"));
}

TEST_F(CliTest, TailShowsWhatComesAndLeavesNoGroup) {
  Do("topic create orders");
  server_.Put("orders", "old");
  Result tail;
  std::thread thread([&] { tail = Run("tail orders --max 2"); });
  server_.AwaitReceive("tail-");
  EXPECT_THAT(server_.groups(), SizeIs(1));
  server_.Put("orders", "new-1");
  server_.Put("orders", "new-2");
  thread.join();
  EXPECT_EQ(tail.code, ExitCode::kDone) << tail.err;
  EXPECT_THAT(tail.out, testing::AllOf(HasSubstr("new-1\n"), HasSubstr("new-2\n"), testing::Not(HasSubstr("old"))));
  EXPECT_THAT(server_.groups(), IsEmpty());
}

TEST_F(CliTest, ARequestIsAnsweredAndLeavesNoGroup) {
  Do("topic create sums");
  Do("group create adders");
  Result reply;
  std::thread thread([&] { reply = Run("reply sums --group adders --exec md5sum --max 1"); });
  server_.AwaitReceive("adders");
  const Result asked = Run("request sums --body abc --tag add --property n=1 --reply-topic answers -o json");
  thread.join();
  EXPECT_EQ(asked.code, ExitCode::kDone) << asked.err;
  EXPECT_EQ(reply.code, ExitCode::kDone) << reply.err;
  EXPECT_THAT(asked.out, HasSubstr("900150983cd24fb0d6963f7d28e17f72"));
  EXPECT_THAT(reply.out, HasSubstr("answered "));
  EXPECT_THAT(server_.groups(), SizeIs(1));
  EXPECT_EQ(server_.topics().at("answers").retention_age().seconds(), 3600);
  const v2::Message request = server_.sent("sums").at(0);
  const v2::Message answer = server_.sent("answers").at(0);
  EXPECT_EQ(request.system_properties().tag(), "add");
  EXPECT_EQ(request.user_properties().at("n"), "1");
  EXPECT_EQ(request.user_properties().at("reply_topic"), "answers");
  EXPECT_EQ(request.user_properties().at("reply_ttl_ms"), "5000");
  EXPECT_EQ(answer.system_properties().tag(), request.user_properties().at("reply_tag"));
  EXPECT_EQ(answer.user_properties().at("correlation_id"), request.user_properties().at("correlation_id"));
  EXPECT_EQ(server_.acked(), 1);
  EXPECT_EQ(server_.last_filter().type(), v2::TAG);
}

TEST_F(CliTest, AFailureWhereItIsAnsweredIsTold) {
  Do("topic create sums");
  Do("group create adders");
  std::thread thread([&] { Run("reply sums --group adders --exec false --max 1"); });
  server_.AwaitReceive("adders");
  const Result asked = Run("request sums --body abc");
  thread.join();
  EXPECT_EQ(asked.code, ExitCode::kRefused);
  EXPECT_THAT(asked.err, HasSubstr("it ended with 1"));
}

TEST_F(CliTest, ARequestThatNobodyAnswersEndsAndLeavesNoGroup) {
  Do("topic create sums");
  const Result asked = Run("request sums --body abc --timeout 1s");
  EXPECT_EQ(asked.code, ExitCode::kNothingReceived);
  EXPECT_THAT(asked.err, HasSubstr("no answer came to replies within 1s"));
  EXPECT_THAT(server_.groups(), IsEmpty());
  // Whoever comes later does not answer what nobody waits for.
  Do("group create adders");
  const std::string late = Do("reply sums --group adders --echo --max 1");
  EXPECT_THAT(late, HasSubstr("did not answer "));
  EXPECT_THAT(server_.sent("replies"), IsEmpty());
  EXPECT_EQ(server_.acked(), 1);
}

TEST_F(CliTest, WhatIsNoRequestIsAcknowledgedAndTold) {
  Do("topic create sums");
  Do("group create adders");
  Do("send sums --body abc");
  const Result reply = Run("reply sums --group adders --body fixed --max 1");
  EXPECT_EQ(reply.code, ExitCode::kDone);
  EXPECT_THAT(reply.err, HasSubstr("has no property reply_topic"));
  EXPECT_EQ(server_.acked(), 1);
  EXPECT_EQ(Run("reply sums --group adders --echo --exec cat").code, ExitCode::kUsage);
  EXPECT_EQ(Run("reply sums --echo").code, ExitCode::kUsage);
}

TEST_F(CliTest, AGroupMayExpireAndATopicSayWhenToAsk) {
  Do("group create mine --expire-after 1m");
  EXPECT_EQ(server_.groups().at("mine").expire_after().seconds(), 60);
  EXPECT_THAT(Do("group describe mine"), HasSubstr("expires after"));
  Do("group update mine --expire-after 0s");
  EXPECT_EQ(server_.groups().at("mine").expire_after().seconds(), 0);
  Do("topic create paid --type transaction --transaction-recovery 90s");
  EXPECT_EQ(server_.topics().at("paid").transaction_recovery().seconds(), 90);
  EXPECT_THAT(Do("topic describe paid -o json"), HasSubstr("\"transaction_recovery_seconds\":90"));
}

TEST_F(CliTest, AGroupIsPausedAndResumed) {
  Do("group create mine");
  EXPECT_THAT(Do("group pause mine"), HasSubstr("group mine paused"));
  EXPECT_TRUE(server_.groups().at("mine").paused());
  EXPECT_THAT(Do("group describe mine"), HasSubstr("nothing is delivered until it is resumed"));
  EXPECT_THAT(Do("group describe mine -o json"), HasSubstr("\"paused\":true"));
  EXPECT_THAT(Do("group resume mine -o json"), HasSubstr("\"paused\":false"));
  EXPECT_FALSE(server_.groups().at("mine").paused());
  EXPECT_EQ(Run("group pause nobody").code, ExitCode::kRefused);
  EXPECT_EQ(Run("group pause").code, ExitCode::kUsage);
  // It passes over what it does not know.
  Do("group create old");
  EXPECT_THAT(Run("group pause old").err, HasSubstr("older than baridctl"));
}

TEST_F(CliTest, TailOfNoTopicLeavesNoGroup) {
  EXPECT_EQ(Run("tail nowhere").code, ExitCode::kRefused);
  EXPECT_THAT(server_.groups(), IsEmpty());
}

// As a process, since it takes the process's signals.
TEST_F(CliTest, AnInterruptedTailLeavesNoGroup) {
  Do("topic create orders");
  const std::string command = absl::StrCat("echo $$; exec ", BARIDCTL, " tail orders --endpoint ", server_.endpoint());
  FILE* const pipe = popen(command.c_str(), "r");
  int pid = 0;
  ASSERT_EQ(fscanf(pipe, "%d", &pid), 1);
  server_.AwaitReceive("tail-");
  kill(pid, SIGINT);
  EXPECT_EQ(pclose(pipe), 0);
  EXPECT_THAT(server_.groups(), IsEmpty());
}

TEST_F(ThreeShardCliTest, ReceivesFromAllShards) {
  Do("topic create orders");
  Do("group create billing");
  Do("send orders --body a --count 9");
  const std::string lines = Do("receive orders --group billing --max 9 -o json");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 9);
  EXPECT_EQ(server_.acked(), 9);
}

TEST_F(ThreeShardCliTest, WaitsAtAllShardsAtOnce) {
  Do("topic create orders");
  Do("group create billing");
  Result received;
  std::thread thread([&] { received = Run("receive orders --group billing --wait 30s"); });
  server_.AwaitReceive("billing");
  server_.Put("orders", "late");
  thread.join();
  EXPECT_EQ(received.code, ExitCode::kDone) << received.err;
  EXPECT_THAT(received.out, HasSubstr("late\n"));
  EXPECT_EQ(server_.acked(), 1);
}

}  // namespace
}  // namespace barid::cli
